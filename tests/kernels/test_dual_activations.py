"""T and Tdot of every dual against adaptive quadrature, their derivatives, and their values where arccos is treacherous."""

import warnings
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from scipy.integrate import quad, quad_vec

from ntkrun.errors import UserError
from ntkrun.kernels.dual_closed_forms import ErfDual, PiecewiseLinearDual, dual_activation
from ntkrun.kernels.dual_hermite import HermiteDual
from ntkrun.kernels.dual_kinks import KinkedDual
from ntkrun.nonlinearities import ACTIVATIONS, Activation, resolve_activation
from ntkrun.notation.activation_names import DECLARED, canonical, is_flat

RHO = np.array([-1.0, -0.999999, -0.7, -0.1, 0.0, 0.3, 0.5, 0.9, 0.9999999, 1.0])


def normal_cdf(u):
    return special.ndtr(u)


def density(u):
    return np.exp(-u * u / 2) / np.sqrt(2 * np.pi)


def logistic(u):
    return special.expit(u)


def two_slopes(a, b):
    return lambda u: np.where(u < 0, a, b) * u, lambda u: np.where(u < 0, a, b) + 0 * u


def wave(a, b, c):
    return lambda u: a * np.sin(b * u + c), lambda u: a * b * np.cos(b * u + c)


def error_function(a, b, c):
    return lambda u: a * special.erf(b * u) + c, lambda u: 2 * a * b * np.exp(-b * b * u * u) / np.sqrt(np.pi)


# phi and phi' written again in NumPy, for every name with its usual parameters or with others
PHI: dict[str, tuple[Callable, Callable]] = {
    "relu": two_slopes(0, 1),
    "leaky_relu": two_slopes(0.01, 1),
    "leaky_relu:0.1": two_slopes(0.1, 1),
    "abs": two_slopes(-1, 1),
    "abrelu": two_slopes(-1, 1),
    "abrelu:-0.3:1.7": two_slopes(-0.3, 1.7),
    "sign": (np.sign, np.zeros_like),
    "step": (lambda u: (u > 0) + 0.0, np.zeros_like),
    "erf": error_function(1, 1, 0),
    "erf:1.3:0.6:0.2": error_function(1.3, 0.6, 0.2),
    "sigmoid_like": error_function(0.5, 1 / 2.4020563531719796, 0.5),
    "gelu": (lambda u: u * normal_cdf(u), lambda u: normal_cdf(u) + u * density(u)),
    "sin": wave(1, 1, 0),
    "sin:1.2:0.8:0.4": wave(1.2, 0.8, 0.4),
    "cos": wave(1, 1, np.pi / 2),
    "cos:1:1:0.3": wave(1, 1, 0.3 + np.pi / 2),
    "rbf": wave(2**0.5, 2**0.5, np.pi / 4),
    "rbf:1.5": wave(2**0.5, 3**0.5, np.pi / 4),
    "gaussian": (lambda u: np.exp(-u * u), lambda u: -2 * u * np.exp(-u * u)),
    "gaussian:1.3:0.7": (lambda u: 1.3 * np.exp(-0.7 * u * u), lambda u: -1.82 * u * np.exp(-0.7 * u * u)),
    "identity": (lambda u: u, np.ones_like),
    "monomial": (lambda u: u**2, lambda u: 2 * u),
    "monomial:3": (lambda u: u**3, lambda u: 3 * u**2),
    "polynomial": (lambda u: u, np.ones_like),
    "polynomial:0.2:0.7:0.3": (lambda u: 0.2 + 0.7 * u + 0.3 * u**2, lambda u: 0.7 + 0.6 * u),
    "rectified_monomial": (lambda u: u**2 * (u > 0), lambda u: 2 * u * (u > 0)),
    "rectified_monomial:1": two_slopes(0, 1),
    "rectified_monomial:3": (lambda u: u**3 * (u > 0), lambda u: 3 * u**2 * (u > 0)),
    "rectified_monomial:4": (lambda u: u**4 * (u > 0), lambda u: 4 * u**3 * (u > 0)),
    "tanh": (np.tanh, lambda u: 1 / np.cosh(u) ** 2),
    "sigmoid": (logistic, lambda u: logistic(u) * logistic(-u)),
    "softplus": (lambda u: np.logaddexp(0, u), logistic),
    "swish": (lambda u: u * logistic(u), lambda u: logistic(u) + u * logistic(u) * logistic(-u)),
    "elu": (lambda u: np.where(u > 0, u, np.expm1(u)), lambda u: np.where(u > 0, 1, np.exp(u))),
}
WORDS = list(PHI)
STEEP = [word for word in WORDS if not is_flat(word)]  # phi' is a function
# one for every dual: what does not depend on its parameters takes a program each
DUALS = ["abrelu:-0.3:1.7", "sign", "erf:1.3:0.6:0.2", "gelu", "gaussian:1.3:0.7", "sin:1.2:0.8:0.4", "tanh", "elu"]
DUALS += ["polynomial:0.2:0.7:0.3", "rectified_monomial:3"]
P, Q = 1.3, 0.6
CORRELATIONS = [-0.999, -0.6, 0.0, 0.3, 0.97]


