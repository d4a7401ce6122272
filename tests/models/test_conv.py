# Flax types the result of apply as a union of output and state; these files unpack it by what they asked for.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false
"""Convolutions, the CNN and the wide ResNet: shapes, equation (1), variances at initialization, both parameterizations."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.errors import UserError
from ntkrun.models import build_model
from ntkrun.models.layers import Conv, by_convolution, by_products
from ntkrun.models.parameters import count_parameters, layer_names, ntk_to_standard, standard_rates
from ntkrun.models.wide_resnet import EPSILON, batch_norm

FIELDS: dict[str, Any] = dict(n_outputs=2, activation="relu", sigma_w2=2.0, sigma_b2=0.1, dtype=jnp.float64)
NETWORKS = {
    "cnn": dict(name="cnn", width=4, depth=2),
    "wide_resnet": dict(name="wide_resnet", width=3, depth=10, norm="none"),
}
X = np.random.default_rng(0).standard_normal((3, 6, 5, 2))


def initialised(x=X, **fields):
    model = build_model(**(FIELDS | fields))
    return model, jax.jit(model.init)(jax.random.key(1), x[:1])["params"]


def neighbourhood_sum(a: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """sum over the 3 x 3 neighbours of a (n, h, w, c) times weight (3, 3, c, features), written out: the oracle."""
    n, h, w, _ = a.shape
    sizes = [-(-size // stride) for size in (h, w)]
    # "same": the missing rows are shared out, the odd one goes behind
    before = [max((out - 1) * stride + 3 - size, 0) // 2 for out, size in zip(sizes, (h, w), strict=True)]
    result = np.zeros((n, *sizes, weight.shape[-1]))
    for i, j, di, dj in np.ndindex(*sizes, 3, 3):
        row, column = i * stride + di - before[0], j * stride + dj - before[1]
        if 0 <= row < h and 0 <= column < w:
            result[:, i, j] += a[:, row, column] @ weight[di, dj]
    return result


@pytest.mark.parametrize(("parameterization", "stride"), [("ntk", 1), ("standard", 2)])
def test_convolution_is_equation_1_with_fan_in_9_c(parameterization, stride):
    layer = Conv(4, 2.0, 0.1, parameterization, jnp.float64, stride=stride)
    params = layer.init(jax.random.key(0), X)["params"]
    if parameterization == "ntk":
        weight, bias = np.sqrt(2.0 / 18) * params["omega"], np.sqrt(0.1) * params["beta"]
    else:
        weight, bias = params["W"], params["b"]
    expected = neighbourhood_sum(X, np.asarray(weight), stride) + np.asarray(bias)
    np.testing.assert_allclose(layer.apply({"params": params}, X), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_form_for_cpus_is_the_convolution_with_both_gradients(stride):
    weight = np.random.default_rng(1).standard_normal((3, 3, 2, 4))

    @jax.jit
    def both(x, weight):
        forms = [
            jax.vjp(lambda x, w, form=form: form(x, w, stride), x, weight) for form in (by_convolution, by_products)
        ]
        return [(h, *transposed(jnp.sin(h))) for h, transposed in forms]

    for one, other in zip(*both(X, weight), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)  # float64, sums of up to 90 products


def test_parameter_shapes_and_counts():
    _, params = initialised(**NETWORKS["cnn"])
    assert layer_names(params) == ("layer_1", "layer_2", "layer_3")
    assert [params[name]["omega"].shape for name in layer_names(params)] == [(3, 3, 2, 4), (3, 3, 4, 4), (4, 2)]
    _, flat = initialised(**NETWORKS["cnn"], pool="flatten", stride=2)
    assert flat["layer_3"]["omega"].shape == (2 * 2 * 4, 2)  # 6 x 5 -> 3 x 3 -> 2 x 2
    # Table S1: stem, 6 N convolutions, 2 shortcuts, readout; 6 N + 4 layers with weights
    for depth in (10, 16):
        model = build_model(**(FIELDS | NETWORKS["wide_resnet"] | dict(depth=depth, parameterization="standard")))
        deep = jax.eval_shape(model.init, jax.random.key(0), X)["params"]
        weights = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(deep) if path[-1].key == "W"]
        assert len(weights) == depth
        assert count_parameters(weights) == 9 * 2 * 3 + (depth - 2) * 9 * 3 * 3 + 3 * 2


def expected_variances(x: np.ndarray, name: str) -> list[np.ndarray]:
    """K^l(x, x) at every position of every convolution, ReLU: K -> K/2, then the neighbours' mean; blocks add up."""

    def conv(square: np.ndarray, stride: int = 1) -> np.ndarray:
        channels = square.shape[-1]
        return 2.0 / (9 * channels) * neighbourhood_sum(square, np.ones((3, 3, channels, 1)), stride) + 0.1

    variances = [conv(x * x)]
    if name == "cnn":
        return [*variances, conv(variances[0] / 2)]
    stream = variances[0]
    for stride in (1, 2, 2):
        inner = conv(stream / 2, stride)
        outer = conv(inner / 2)
        shortcut = [conv(stream / 2, stride)] if stride > 1 else []  # reads what conv_1 reads
        variances += [inner, outer, *shortcut]
        stream = outer + (shortcut[0] if shortcut else stream)
    return variances


