# Flax types the result of apply as a union of output and state; these files unpack it by what they asked for.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportOptionalSubscript=false
"""Theta_hat and K_hat of finite networks against the Jacobian product and a hand-written network."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.errors import UserError
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk, ntk_scale
from ntkrun.kernels.psd import check_psd
from ntkrun.kernels.structured import blocks_of
from ntkrun.kernels.weight_jacobian import weight_jacobian
from ntkrun.models import build_model
from ntkrun.models.layers import Dense
from ntkrun.models.parameters import ntk_to_standard, standard_rates

FIELDS: dict[str, Any] = dict(
    width=9, depth=2, n_outputs=3, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float64
)
X1 = np.random.default_rng(0).standard_normal((7, 5))
X2 = np.random.default_rng(1).standard_normal((4, 5))


def initialised(x=X1, **changes):
    model = build_model("fc", **(FIELDS | changes))
    return model, jax.jit(model.init)(jax.random.key(2), x[:1])["params"]


def jacobian(model, params, x):
    """(n, k, parameters) by reverse mode: the oracle."""
    blocks = jax.tree.leaves(jax.jit(jax.jacrev(lambda p: model.apply({"params": p}, x)))(params))
    return np.concatenate([np.asarray(block).reshape(*block.shape[:2], -1) for block in blocks], axis=-1)


def brute_force(model, params, x1, x2):
    return np.einsum("iap,jbp->ijab", jacobian(model, params, x1), jacobian(model, params, x2))


# Every value of every setting, every pair of k with the others, at a fifth of the full product's cost.
CASES = [
    ("ntk", 1, "relu", 0.0, 1),
    ("ntk", 1, "erf", 0.1, 3),
    ("ntk", 3, "tanh", 0.0, 2),
    ("ntk", 3, "relu", 0.1, 3),
    ("standard", 1, "tanh", 0.1, 2),
    ("standard", 1, "erf", 0.0, 3),
    ("standard", 3, "relu", 0.0, 1),
    ("standard", 3, "erf", 0.1, 1),
]


@pytest.mark.parametrize(("parameterization", "k", "activation", "sigma_b2", "depth"), CASES)
def test_structured_kernel_is_the_jacobian_product(parameterization, k, activation, sigma_b2, depth):
    model, params = initialised(
        parameterization=parameterization, n_outputs=k, activation=activation, sigma_b2=sigma_b2, depth=depth
    )
    for x2 in (None, X2):
        expected = brute_force(model, params, X1, X1 if x2 is None else X2)
        tolerance = dict(rtol=1e-10, atol=1e-13 * np.abs(expected).max())
        np.testing.assert_allclose(empirical_ntk(model, params, X1, x2), expected, **tolerance)
        traced = empirical_ntk(model, params, X1, x2, trace_outputs=True)
        np.testing.assert_allclose(traced, np.einsum("ijaa->ij", expected) / k, **tolerance)


@pytest.mark.parametrize(("n", "k", "trace_outputs"), [(127, 1, False), (200, 2, False), (300, 2, True)])
def test_the_symmetric_half_in_strips_equals_the_general_route(n, k, trace_outputs):
    x = np.random.default_rng(0).standard_normal((n, 5))
    model, params = initialised(n_outputs=k)
    half = empirical_ntk(model, params, x, trace_outputs=trace_outputs)
    full = empirical_ntk(model, params, x, x, trace_outputs=trace_outputs)
    np.testing.assert_allclose(half, full, rtol=1e-12, atol=1e-12 * np.abs(full).max())
    transposed = half.T if trace_outputs else half.transpose(1, 0, 3, 2)
    # blocks off the diagonal are mirrored; within the strips on it the compiler may multiply (i, j) and (j, i) in another order
    np.testing.assert_allclose(half, transposed, atol=1e-13 * np.abs(full).max())


@pytest.mark.parametrize("trace_outputs", [False, True])
@pytest.mark.parametrize("others", [False, True])
def test_blocks_inside_a_program_are_those_outside_and_no_longer_to_compile_when_there_are_more(others, trace_outputs):
    model, params = initialised(n_outputs=2)
    x = np.random.default_rng(0).standard_normal((11, 5))
    how: dict = dict(trace_outputs=trace_outputs, method="structured", memory=4000)

    def kernel(params, x, z):
        return empirical_ntk(model, params, x, z, **how)

    pair = (jnp.asarray(x), jnp.asarray(x[:7]) if others else None)
    assert len(blocks_of(model, params, *pair, memory_bytes=4000)[0]) > 2
    np.testing.assert_allclose(jax.jit(kernel)(params, *pair), kernel(params, *pair), rtol=1e-12)
    longer = (jnp.asarray(np.tile(x, (5, 1))), None if pair[1] is None else jnp.asarray(np.tile(x, (4, 1))))
    few, many = (jax.make_jaxpr(kernel)(params, *of) for of in (pair, longer))
    assert len(few.eqns) == len(many.eqns)


@pytest.mark.parametrize("trace_outputs", [False, True])
def test_the_general_method_equals_the_structured_one(trace_outputs):
    model, params = initialised()
    for x2 in (None, X2):
        expected = empirical_ntk(model, params, X1, x2, trace_outputs=trace_outputs)
        general = empirical_ntk(model, params, X1, x2, trace_outputs=trace_outputs, method="jacobian")
        np.testing.assert_allclose(general, expected, rtol=1e-10, atol=1e-12)


class Foreign(nn.Module):
    """A user's module whose first layer has no taps, or whose tapped layer is used twice."""

    shared: bool

    @nn.compact
    def __call__(self, x):
        layer = Dense(5, 1.0, 0.1, dtype=jnp.float64) if self.shared else nn.Dense(5, param_dtype=jnp.float64)
        x = jnp.tanh(layer(x))
        return Dense(2, 1.0, 0.1, dtype=jnp.float64, name="readout")(layer(x) if self.shared else x)


