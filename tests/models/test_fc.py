# Flax types the result of apply as a union of output and state; these files unpack it by what they asked for.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false
"""FC, the registry, and the map between the parameterizations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.errors import UserError
from ntkrun.models import build_model
from ntkrun.models.parameters import count_parameters, layer_names, ntk_to_standard, standard_rates
from ntkrun.nonlinearities import Activation

FIELDS = dict(width=16, depth=2, n_outputs=3, activation="tanh", sigma_w2=2.0, sigma_b2=0.1, dtype=jnp.float64)
X = np.random.default_rng(0).standard_normal((6, 2, 2, 3))


def initialised(**changes):
    model = build_model("fc", **(FIELDS | changes))
    return model, jax.jit(model.init)(jax.random.key(1), X[:1])["params"]


def test_shapes_names_and_count():
    model, params = initialised(width=[7, 5])
    assert model.apply({"params": params}, X).shape == (6, 3)
    assert layer_names(params) == ("layer_1", "layer_2", "layer_3")
    assert count_parameters(params) == 12 * 7 + 7 + 7 * 5 + 5 + 5 * 3 + 3
    assert params["layer_2"]["omega"].shape == (7, 5)


def test_layer_names_are_in_forward_order_beyond_nine():
    _, params = initialised(depth=11)
    assert layer_names(params) == tuple(f"layer_{layer}" for layer in range(1, 13))


def test_parameters_and_outputs_have_the_asked_dtype():
    for dtype in (jnp.float32, jnp.float64):
        model, params = initialised(dtype=dtype)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
        assert model.apply({"params": params}, X).dtype == dtype


@pytest.mark.parametrize("sigma_b2", [0.0, 0.1])
def test_both_parameterizations_draw_the_same_function_from_one_key(sigma_b2):
    ntk, ntk_params = initialised(sigma_b2=sigma_b2)
    standard, standard_params = initialised(sigma_b2=sigma_b2, parameterization="standard")
    converted = ntk_to_standard(ntk_params, sigma_w2=2.0, sigma_b2=sigma_b2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14), converted, standard_params)
    f = ntk.apply({"params": ntk_params}, X), standard.apply({"params": converted}, X)
    np.testing.assert_allclose(*f, rtol=1e-12)


@pytest.mark.parametrize("sigma_b2", [0.0, 0.1])
def test_ntk_training_with_the_rates_of_s37_is_standard_training(sigma_b2):
    ntk, params = initialised(sigma_b2=sigma_b2, width=(16, 9))
    standard, _ = initialised(sigma_b2=sigma_b2, width=(16, 9), parameterization="standard")
    constants = dict(sigma_w2=2.0, sigma_b2=sigma_b2)
    theta = ntk_to_standard(params, **constants)
    rates = standard_rates(params, n_max=16, eta0=0.5, **constants)
    y = jnp.ones((6, 3))

    def loss(model):
        return lambda p: jnp.mean((model.apply({"params": p}, X) - y) ** 2) / 2

    ntk_gradient, standard_gradient = jax.jit(jax.grad(loss(ntk))), jax.jit(jax.grad(loss(standard)))
    for _ in range(5):
        gradient = ntk_gradient(params)
        params = jax.tree.map(lambda p, g, rate: p - rate * g, params, gradient, rates)
        theta = optax.apply_updates(theta, jax.tree.map(lambda g: -0.5 / 16 * g, standard_gradient(theta)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), ntk_to_standard(params, **constants), theta)


def test_an_activation_of_the_users_own():
    model, params = initialised(activation=Activation("tanh again", jnp.tanh))
    reference, _ = initialised()
    np.testing.assert_array_equal(*(m.apply({"params": params}, X) for m in (model, reference)))


def test_numbers_may_be_numpys():
    of_numpy = {"width": np.int64(4), "depth": np.int32(2), "sigma_w2": np.float32(1.5)}
    assert build_model("fc", **(FIELDS | of_numpy)) == build_model(
        "fc", **(FIELDS | {"width": 4, "depth": 2, "sigma_w2": 1.5})
    )


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("fcc", {}, "unknown model 'fcc', did you mean fc. choose one of cnn, fc, wide_resnet"),
        ("fc", {"heads": 3}, "model 'fc' has no field heads"),
        ("fc", {"activation": "sine"}, "unknown activation 'sine', did you mean sin. choose one of abrelu, abs"),
        ("fc", {"activation": "expsq"}, "unknown activation 'expsq': choose one of abrelu, abs"),
        ("fc", {"depth": 0}, "depth = 0"),
        ("fc", {"width": (4, 4, 4)}, "one width per hidden layer"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(name, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        build_model(name, **(FIELDS | changes)).init(jax.random.key(0), X)
    assert "\n" not in str(caught.value)