def is_output_of_conv(module: Any, method: str) -> bool:
    return isinstance(module, Conv) and method == "__call__"


@pytest.mark.parametrize("name", list(NETWORKS))
def test_preactivations_have_the_nngp_variance_in_every_layer(name):
    model, params = initialised(**(NETWORKS[name] | dict(width=512, dtype=jnp.float32)))
    _, state = model.apply({"params": params}, X, capture_intermediates=is_output_of_conv)
    found = [leaf for _, leaf in jax.tree_util.tree_leaves_with_path(state["intermediates"])]
    expected = expected_variances(X, name)
    assert len(found) == len(expected)
    for h, variance in zip(found, expected, strict=True):
        measured = np.mean(np.asarray(h) ** 2, axis=-1, keepdims=True)
        # channels sample a variance to sqrt(2/512) = 6 % and inherit about as much from each layer below; over the 18
        # to 90 positions and images, which share most of their draws, the mean ratio errs by about that in ten layers:
        # over draws the ResNet's last has sd .09 at 256 channels (mean 1.00 +- .02 of 24) and .05 at 1024, so .2 is three
        np.testing.assert_allclose(np.mean(measured / variance), 1.0, atol=0.2)
        np.testing.assert_allclose(measured, variance, rtol=0.7)  # single positions, 4 sd and more


def test_batch_norm_is_over_batch_and_positions():
    x = 3.0 + 2.0 * np.random.default_rng(1).standard_normal((4, 5, 5, 3))
    normed = np.asarray(batch_norm(jnp.asarray(x)))
    np.testing.assert_allclose(normed.mean(axis=(0, 1, 2)), 0.0, atol=1e-14)
    variance = x.var(axis=(0, 1, 2))
    np.testing.assert_allclose(normed.var(axis=(0, 1, 2)), variance / (variance + EPSILON), rtol=1e-12)


def test_batch_norm_makes_the_output_a_function_of_the_batch():
    model, params = initialised(**(NETWORKS["wide_resnet"] | dict(norm="batch")))
    outputs = jax.jit(lambda x: model.apply({"params": params}, x))
    whole, part = (np.asarray(outputs(x)) for x in (X, X[:2]))
    assert np.abs(whole[:2] - part).max() > 1e-2
    np.testing.assert_allclose(outputs(X[::-1])[::-1], whole, rtol=1e-9)  # of the set, not of its order


@pytest.mark.parametrize("name", list(NETWORKS))
def test_ntk_training_with_the_rates_of_s37_is_standard_training(name):
    fields = NETWORKS[name]
    ntk, params = initialised(**fields)
    standard, _ = initialised(**fields, parameterization="standard")
    constants = dict(sigma_w2=2.0, sigma_b2=0.1)
    theta = ntk_to_standard(params, **constants)
    rates = standard_rates(params, n_max=fields["width"], eta0=0.1, **constants)

    def gradient(model):
        return jax.jit(jax.grad(lambda p: jnp.mean((model.apply({"params": p}, X) - 1.0) ** 2) / 2))

    ntk_gradient, standard_gradient = gradient(ntk), gradient(standard)
    start = theta
    for _ in range(10):
        params = jax.tree.map(lambda p, g, rate: p - rate * g, params, ntk_gradient(params), rates)
        step = jax.tree.map(lambda g: -0.1 / fields["width"] * g, standard_gradient(theta))
        theta = optax.apply_updates(theta, step)
    moved = ntk_to_standard(params, **constants)
    # float64, ten steps through ten layers; 1e-8 of the weights' own size, and they do move
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-8), moved, theta)
    assert max(float(jnp.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (theta, start)), strict=True)) > 1e-3


@pytest.mark.parametrize("name", list(NETWORKS))
def test_with_a_frozen_body_the_readout_alone_has_gradients(name):
    model, params = initialised(**NETWORKS[name], trained="readout")
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(model.apply({"params": p}, X) ** 2)))(params)
    moved = {layer for layer, part in gradient.items() if any(jnp.any(leaf != 0) for leaf in jax.tree.leaves(part))}
    assert moved == {layer_names(params)[-1]}


def test_bfloat16_products_keep_float32_parameters_and_outputs():
    fields = NETWORKS["cnn"] | dict(dtype=jnp.float32)
    exact, params = initialised(**fields)
    rounded = build_model(**(FIELDS | fields | dict(matmul="bfloat16")))
    outputs = [np.asarray(model.apply({"params": params}, X)) for model in (exact, rounded)]
    assert outputs[1].dtype == np.float32
    difference = np.abs(outputs[0] - outputs[1]).max()
    # 8 bits: relative 2^-9 for each factor and result, through three layers
    assert 0 < difference < 3 * 3 * 2.0**-9 * np.abs(outputs[0]).max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(name="cnn", pool="max"), "pool='max' is unknown: choose average or flatten"),
        (dict(name="cnn", depth=0), "depth = 0"),
        (dict(name="wide_resnet", depth=12), "6 N \\+ 4"),
        (dict(name="wide_resnet", depth=10, norm="layer"), "norm='layer' is unknown: choose batch or none"),
        (dict(name="cnn", matmul="float16"), "matmul='float16' is unknown, did you mean bfloat16"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        build_model(**(FIELDS | dict(width=2, depth=2) | changes)).init(jax.random.key(0), X)