@pytest.mark.parametrize("shared", [False, True])
def test_a_foreign_module_needs_the_general_method_and_says_so(shared):
    model = Foreign(shared)
    params = model.init(jax.random.key(0), X1)["params"]
    with pytest.raises(UserError, match="parameters of Dense_0: use method='jacobian'"):
        empirical_ntk(model, params, X1, method="structured")
    general = empirical_ntk(model, params, X1, X2, method="jacobian")
    np.testing.assert_allclose(general, brute_force(model, params, X1, X2), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sigma_b2", [0.0, 0.1])
def test_ntk_and_standard_kernels_differ_by_the_rates_of_s37(sigma_b2):
    """sum_theta eta_theta (df/dtheta)(df/dtheta)' of the NTK network equals (S42)'s J J^T / n of the standard one."""
    model, params = initialised(sigma_b2=sigma_b2)
    standard, _ = initialised(sigma_b2=sigma_b2, parameterization="standard")
    rates = standard_rates(params, n_max=9, sigma_w2=1.5, sigma_b2=sigma_b2)
    repeated = np.concatenate(
        [np.full(leaf.size, rate) for leaf, rate in zip(jax.tree.leaves(params), jax.tree.leaves(rates), strict=True)]
    )
    j = jacobian(model, params, X1)
    theta = ntk_to_standard(params, sigma_w2=1.5, sigma_b2=sigma_b2)
    normalised = ntk_scale(standard) * empirical_ntk(standard, theta, X1)
    np.testing.assert_allclose(normalised, np.einsum("iap,p,jbp->ijab", j, repeated, j), rtol=1e-10, atol=1e-13)
    assert ntk_scale(model) == 1.0


@pytest.mark.parametrize("depth", [1, 11])
def test_nngp_is_the_covariance_of_the_last_hidden_layer(depth):
    """depth = 11 has layer_10 .. layer_12, which JAX sorts before layer_2."""
    model, params = initialised(depth=depth)
    x1, x2 = jnp.asarray(X1), jnp.asarray(X2)
    for layer in range(1, depth + 1):
        w, b = params[f"layer_{layer}"]["omega"], params[f"layer_{layer}"]["beta"]
        x1, x2 = (jnp.tanh(np.sqrt(1.5 / w.shape[0]) * x @ w + np.sqrt(0.1) * b[None, :]) for x in (x1, x2))
    np.testing.assert_allclose(empirical_nngp(model, params, X1, X2), 1.5 / 9 * x1 @ x2.T + 0.1, rtol=1e-12)
    np.testing.assert_allclose(empirical_nngp(model, params, X1), 1.5 / 9 * x1 @ x1.T + 0.1, rtol=1e-12)
    standard, _ = initialised(depth=depth, parameterization="standard")
    theta = ntk_to_standard(params, sigma_w2=1.5, sigma_b2=0.1)
    np.testing.assert_allclose(empirical_nngp(standard, theta, X1), 1.5 / 9 * x1 @ x1.T + 0.1, rtol=1e-12)


def test_weight_jacobian_picks_columns_of_the_jacobian():
    model, params = initialised()
    watched = (
        (("layer_1", "omega"), 13),
        (("layer_2", "beta"), 4),
        (("layer_3", "omega"), 26),
        (("layer_1", "omega"), 0),
    )
    columns = weight_jacobian(model, params, X1, watched)
    j = jax.jit(jax.jacrev(lambda p: model.apply({"params": p}, X1)))(params)
    expected = [j[layer][name].reshape(7, 3, -1)[:, :, index] for (layer, name), index in watched]
    np.testing.assert_allclose(columns, np.stack(expected), rtol=1e-10, atol=1e-13)
    assert weight_jacobian(model, params, X1, ()).shape == (0, 7, 3)
    for wrong in ((("layer_1", "W"), 0), (("layer_1", "omega"), 45), (("layer_1",), 0)):
        with pytest.raises(UserError, match="no weight layer_1"):
            weight_jacobian(model, params, X1, (wrong,))


def test_float32_agrees_with_float64():
    double, params = initialised(width=256)
    single = build_model("fc", **(FIELDS | {"width": 256, "dtype": jnp.float32}))
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    for trace_outputs in (False, True):
        a = empirical_ntk(single, rounded, X1.astype(np.float32), trace_outputs=trace_outputs)
        b = empirical_ntk(double, params, X1, trace_outputs=trace_outputs)
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max())


