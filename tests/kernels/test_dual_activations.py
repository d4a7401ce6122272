"""T and Tdot of every dual against adaptive quadrature, and their values where arccos is treacherous."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from ntkrun.errors import UserError
from ntkrun.kernels.dual_closed_forms import ErfDual, ReLUDual, dual_activation
from ntkrun.kernels.dual_hermite import HermiteDual
from ntkrun.nonlinearities import ACTIVATIONS, Activation, resolve_activation

NAMES = sorted(ACTIVATIONS)
RHO = np.array([-1.0, -0.999999, -0.7, -0.1, 0.0, 0.3, 0.5, 0.9, 0.9999999, 1.0])


def pairs(p, q, rho, dtype=jnp.float64):
    """Arguments (p, q, r) of T and Tdot for one p, one q and many correlations."""
    r = np.asarray(rho) * np.sqrt(p * q)
    return tuple(jnp.asarray(a, dtype) for a in ([[p]], np.full((1, r.size), q), r[None, :]))


def prepared(activation, *variances):
    return dual_activation(activation).for_variances(np.array(variances))


def nested_quadrature(g, p, q, rho):
    """E[g(u) g(v)] by 400 x 400 midpoints: an oracle that knows neither Hermite polynomials nor closed forms."""
    z = np.linspace(-9, 9, 401)[:-1] + 9 / 400
    weight = np.exp(-z * z / 2) * (z[1] - z[0]) / np.sqrt(2 * np.pi)
    v = np.sqrt(q) * (rho * z[:, None] + np.sqrt(1 - rho**2) * z[None, :])
    values = np.asarray(g(jnp.asarray(v))) @ weight
    return float(np.sum(weight * np.asarray(g(jnp.asarray(np.sqrt(p) * z))) * values))


@pytest.mark.parametrize("activation", [ACTIVATIONS["erf"], ACTIVATIONS["tanh"], Activation("swish", jax.nn.swish)])
@pytest.mark.parametrize("rho", [-1.0, -0.8, 0.0, 0.6, 0.95, 1.0])
def test_smooth_duals_match_quadrature(activation, rho):
    p, q = 1.3, 0.6
    dual = prepared(activation, p, q)
    t, tdot = (float(method(*pairs(p, q, [rho]))[0, 0]) for method in (dual.T, dual.Tdot))
    slope = jax.vmap(jax.grad(activation.phi))
    np.testing.assert_allclose(t, nested_quadrature(activation.phi, p, q, rho), rtol=1e-9, atol=1e-12)
    expected = nested_quadrature(lambda u: slope(u.ravel()).reshape(u.shape), p, q, rho)
    np.testing.assert_allclose(tdot, expected, rtol=1e-8, atol=1e-12)  # the terms left out are 1e-9 of E[phi'^2]


@pytest.mark.parametrize("name", NAMES)
def test_tdot_is_the_derivative_of_t_in_r(name):
    dual = prepared(name, 1.3, 0.6)
    p, q, r = pairs(1.3, 0.6, [-0.9, -0.2, 0.4, 0.97])
    derivative = jax.jvp(lambda r: dual.T(p, q, r), (r,), (jnp.ones_like(r),))[1]  # Price's theorem
    np.testing.assert_allclose(derivative, dual.Tdot(p, q, r), rtol=1e-8)


def test_hermite_sums_agree_with_the_closed_form_of_erf():
    hermite = HermiteDual(ACTIVATIONS["erf"]).for_variances(np.array([0.5, 2.0]))
    arguments = pairs(0.5, 2.0, RHO)
    np.testing.assert_allclose(hermite.T(*arguments), ErfDual().T(*arguments), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(hermite.Tdot(*arguments), ErfDual().Tdot(*arguments), rtol=1e-9)
    assert hermite.parity == 1


def test_a_kink_is_announced_and_is_still_exact_for_equal_and_opposite_inputs():
    with pytest.warns(UserWarning, match="Hermite terms leave out"):
        hermite = HermiteDual(Activation("my relu", jax.nn.relu)).for_variances(np.array([1.5]))
    arguments = pairs(1.5, 1.5, RHO)
    t = np.asarray(hermite.T(*arguments) - ReLUDual().T(*arguments))
    tdot = np.asarray(hermite.Tdot(*arguments) - ReLUDual().Tdot(*arguments))
    assert np.abs(t).max() < 5e-5 and np.abs(tdot).max() < 3e-3  # the errors which HermiteDual's docstring states
    # At rho = +-1 only the node spacing is left: h^2/24 of the jump in slope for T, nothing for Tdot.
    np.testing.assert_allclose(t[0, [0, -1]], 0, atol=1e-4)
    np.testing.assert_allclose(tdot[0, [0, -1]], 0, atol=1e-12)


def test_tanh_at_large_variance_against_adaptive_quadrature():
    p = 13.0
    dual = prepared("tanh", p)

    def expectation(g):
        return (
            2
            * quad(lambda z: g(np.tanh(np.sqrt(p) * z)) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), 0, 20, epsabs=1e-13)[
                0
            ]
        )

    arguments = pairs(p, p, [1.0])
    np.testing.assert_allclose(dual.T(*arguments), expectation(lambda t: t**2), rtol=1e-10)
    np.testing.assert_allclose(dual.Tdot(*arguments), expectation(lambda t: (1 - t**2) ** 2), rtol=1e-10)


def test_arccosine_keeps_its_digits_near_parallel_and_opposite():
    """The angle to the nearer axis, 2 atan2(sqrt(1 - |c|), sqrt(1 + |c|)) in long double; 1 - |c| is exact."""
    gap = np.logspace(-13, -0.31, 200)
    pi = 4 * np.arctan(np.longdouble(1))
    for sign in (1, -1):
        c = sign * (1 - gap)
        size = np.abs(c).astype(np.longdouble)
        acute = 2 * np.arctan2(np.sqrt(1 - size), np.sqrt(1 + size))
        expected = (acute if sign < 0 else pi - acute) / (2 * pi)
        tdot = ReLUDual().Tdot(*pairs(1.0, 1.0, c))
        np.testing.assert_allclose(tdot[0], expected.astype(float), rtol=3e-15)  # a dozen roundings


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_relu_is_exact_at_equal_opposite_and_zero_inputs(dtype):
    x = np.random.default_rng(1).standard_normal((50, 3072)).astype(dtype)
    p = jnp.asarray(np.einsum("nd,nd->n", x, x))
    gram = jnp.asarray(x @ x.T)
    opposite = ReLUDual().Tdot(p[:, None], p[None, :], -gram)
    equal = ReLUDual().Tdot(p[:, None], p[None, :], gram)
    np.testing.assert_array_equal(np.diag(opposite), 0)
    np.testing.assert_array_equal(np.diag(equal), np.asarray(0.5, dtype))
    zero = jnp.zeros((1, 1), dtype)
    assert ReLUDual().T(zero, zero, zero)[0, 0] == 0
    assert ReLUDual().T(zero, zero + 1, zero)[0, 0] == 0
    assert ReLUDual().Tdot(zero, zero + 1, zero)[0, 0] == 0.25  # phi'(0) = 1/2 times E[phi'(v)] = 1/2


@pytest.mark.parametrize("name", NAMES)
def test_float32_keeps_its_digits(name):
    dual = prepared(name, 1.3, 0.6)
    for method in (dual.T, dual.Tdot):
        single, double = (
            method(*pairs(1.3, 0.6, RHO[[2, 3, 4, 5, 6, 7]], dtype)) for dtype in (jnp.float32, jnp.float64)
        )
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, double, atol=1e-6)  # of values up to 1


@pytest.mark.parametrize("name", NAMES)
def test_second_moment_is_t_on_the_diagonal(name):
    dual = prepared(name, 0.7)
    np.testing.assert_allclose(
        dual.second_moment(jnp.array([0.7]))[0], dual.T(*pairs(0.7, 0.7, [1.0]))[0, 0], rtol=1e-12
    )


def test_no_warning_for_registered_activations_and_one_line_for_unknown_ones():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in NAMES:
            prepared(name, 0.1, 10.0)
    with pytest.raises(UserError, match="unknown activation"):
        resolve_activation("sine")