def pairs(p, q, rho, dtype=jnp.float64):
    """Arguments (p, q, r) of T and Tdot for one p, one q and many correlations."""
    r = np.asarray(rho) * np.sqrt(p * q)
    return tuple(jnp.asarray(a, dtype) for a in ([[p]], np.full((1, r.size), q), r[None, :]))


@cache
def prepared(activation, *variances):
    return dual_activation(activation).for_variances(np.array(variances or (P, Q)))


@pytest.fixture(scope="module")
def moments() -> np.ndarray:
    """(E[phi phi], E[phi' phi']) of all WORDS at all CORRELATIONS, (words, 2, correlations), to 1e-12.

    In the plane of u = sqrt(p) x, v = sqrt(q) (c x + s y), in polar coordinates: kinks at 0 are rays, at which the angle is
    split and integrated adaptively; along a ray everything is smooth, and 80 Gauss-Legendre nodes within 12 are exact.
    """
    radius, weight = np.polynomial.legendre.leggauss(80)
    radius, weight = 6 * (radius + 1), 6 * weight
    weight = weight * radius * np.exp(-radius * radius / 2) / (2 * np.pi)

    def along_a_ray(t: float, c: float) -> np.ndarray:
        u, v = np.sqrt(P) * radius * np.cos(t), np.sqrt(Q) * radius * np.cos(t - np.arccos(c))
        return np.array([[(f(u) * f(v)) @ weight for f in pair] for pair in PHI.values()])

    def integral(c: float) -> np.ndarray:
        rays = sorted(
            (a % (2 * np.pi)) for a in np.pi * np.array([0.5, 1.5]).repeat(2) + np.arccos(c) * np.array([0, 1, 0, 1])
        )
        found = quad_vec(lambda t: along_a_ray(t, c), 0, 2 * np.pi, epsabs=1e-12, epsrel=1e-12, points=rays)
        return found[0]

    return np.stack([integral(c) for c in CORRELATIONS], axis=-1)


def test_every_name_is_held_against_quadrature():
    assert {word.split(":")[0] for word in WORDS} == set(DECLARED) == set(ACTIVATIONS)


@pytest.mark.parametrize("word", WORDS)
def test_duals_are_the_expectations(word, moments):
    t, tdot = prepared(word).moments(*pairs(P, Q, CORRELATIONS))
    expected = moments[WORDS.index(word)]
    size = np.sqrt(np.prod(prepared(word).second_moment(jnp.array([P, Q]))))
    np.testing.assert_allclose(t[0], expected[0], atol=2e-11 * size)
    if word in STEEP:
        np.testing.assert_allclose(tdot[0], expected[1], rtol=1e-9, atol=2e-11 * max(size, 1))