def test_positive_semi_definite_equivariant_and_zero_inputs():
    x = np.concatenate([X1, X1[:1], -X1[1:2], 0 * X1[:1]])
    model, params = initialised(sigma_b2=0.0, activation="relu")
    kernel = np.asarray(empirical_ntk(model, params, x))
    check_psd(kernel.transpose(0, 2, 1, 3).reshape(30, 30), "Theta_hat")
    order = np.random.default_rng(3).permutation(len(x))
    permuted = empirical_ntk(model, params, x[order])
    np.testing.assert_allclose(permuted, kernel[np.ix_(order, order)], rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(kernel[-1], 0)
    np.testing.assert_allclose(kernel[0], kernel[7], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_both_kernels_approach_their_limits_like_one_over_root_n(parameterization):
    """Slope of the mean error over 16 draws at n = 32, 128, 512: draws of a norm scatter by 60 %, 15 % in the mean, and a
    tenth of that over ln 16 in the slope; the rest of the band is for the next order in 1/n at n = 32.
    """
    x = np.random.default_rng(5).standard_normal((6, 20))
    fields = dict(depth=2, activation="relu", sigma_w2=2.0, sigma_b2=0.1, parameterization=parameterization)
    widths, errors = [32, 128, 512], []
    for width in widths:
        model = build_model("fc", width=width, n_outputs=1, dtype=jnp.float64, **fields)
        exact = analytic_kernels(x, **fields, width=width)

        @jax.jit
        def draw(key, model=model):
            params = model.init(key, x)["params"]
            theta_hat = empirical_ntk(model, params, x, trace_outputs=True)
            return ntk_scale(model) * theta_hat, empirical_nngp(model, params, x)

        draws = [draw(jax.random.key(seed)) for seed in range(16)]
        pairs = [[(theta_hat, exact.ntk), (k_hat, exact.nngp)] for theta_hat, k_hat in draws]
        errors.append(np.mean([[np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pair] for pair in pairs], axis=0))
    slopes = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    np.testing.assert_allclose(slopes, -0.5, atol=0.15)
