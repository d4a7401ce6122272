"""Distributions of outputs against the authors' library, direct matrix algebra and ensembles of linear models."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.linalg

from ntkrun.errors import UserError
from ntkrun.theory.closed_form import gradient_descent, gradient_flow
from ntkrun.theory.output_distribution import nngp_gp, ntk_gp

TIMES = np.array([0.0, 0.5, 20.0, 300.0, np.inf])


class Pair(NamedTuple):
    nngp: np.ndarray
    ntk: np.ndarray


def split(nngp, ntk, n) -> Any:
    """Kernels over n + m points -> (train, train), (test, train), (test, test)."""
    a, b = slice(None, n), slice(n, None)
    return [Pair(nngp[i, j], ntk[i, j]) for i, j in ((a, a), (b, a), (b, b))]


def problem(n=12, m=5, k=2, seed=0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n + m, 6))
    gram = x @ x.T / 6
    nngp = np.exp(gram - 1) + 0.1 * np.eye(n + m)
    return [*split(nngp, nngp + gram * nngp, n), rng.standard_normal((n, k))]


def erf_kernels(x, depth, sigma_w2, sigma_b2):
    """(S24)-(S29) for erf."""
    nngp = sigma_w2 * x @ x.T / x.shape[1] + sigma_b2
    ntk = nngp
    for _ in range(depth):
        d = 1 + 2 * np.diagonal(nngp)
        norm = np.sqrt(d[:, None] * d)
        dot = 4 / np.pi / np.sqrt(norm**2 - 4 * nngp**2)
        nngp = sigma_w2 * 2 / np.pi * np.arcsin(2 * nngp / norm) + sigma_b2
        ntk = nngp + sigma_w2 * ntk * dot
    return nngp, ntk


def test_golden(golden: Path):
    z = np.load(golden / "output_distribution.npz")
    depth, activation, sigma_w2, sigma_b2 = z["case"]
    assert activation == "erf"
    x = np.concatenate([z["x_train"], z["x_test"]])
    tt, st, ss = split(*erf_kernels(x, int(depth), float(sigma_w2), float(sigma_b2)), len(z["x_train"]))
    for name, gp in (("ntk", ntk_gp), ("nngp", nngp_gp)):
        got = gp(tt, st, ss, z["y_train"], z["times"])
        for j in range(len(z["times"])):
            np.testing.assert_allclose(got.mean[j], z[f"{j}_{name}_mean"], rtol=0, atol=1e-10)
            np.testing.assert_allclose(got.covariance[j], z[f"{j}_{name}_cov"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("t", [0.0, 0.5, 20.0, 3000.0])
def test_the_printed_formulas(t):
    """(14), (15) and (S22), (S23) by solves and matrix exponentials, for k = 2: the time constant holds N k."""
    tt, st, ss, y = problem()
    got, got_k = ntk_gp(tt, st, ss, y, np.array([t])), nngp_gp(tt, st, ss, y, np.array([t]))
    one = np.eye(len(y))
    a = st.ntk @ np.linalg.solve(tt.ntk, one - scipy.linalg.expm(-tt.ntk * t / y.size))
    cross = a @ st.nngp.T
    np.testing.assert_allclose(got.mean[0], a @ y, atol=1e-11)
    np.testing.assert_allclose(got.covariance[0], ss.nngp + a @ tt.nngp @ a.T - cross - cross.T, atol=1e-11)
    a = st.nngp @ np.linalg.solve(tt.nngp, one - scipy.linalg.expm(-tt.nngp * t / y.size))
    np.testing.assert_allclose(got_k.mean[0], a @ y, atol=1e-11)
    drop = np.linalg.solve(tt.nngp, one - scipy.linalg.expm(-2 * tt.nngp * t / y.size)) @ st.nngp.T
    np.testing.assert_allclose(got_k.covariance[0], ss.nngp - st.nngp @ drop, atol=1e-11)


def test_readout_training_is_the_case_theta_equals_k():
    """(S23) must follow from (15): this is what decides on the factor 2."""
    tt, st, ss, y = problem()
    same = [Pair(kernel.nngp, kernel.nngp) for kernel in (tt, st, ss)]
    a, b = ntk_gp(same[0], same[1], same[2], y, TIMES), nngp_gp(tt, st, ss, y, TIMES)
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-12)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-12)


def test_ensemble_of_linear_networks():
    """f_0 drawn from N(0, K), each trained by the closed form: its mean and covariance are (14, 15)."""
    tt, st, ss, y = problem(n=6, m=3, k=1)
    joint = np.block([[tt.nngp, st.nngp.T], [st.nngp, ss.nngp]])
    draws = 20_000
    f0 = np.linalg.cholesky(joint) @ np.random.default_rng(0).standard_normal((9, draws))
    # independent columns share the kernel; N k of the many-column problem is `draws` times larger, hence the time
    flow = gradient_flow(tt.ntk, np.repeat(y, draws, axis=1), f0[:6])
    f = flow.test_at(10.0 * draws, f0[6:], st.ntk)
    got = ntk_gp(tt, st, ss, y, np.array([10.0]))
    scale = np.diagonal(ss.nngp).max()
    np.testing.assert_allclose(f.mean(axis=1), got.mean[0, :, 0], atol=5 * np.sqrt(scale / draws))  # 5 sigma
    np.testing.assert_allclose(np.cov(f), got.covariance[0], atol=5 * scale * np.sqrt(2 / draws))


@pytest.mark.parametrize("gp", [ntk_gp, nngp_gp])
def test_invariants(gp):
    tt, st, ss, y = problem()
    got = gp(tt, st, ss, y, TIMES)
    np.testing.assert_array_equal(got.mean[0], 0.0)
    np.testing.assert_allclose(got.covariance[0], ss.nngp, atol=1e-14)
    np.testing.assert_array_equal(got.covariance, got.covariance.swapaxes(1, 2))
    assert np.linalg.eigvalsh(got.covariance).min() > -1e-13
    variances = gp(tt, st, ss, y, TIMES, diagonal_only=True).covariance
    np.testing.assert_allclose(variances, np.diagonal(got.covariance, axis1=1, axis2=2), atol=1e-13)
    # training points: interpolated without variance in the end
    on_train = gp(tt, tt, tt, y, TIMES)
    np.testing.assert_allclose(on_train.mean[-1], y, atol=1e-11)
    np.testing.assert_allclose(on_train.covariance[-1], 0.0, atol=1e-11)
    # any order and number of times
    many = np.concatenate([np.geomspace(1e-3, 1e6, 60), TIMES])
    order = np.random.default_rng(0).permutation(len(many))
    shuffled = gp(tt, st, ss, y, many[order])
    np.testing.assert_allclose(shuffled.covariance[np.argsort(order)[-5:]], got.covariance, atol=1e-12)
    p = np.random.default_rng(1).permutation(len(y))
    mixed = gp(Pair(*(a[np.ix_(p, p)] for a in tt)), Pair(*(a[:, p] for a in st)), ss, y[p], TIMES)
    np.testing.assert_allclose(mixed.covariance, got.covariance, atol=1e-12)
    np.testing.assert_allclose(mixed.mean, got.mean, atol=1e-12)


def test_more_test_points_than_a_block():
    tt, st, ss, y = problem(n=5, m=300, k=1)
    got = ntk_gp(tt, st, ss, y, TIMES)
    last = ntk_gp(tt, Pair(*(a[290:] for a in st)), Pair(*(a[290:, 290:] for a in ss)), y, TIMES)
    np.testing.assert_allclose(got.covariance[:, 290:, 290:], last.covariance, atol=1e-12)


@pytest.mark.parametrize("gp", [ntk_gp, nngp_gp])
def test_a_repeated_training_point_counts_twice_and_divides_nothing_by_zero(gp):
    tt, st, ss, y = problem(k=1)
    i = np.r_[0, np.arange(12)]
    tt2, st2 = Pair(*(a[np.ix_(i, i)] for a in tt)), Pair(*(a[:, i] for a in st))
    got, once = gp(tt2, st2, ss, y[i], np.array([5.0, np.inf])), gp(tt, st, ss, y, np.array([np.inf]))
    assert np.isfinite(got.covariance).all()
    np.testing.assert_allclose(got.mean[1], once.mean[0], atol=1e-10)  # condition number 1e2 x rounding, with room
    np.testing.assert_allclose(got.covariance[1], once.covariance[0], atol=1e-10)


def test_diag_reg_is_relative_to_the_mean_diagonal():
    tt, st, ss, y = problem()
    ridge = 0.1 * np.mean(np.diagonal(tt.ntk)) * np.eye(len(y))
    by_hand = ntk_gp(Pair(tt.nngp, tt.ntk + ridge), st, ss, y, TIMES)
    got = ntk_gp(tt, st, ss, y, TIMES, diag_reg=0.1)
    np.testing.assert_allclose(got.covariance, by_hand.covariance, atol=1e-13)
    np.testing.assert_allclose(got.mean, by_hand.mean, atol=1e-13)
    # kernels to other inputs are as they were, at a training point too: at the end it is short of its target
    end = ntk_gp(tt, tt, tt, y, np.array([np.inf]), diag_reg=0.1).mean[0]
    np.testing.assert_allclose(end, tt.ntk @ np.linalg.solve(tt.ntk + ridge, y), atol=1e-12)


def test_errors():
    tt, st, ss, y = problem()
    for bad in (np.array([-1.0]), np.array([np.nan]), np.array([])):
        with pytest.raises(UserError, match="times"):
            ntk_gp(tt, st, ss, y, bad)
    with pytest.raises(UserError, match="diag_reg"):
        nngp_gp(tt, st, ss, y, TIMES, diag_reg=-1.0)
    with pytest.raises(UserError, match="smallest eigenvalue"):
        ntk_gp(Pair(tt.nngp, -tt.ntk), st, ss, y, TIMES)


def test_discrete_time_is_the_closed_form_of_each_member_and_flow_for_small_steps():
    """f_0 ~ N(0, K) moved by gradient descent, (14, 15) with E_i = prod (I - eta_j Theta/N): exact by linearity."""
    tt, st, ss, y = problem(n=6, m=3, k=1)
    rates = np.linspace(0.4, 0.1, 30)
    joint = np.block([[tt.nngp, st.nngp.T], [st.nngp, ss.nngp]])
    # the images of the columns of a square root of K: their Gram matrix is the covariance, no sampling
    f0 = np.linalg.cholesky(joint)
    zero = np.zeros((6, 9))
    for kernels, gp in ((tt.ntk, ntk_gp), (tt.nngp, nngp_gp)):
        cross = st.ntk if gp is ntk_gp else st.nngp
        got = gp(tt, st, ss, y, np.array([0.0, 7.0, 30.0]), learning_rates=rates)
        moved = gradient_descent(kernels, zero, f0[:6], rates * zero.shape[1])  # its N k is 9 times as large
        mean = gradient_descent(kernels, y, np.zeros_like(y), rates)
        for row, step in enumerate((0, 7, 30)):
            f = moved.test_at(step, f0[6:], cross)
            np.testing.assert_allclose(got.covariance[row], f @ f.T, atol=1e-13)
            np.testing.assert_allclose(got.mean[row], mean.test_at(step, np.zeros((3, 1)), cross), atol=1e-13)
        fine = gp(tt, st, ss, y, np.array([5000.0]), learning_rates=np.full(5000, 1e-3))
        flow = gp(tt, st, ss, y, np.array([5.0]))
        np.testing.assert_allclose(fine.covariance, flow.covariance, atol=1e-3)  # O(eta lambda) of one step
        with pytest.raises(UserError, match="whole"):
            gp(tt, st, ss, y, np.array([0.5]), learning_rates=rates)