@pytest.mark.parametrize("word", WORDS)
def test_phi_is_what_its_formula_says(word):
    u = np.linspace(-4, 4, 32)
    np.testing.assert_allclose(resolve_activation(word).phi(jnp.asarray(u)), PHI[word][0](u), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("word", DUALS)
def test_derivatives_are_those_of_t_in_every_direction(word):
    """Price's theorem: dT/dr = Tdot; the others against central differences; along p = q = r, where the correlation is 1, too."""
    dual = prepared(word)
    # all in one array and one direction each, the equal pair last: two programs for a dual
    q = np.array([Q] * 5 + [P])
    point = np.stack([np.full(6, P), q, np.array([-0.9, -0.2, 0.0, 0.4, 0.97, 1.0]) * np.sqrt(P * q)])
    steps = 1e-5 * np.repeat([[0.7, 1.0], [-0.4, 1.0], [0.1, 1.0]], [5, 1], axis=1)
    along_r = np.zeros((3, 6)) + np.array([[0], [0], [1]])

    def derivatives(direction):
        return jax.jvp(dual.moments, tuple(map(jnp.asarray, point)), tuple(map(jnp.asarray, direction)))[1]

    tdot = dual.moments(*map(jnp.asarray, point))[1]
    np.testing.assert_allclose(derivatives(along_r)[0][:5], tdot[:5], rtol=1e-8, atol=1e-12)
    ahead, behind = (dual.moments(*map(jnp.asarray, point + sign * steps)) for sign in (1, -1))
    kept = slice(None) if word in STEEP else slice(0, 1)  # their Tdot is infinite at equal inputs
    for derivative, high, low in list(zip(derivatives(steps), ahead, behind, strict=True))[kept]:
        # the difference has errors of rounding and of its third order, 1e-10 each, and of the quadrature, 1e-11/1e-5
        atol = 2e-6 if word == "elu" else 1e-8
        np.testing.assert_allclose(1e5 * derivative, (high - low) * 5e4, rtol=2e-6, atol=atol)


@pytest.mark.parametrize("word", ["polynomial:0.2:0.7:0.3", "tanh"])
def test_arrays_of_any_shape(word):
    generator = np.random.default_rng(0)
    p, q = generator.uniform(0.5, 1.5, (2, 3, 1)), generator.uniform(0.5, 1.5, (3, 4))
    r = generator.uniform(-0.4, 0.4, (2, 3, 4))
    dual = prepared(word, 0.5, 1.5)
    whole = dual.moments(*map(jnp.asarray, (p, q, r)))
    single = dual.moments(*(jnp.asarray(np.broadcast_to(a, r.shape)[1, 2, 3]) for a in (p, q, r)))
    outer = dual.pair(dual.rows(jnp.asarray(p[:, 2, 0])), dual.rows(jnp.asarray(q[2])), jnp.asarray(r[:, 2]))
    for a, b, c in zip(whole, single, outer, strict=True):
        assert a.shape == r.shape
        np.testing.assert_allclose(a[1, 2, 3], b, rtol=1e-12)
        np.testing.assert_allclose(a[:, 2], c, rtol=1e-12)


def test_hermite_sums_agree_with_the_closed_form_of_erf():
    hermite = HermiteDual(resolve_activation("erf")).for_variances(np.array([0.5, 2.0]))
    arguments = pairs(0.5, 2.0, RHO)
    np.testing.assert_allclose(hermite.T(*arguments), ErfDual().T(*arguments), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(hermite.Tdot(*arguments), ErfDual().Tdot(*arguments), rtol=1e-9)
    assert hermite.parity == 1


def test_one_of_ours_that_needs_more_terms_is_not_said_to_have_kinks():
    with pytest.warns(UserWarning, match=r"activation 'tanh': with 1024 Hermite terms .* variances of up to 1e\+06"):
        HermiteDual(resolve_activation("tanh")).for_variances(np.array([1.0, 1e6]))


def test_a_kink_is_announced_and_is_still_exact_for_equal_and_opposite_inputs():
    with pytest.warns(UserWarning, match=r"if phi has kinks, say where: Activation\('my relu', phi, kinks="):
        hermite = HermiteDual(Activation("my relu", jax.nn.relu)).for_variances(np.array([1.5]))
    arguments = pairs(1.5, 1.5, RHO)
    t = np.asarray(hermite.T(*arguments) - PiecewiseLinearDual().T(*arguments))
    tdot = np.asarray(hermite.Tdot(*arguments) - PiecewiseLinearDual().Tdot(*arguments))
    assert np.abs(t).max() < 5e-5 and np.abs(tdot).max() < 3e-3  # the errors which HermiteDual's docstring states
    # At rho = +-1 only the node spacing is left: h^2/24 of the jump in slope for T, nothing for Tdot.
    np.testing.assert_allclose(t[0, [0, -1]], 0, atol=1e-4)
    np.testing.assert_allclose(tdot[0, [0, -1]], 0, atol=1e-12)


@pytest.mark.parametrize("word", ["abs", "rectified_monomial:2"])
def test_quadrature_with_a_named_kink_equals_the_closed_form(word):
    """At all correlations, and at variances as unequal as those of inputs with norms 1 to 10."""
    mine = Activation("mine", resolve_activation(word).phi, kinks=(0.0,))
    for p, q in ((1.5, 1.5), (0.1, 10.0)):
        dual, arguments = prepared(mine, p, q), pairs(p, q, RHO)
        assert isinstance(dual, KinkedDual)
        for found, expected in zip(dual.moments(*arguments), dual_activation(word).moments(*arguments), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * float(jnp.abs(expected).max()))


def test_kinks_elsewhere_than_at_0():
    """Hard tanh, where the integral is one-dimensional: for equal inputs, and Tdot = P(|u| < 1, |v| < 1) given u."""
    hard = Activation("hard tanh", lambda u: jnp.clip(u, -1, 1), kinks=(-1.0, 1.0))
    dual = prepared(hard, P)
    expected = 2 * quad(lambda z: min(P * z * z, 1) * density(z), 0, 12, points=[1 / np.sqrt(P)], epsabs=1e-13)[0]
    slopes = 2 * quad(lambda z: density(z), 0, 1 / np.sqrt(P))[0]
    t, tdot = dual.moments(*pairs(P, P, [1.0, -1.0, 0.5]))
    np.testing.assert_allclose(t[0, :2], [expected, -expected], rtol=1e-9)
    np.testing.assert_allclose(tdot[0, :2], slopes, rtol=1e-9)

    def inside(z: float) -> float:  # P(|v| < 1) given u = sqrt(P) z
        ends = (np.array([-1, 1]) / np.sqrt(P) - z / 2) / np.sqrt(0.75)
        return float(np.diff(special.ndtr(ends))[0]) * density(z)

    edge = 1 / np.sqrt(P)
    np.testing.assert_allclose(tdot[0, 2], quad(inside, -edge, edge)[0], rtol=1e-9)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 6.0), (-0.3, 2.0)])
