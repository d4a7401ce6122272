# Flax types the result of apply as a union of output and state; these files unpack it by what they asked for.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false
"""Dense: statistics at initialization, the two parameterizations, and taps that cost nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.errors import UserError
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.models import build_model
from ntkrun.models.layers import Dense

FIELDS = dict(width=16, depth=2, n_outputs=3, activation="relu", sigma_w2=2.0, sigma_b2=0.1)


def images(n: int = 5, d: int = 12) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, d))


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_dense_is_equation_1(parameterization):
    x = jnp.asarray(images(), jnp.float32)
    layer = Dense(4, 2.0, 0.1, parameterization)
    params = layer.init(jax.random.key(0), x)["params"]
    if parameterization == "ntk":
        expected = np.sqrt(2.0 / 12) * x @ params["omega"] + np.float32(np.sqrt(0.1)) * params["beta"][None, :]
    else:
        expected = x @ params["W"] + params["b"][None, :]
    np.testing.assert_allclose(layer.apply({"params": params}, x), expected, rtol=1e-5, atol=1e-6)  # float32, 12 terms


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_without_sigma_b_there_is_no_bias(parameterization):
    params = Dense(4, 2.0, 0.0, parameterization).init(jax.random.key(0), jnp.ones((1, 3)))["params"]
    assert list(params) == [{"ntk": "omega", "standard": "W"}[parameterization]]


def test_standard_parameters_have_their_variances():
    params = Dense(400, 2.0, 0.1, "standard").init(jax.random.key(0), jnp.ones((1, 300)))["params"]
    # A variance over m draws errs by sqrt(2/m): 0.4 % of 120,000 weights, 7 % of 400 biases; four of these.
    np.testing.assert_allclose(np.var(params["W"]), 2.0 / 300, rtol=0.016)
    np.testing.assert_allclose(np.var(params["b"]), 0.1, rtol=0.28)


@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
def test_preactivations_have_the_nngp_variance_in_every_layer(activation):
    x, width = images(n=2), 2000
    fields = FIELDS | dict(width=width, depth=3, activation=activation, dtype=jnp.float64)
    model = build_model("fc", **fields)
    variables = {"params": jax.jit(model.init)(jax.random.key(3), x)["params"]}
    _, state = model.apply(variables, x, mutable=["taps"])
    inputs = [state["taps"][f"layer_{layer}"]["layer"][0]["x"] for layer in (2, 3, 4)]
    for depth, post in enumerate(inputs, start=1):
        kernels = analytic_kernels(x, depth=depth, activation=activation, sigma_w2=2.0, sigma_b2=0.1)
        k_hat = 2.0 / width * np.sum(np.asarray(post) ** 2, axis=1) + 0.1
        # Each layer adds a relative error of about sqrt(5/n) = 5 % for ReLU (kurtosis of phi(h)), less for the others.
        np.testing.assert_allclose(k_hat, np.diag(kernels.nngp), rtol=0.05 * 3)


def test_plain_apply_compiles_to_the_bare_network():
    x = jnp.ones((8, 12), jnp.float32)
    model = build_model("fc", **FIELDS)
    params = model.init(jax.random.key(0), x)["params"]

    def bare(params, x):
        for layer in (1, 2, 3):
            w, b = params[f"layer_{layer}"]["omega"], params[f"layer_{layer}"]["beta"]
            x = np.sqrt(2.0 / w.shape[0]).item() * (x @ w) + (np.sqrt(0.1).item() * b)[None, :]
            x = jax.nn.relu(x) if layer < 3 else x
        return x

    flops = [
        jax.jit(f).lower(params, x).compile().cost_analysis()
        for f in (lambda params, x: model.apply({"params": params}, x), bare)
    ]
    assert flops[0]["flops"] == flops[1]["flops"]
    assert flops[0]["bytes accessed"] == flops[1]["bytes accessed"]
    assert isinstance(model.apply({"params": params}, x), jax.Array)


def test_init_holds_no_taps():
    variables = build_model("fc", **FIELDS).init(jax.random.key(0), jnp.ones((1, 12)))
    assert set(variables) == {"params", "perturbations"}


def test_unknown_parameterization():
    with pytest.raises(UserError, match="choose ntk, standard or mup"):
        Dense(4, 2.0, 0.1, "abc").init(jax.random.key(0), jnp.ones((1, 3)))  # type: ignore
