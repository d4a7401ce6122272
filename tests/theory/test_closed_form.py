"""Closed forms against matrix exponentials, loops of gradient descent, and the authors' library."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from ntkrun.errors import NonFiniteError, UserError
from ntkrun.theory.closed_form import apply_kernel, flatten_blocks, gradient_descent, gradient_flow, spectrum

# Sums over <= 100 modes of O(1) numbers in float64: 1e-12 leaves a factor 100 over the rounding of eigh.
TOL = 1e-12


def blocks(flat, k):
    """(m k, n k) -> (m, n, k, k)."""
    m, n = flat.shape[0] // k, flat.shape[1] // k
    return flat.reshape(m, k, n, k).transpose(0, 2, 1, 3)


def problem(n=6, m=4, k=3, full=True, seed=0, rank=None):
    """Kernels from random Jacobians, so that train and test kernels are consistent, and random f0, y."""
    rng = np.random.default_rng(seed)
    rows = k if full else 1
    jac = rng.standard_normal(((n + m) * rows, rank or 3 * (n + m) * rows))
    theta = jac @ jac.T / 3
    train, cross = theta[: n * rows, : n * rows], theta[n * rows :, : n * rows]
    if full:
        train, cross = blocks(train, k), blocks(cross, k)
    return train, cross, *(rng.standard_normal(shape) for shape in ((n, k), (n, k), (m, k)))


CASES = [(1, True), (1, False), (3, True), (3, False)]


@pytest.mark.parametrize(("k", "full"), CASES)
@pytest.mark.parametrize("t", [0.0, 0.3, 7.0, 200.0])
def test_flow_is_the_matrix_exponential(k, full, t):
    train, cross, y, f0, g0 = problem(k=k, full=full)
    big, big_cross = (flatten_blocks(a) if full else np.kron(a, np.eye(k)) for a in (train, cross))
    r = (f0 - y).reshape(-1)
    decayed = scipy.linalg.expm(-big * t / y.size) @ r
    c = -np.linalg.solve(big, r - decayed)
    flow = gradient_flow(train, y, f0)
    np.testing.assert_allclose(flow.train_at(t), y + decayed.reshape(y.shape), atol=TOL)
    np.testing.assert_allclose(flow.coefficients_at(t), c.reshape(y.shape), atol=TOL)
    np.testing.assert_allclose(flow.test_at(t, g0, cross), g0 + (big_cross @ c).reshape(g0.shape), atol=TOL)


@pytest.mark.parametrize(("k", "full"), CASES)
@pytest.mark.parametrize("eta_lambda", [0.1, 0.9, 1.0, 1.9])
def test_descent_is_the_loop(k, full, eta_lambda):
    train, cross, y, f0, g0 = problem(k=k, full=full)
    peak = eta_lambda * y.size / spectrum(train).values[-1]
    rates = peak * np.concatenate([np.ones(9), np.cos(np.linspace(0.0, 1.5, 300)) ** 2])  # constant, then varying
    c, path = np.zeros_like(y), []
    for eta in rates:
        path.append(c)
        c = c - eta * (f0 + apply_kernel(train, c) - y) / y.size
    path = np.stack([*path, c])
    descent, steps = gradient_descent(train, y, f0, rates), np.array([309, 0, 1, 8, 17, 300, 17])
    np.testing.assert_allclose(descent.coefficients_at(steps), path[steps], atol=TOL)
    np.testing.assert_allclose(descent.train_at(steps), f0 + apply_kernel(train, path[steps]), atol=TOL)
    np.testing.assert_allclose(descent.test_at(steps, g0, cross), g0 + apply_kernel(cross, path[steps]), atol=TOL)
    np.testing.assert_array_equal(descent.train_at(np.int64(17)), descent.train_at(17))


def test_descent_removes_a_mode_at_exactly_one():
    y, f0 = np.array([[1.0], [2.0]]), np.zeros((2, 1))
    descent = gradient_descent(np.diag([1.0, 2.0]), y, f0, np.full(3, 1.0))  # eta lambda/(N k) = 1/2 and 1
    np.testing.assert_allclose(descent.train_at(3), [[0.875], [2.0]], rtol=1e-15)
    np.testing.assert_allclose(descent.coefficients_at(3), [[0.875], [1.0]], rtol=1e-15)


def test_descent_tends_to_flow_at_first_order():
    train, _, y, f0, _ = problem()
    flow, t = gradient_flow(train, y, f0).train_at(2.0), 2.0
    counts = np.array([50, 100, 200, 400, 800])
    errors = [np.abs(gradient_descent(train, y, f0, np.full(n, t / n)).train_at(int(n)) - flow).max() for n in counts]
    slope = np.polyfit(np.log(t / counts), np.log(errors), 1)[0]
    assert abs(slope - 1.0) < 0.05  # the next order, eta lambda/(N k) = 0.02 at the coarsest, tilts it this little


def test_long_schedules_are_cheap_and_exact():
    """25,600 different rates: the product is compared with the sum of logarithms in extended precision."""
    n_steps, lam = 25_600, np.array([0.0, 1e-12, 1e-3, 2.0])
    rates = np.linspace(0.5, 0.1, n_steps)
    y, f0 = np.zeros((4, 1)), np.ones((4, 1))
    descent = gradient_descent(np.diag(lam), y, f0, rates)
    x = lam.astype(np.longdouble)[:, None] * rates.astype(np.longdouble) / 4
    e = np.sum(np.log1p(-x), axis=1)
    s = np.where(lam > 0, -np.expm1(e) / np.where(lam > 0, lam, 1), rates.sum() / 4).astype(float)
    got = -descent.coefficients_at(np.array([n_steps]))[0, :, 0]
    np.testing.assert_allclose(got, s, rtol=1e-12)  # relative, also where eta lambda is 1e-13: no cancellation


@pytest.mark.parametrize(("k", "full"), CASES)
def test_limits(k, full):
    train, cross, y, f0, g0 = problem(k=k, full=full)
    flow = gradient_flow(train, y, f0)
    np.testing.assert_array_equal(flow.train_at(0), f0)
    np.testing.assert_array_equal(flow.test_at(0.0, g0, cross), g0)
    np.testing.assert_allclose(flow.train_at(np.inf), y, atol=TOL)
    np.testing.assert_allclose(flow.test_at(np.inf, g0, cross), flow.test_at(1e9, g0, cross), atol=TOL)
    ts = np.array([3.0, np.inf, 0.0])
    np.testing.assert_allclose(flow.train_at(ts), np.stack([flow.train_at(float(t)) for t in ts]), atol=TOL)
    # test points that are training points
    np.testing.assert_allclose(flow.test_at(ts, f0, train), flow.train_at(ts), atol=TOL)


def test_permuting_examples_permutes_outputs():
    train, cross, y, f0, g0 = problem()
    p = np.random.default_rng(1).permutation(len(y))
    a, b = gradient_flow(train, y, f0), gradient_flow(train[p][:, p], y[p], f0[p])
    np.testing.assert_allclose(b.train_at(3.0), a.train_at(3.0)[p], atol=TOL)
    np.testing.assert_allclose(b.test_at(3.0, g0, cross[:, p]), a.test_at(3.0, g0, cross), atol=TOL)


def test_duplicate_examples_with_contradicting_targets():
    """The pair is fitted by its mean target; c grows linearly along the null mode, its limit t/(N k)."""
    train, cross, y, f0, g0 = problem(full=False, k=1)
    same = np.array([0, 0, 1, 2, 3, 4])
    train, cross, f0 = train[np.ix_(same, same)], cross[:, same], f0[same]
    flow = gradient_flow(train, y, f0)
    target = y.copy()
    target[:2] = y[:2].mean()
    np.testing.assert_allclose(flow.train_at(np.inf), target, atol=TOL)
    assert np.isfinite(flow.coefficients_at(np.inf)).all()
    distinct = gradient_flow(train[1:, 1:], target[1:], f0[1:])
    np.testing.assert_allclose(flow.test_at(np.inf, g0, cross), distinct.test_at(np.inf, g0, cross[:, 1:]), atol=1e-11)
    t = 1e4
    c = flow.coefficients_at(t)[:, 0]
    np.testing.assert_allclose(c[0] - c[1], (y[0, 0] - y[1, 0]) * t / 6, rtol=1e-9)  # rounding eigenvalue 1e-15 x t


def test_low_rank_kernel_stays_finite():
    train, cross, y, f0, g0 = problem(rank=5)
    flow = gradient_flow(train, y, f0)
    np.testing.assert_allclose(flow.test_at(np.inf, g0, cross), flow.test_at(1e5, g0, cross), atol=1e-8)  # 1e-15 x 1e5


def test_golden(golden: Path):
    z = np.load(golden / "linearised_dynamics.npz")
    flow = gradient_flow(blocks(z["ntk_train_train"], 3), z["y_train"], z["f0_train"])
    cross = blocks(z["ntk_test_train"], 3)
    for j, t in enumerate(z["times"]):
        np.testing.assert_allclose(flow.train_at(float(t)), z[f"mse_{j}_train"], atol=1e-12)
        np.testing.assert_allclose(flow.test_at(float(t), z["f0_test"], cross), z[f"mse_{j}_test"], atol=1e-12)


def test_float32_kernels_may_be_indefinite_by_their_own_rounding():
    x = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    kernel = jnp.asarray(x) @ jnp.asarray(x).T
    assert spectrum(kernel).values[0] == 0.0
    y = np.zeros((40, 1), np.float32)
    assert gradient_flow(kernel, y, y + 1).train_at(1.0).dtype == np.float64
    with pytest.raises(UserError, match="smallest eigenvalue -1e-06"):
        spectrum(np.diag([-1e-6, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.diag([-0.5, 1.0]), "smallest eigenvalue -0.5"),
        (np.array([[1.0, 0.5], [0.1, 1.0]]), "not symmetric"),
        (np.ones((2, 3)), "square"),
        (np.array([[np.nan, 0.0], [0.0, 1.0]]), "nan or inf"),
    ],
)
def test_bad_kernels(kernel, message):
    with pytest.raises(UserError, match=message) as caught:
        spectrum(kernel)
    assert "\n" not in str(caught.value)


def test_bad_times():
    y = np.ones((2, 1))
    flow = gradient_flow(np.eye(2), y, 0 * y)
    descent = gradient_descent(np.eye(2), y, 0 * y, np.full(5000, 6.0))  # |1 - 6/2| = 2
    with pytest.raises(UserError, match=">= 0"):
        flow.train_at(-1.0)
    for step in (2.5, 5001, np.inf):
        with pytest.raises(UserError, match="at most 5000"):
            descent.train_at(step)
    np.testing.assert_allclose(descent.train_at(3), 9.0)  # 1 - (-2)^3
    with pytest.raises(NonFiniteError, match="diverged by step 5000"):
        descent.train_at(5000)
    with pytest.raises(NonFiniteError, match="schedule"):
        gradient_descent(np.eye(2), y, y, np.array([np.nan]))