@pytest.mark.parametrize("p", [0.5, 8.0, 51.0, 146.0])
def test_the_error_that_is_told_of_kinks_without_names_holds(low, high, p):
    """Also where a kink falls between two nodes; at equal inputs Tdot = P(low < u < high)."""
    dual, root = HermiteDual(Activation("mine", lambda u: jnp.clip(u, low, high))), np.sqrt(p)
    with pytest.warns(UserWarning, match="kernels err by about") as told:
        dual = dual.for_variances(np.array([p]))
    (line,) = told
    error = float(str(line.message).partition("err by about ")[2].split()[0])
    t, tdot = (float(one[0, 0]) for one in dual.moments(*pairs(p, p, [1.0])))
    second = quad(lambda z: np.clip(root * z, low, high) ** 2 * density(z), -12, 12, points=[low / root, high / root])[
        0
    ]
    inside = special.ndtr(high / root) - special.ndtr(low / root)
    assert abs(t / second - 1) < error and abs(tdot / inside - 1) < error < 0.5


def test_a_missing_kink_and_a_jump_are_told_in_one_line():
    missing = Activation("hard tanh", lambda u: jnp.clip(u, -1, 1), kinks=(-1.0,))
    with pytest.warns(UserWarning, match="name all places"):
        prepared(missing, P)
    with pytest.raises(UserError, match=r"'mine' jumps at 0.*readout"):
        prepared(Activation("mine", jnp.sign, kinks=(0.0,)), P)


def test_phi_of_steps_has_an_infinite_tdot_where_inputs_are_equal_or_opposite():
    for word in ("sign", "step"):
        t, tdot = dual_activation(word).moments(*pairs(1.0, 1.0, [1.0, -1.0, 0.5]))
        assert np.all(np.isinf(tdot[0, :2])) and np.isfinite(tdot[0, 2])
        np.testing.assert_allclose(t[0, :2], [1, -1] if word == "sign" else [0.5, 0], atol=1e-15)
        assert dual_activation(word).Tdot(jnp.zeros(1), jnp.ones(1), jnp.zeros(1))[0] == 0


@pytest.mark.parametrize("word", DUALS)
def test_an_input_of_variance_0_is_phi_of_0(word):
    """T = phi(0) E[phi(v)] = T(0, q, 0), for one and for both inputs."""
    phi, dual = PHI[word][0], prepared(word)
    mean = quad(lambda z: float(phi(np.sqrt(Q) * z)) * density(z), -12, 0)[0]
    mean += quad(lambda z: float(phi(np.sqrt(Q) * z)) * density(z), 0, 12)[0]
    at_0 = float(phi(np.float64(0))) if word != "step" else 0.5
    nothing = jnp.zeros((2, 1))
    t, tdot = dual.moments(nothing, jnp.array([[0.0], [Q]]), nothing)
    np.testing.assert_allclose(t[:, 0], [at_0**2, at_0 * mean], rtol=1e-9, atol=1e-12)
    assert np.all(np.isfinite(tdot))
    derivative = jax.jacfwd(lambda p: jnp.stack(dual.moments(p, p, p)))(jnp.zeros(()))
    assert np.all(np.isfinite(derivative)) or word not in STEEP


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
        tdot = PiecewiseLinearDual().Tdot(*pairs(1.0, 1.0, c))
        np.testing.assert_allclose(tdot[0], expected.astype(float), rtol=3e-15)  # a dozen roundings


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_relu_is_exact_at_equal_opposite_and_zero_inputs(dtype):
    x = np.random.default_rng(1).standard_normal((50, 3072)).astype(dtype)
    p = jnp.asarray(np.einsum("nd,nd->n", x, x))
    gram = jnp.asarray(x @ x.T)
    dual = PiecewiseLinearDual()
    opposite = dual.Tdot(p[:, None], p[None, :], -gram)
    equal = dual.Tdot(p[:, None], p[None, :], gram)
    np.testing.assert_array_equal(np.diag(opposite), 0)
    np.testing.assert_array_equal(np.diag(equal), np.asarray(0.5, dtype))
    zero = jnp.zeros((1, 1), dtype)
    assert dual.T(zero, zero, zero)[0, 0] == 0
    assert dual.T(zero, zero + 1, zero)[0, 0] == 0
    assert dual.Tdot(zero, zero + 1, zero)[0, 0] == 0.25  # phi'(0) = 1/2 times E[phi'(v)] = 1/2


@pytest.mark.parametrize("word", [word for word in DUALS if word in STEEP])
def test_float32_keeps_its_digits(word):
    dual = prepared(word)
    single, double = (
        dual.moments(*pairs(P, Q, RHO[[2, 3, 4, 5, 6, 7]], dtype)) for dtype in (jnp.float32, jnp.float64)
    )
    for one, other in zip(single, double, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, atol=2e-6 * max(1, float(jnp.abs(other).max())))


@pytest.mark.parametrize("word", DUALS)
def test_second_moment_is_t_on_the_diagonal(word):
    dual = prepared(word, 0.7)
    second = dual.second_moment(jnp.array([0.7]))[0]
    np.testing.assert_allclose(second, dual.T(*pairs(0.7, 0.7, [1.0]))[0, 0], rtol=1e-12)


def test_no_warning_for_registered_activations_and_one_line_for_unknown_ones():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for word in WORDS:
            prepared(word, 0.1, 10.0)
    with pytest.raises(UserError, match="unknown activation"):
        resolve_activation("sine")


def test_a_function_of_the_users_under_a_registered_name_is_not_that_one():
    assert isinstance(dual_activation(Activation("relu", jnp.tanh)), HermiteDual)
    assert isinstance(dual_activation(Activation("relu:mine", jnp.tanh)), HermiteDual)


@pytest.mark.parametrize(
    ("typed", "shortest"),
    [
        ("leaky_relu:0.010", "leaky_relu"),
        ("leaky_relu:.1", "leaky_relu:0.1"),
        ("relu", "relu"),
        ("erf:1:1:0", "erf"),
        ("erf:1:0.5:0", "erf:1:0.5"),
        ("monomial:2", "monomial"),
        ("monomial:3.0", "monomial:3"),
        ("polynomial:0:1", "polynomial"),
        ("polynomial:0:1:0.5", "polynomial:0:1:0.5"),
        ("polynomial:1", "polynomial:1"),
    ],
)
def test_one_word_for_one_phi(typed, shortest):
    assert canonical(typed) == shortest
    assert resolve_activation(typed) is resolve_activation(shortest)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("relu:1", "type none, relu"),
        ("leaky_relu:0.1:2", "at most these, leaky_relu:slope"),
        ("elu:x", "'x' is no number"),
        ("monomial:0", "whole number"),
        ("monomial:1.5", "whole number"),
        ("sin:nan", "'nan' is no number"),
        ("sin:", "is no number"),
    ],
)
def test_a_word_that_is_wrong_is_told_how_to_be_typed(typed, told):
    with pytest.raises(UserError, match=told):
        resolve_activation(typed)
