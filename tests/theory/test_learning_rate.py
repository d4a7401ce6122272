"""eta_critical against iterations on both sides of it, and Lanczos against the whole spectrum."""

import numpy as np
import pytest

from ntkrun.errors import UserError
from ntkrun.theory import learning_rate
from ntkrun.theory.closed_form import apply_kernel, flatten_blocks, gradient_descent
from ntkrun.theory.learning_rate import eta_critical, extreme_eigenvalues


def kernel(n=6, k=1, seed=0):
    """(n, n) for k = 1, else (n, n, k, k)."""
    jac = np.random.default_rng(seed).standard_normal((n * k, 3 * n * k))
    theta = jac @ jac.T / n
    return theta if k == 1 else theta.reshape(n, k, n, k).transpose(0, 2, 1, 3)


@pytest.mark.parametrize("k", [1, 3])
def test_definition(k):
    theta = kernel(k=k)
    values = np.linalg.eigvalsh(flatten_blocks(theta))
    np.testing.assert_allclose(extreme_eigenvalues(theta), (values[0], values[-1]), rtol=1e-12)
    np.testing.assert_allclose(eta_critical(theta, k), 2 * 6 * k / (values[0] + values[-1]), rtol=1e-12)


def test_one_kernel_for_all_outputs_counts_the_outputs():
    theta = kernel()
    full = theta[:, :, None, None] * np.eye(4)
    np.testing.assert_allclose(eta_critical(theta, 4), eta_critical(full, 4), rtol=1e-12)
    np.testing.assert_allclose(eta_critical(theta, 4), 4 * eta_critical(theta, 1), rtol=1e-12)


def test_extreme_modes_contract_equally():
    theta, y = kernel(), np.ones((6, 1))
    values, vectors = np.linalg.eigh(theta)
    eta = eta_critical(theta, 1)
    factors = [abs(1 - eta * values[i] / 6) for i in (0, -1)]
    np.testing.assert_allclose(factors[0], factors[1], rtol=1e-12)
    f0 = y + vectors[:, -1:]
    after = gradient_descent(theta, y, f0, np.full(50, eta)).train_at(50) - y
    np.testing.assert_allclose(np.linalg.norm(after), factors[0] ** 50, rtol=1e-10)


@pytest.mark.parametrize("beta", [0.3, 0.9])
@pytest.mark.parametrize(("relative", "stable"), [(0.98, True), (1.02, False)])
def test_heavy_ball_limit(beta, relative, stable):
    theta = kernel(k=2)
    eta = relative * eta_critical(theta, 2, momentum=beta)
    r = before = np.random.default_rng(0).standard_normal((6, 2))
    for _ in range(3000):
        r, before = r - eta * apply_kernel(theta, r) / r.size + beta * (r - before), r
        if np.abs(r).max() > 1e6:
            break
    # at 2 % below the limit the root nearest -1 contracts by 1 - O(0.02 (1 + beta)/(1 - beta)), ample over 3,000 steps
    assert (np.abs(r).max() < 1e-3) == stable


@pytest.mark.parametrize(("relative", "stable"), [(0.98, True), (1.02, False)])
def test_limit_of_another_optimizer(relative, stable):
    """Nesterov's: heavy ball with the gradient of the point it would reach."""
    theta, beta = kernel(k=2), 0.9
    eta = relative * eta_critical(theta, 2, stable_product=(2 + 2 * beta) / (1 + 2 * beta))
    r = before = np.random.default_rng(0).standard_normal((6, 2))
    for _ in range(3000):
        ahead = r + beta * (r - before)
        r, before = ahead - eta * apply_kernel(theta, ahead) / r.size, r
        if np.abs(r).max() > 1e6:
            break
    assert (np.abs(r).max() < 1e-3) == stable


def test_cross_entropy_rate_is_safe_and_reached_at_even_odds():
    """One example, two logits: at p = 1/2 the Hessian's eigenvalue is exactly 1/2, and the bound is the limit."""
    theta = np.eye(1)

    def step(f, eta):
        p = np.exp(f) / np.exp(f).sum()
        return f - eta * theta @ (p - np.array([[0.5, 0.5]])) / 2

    eta = eta_critical(theta, 2, loss="cross_entropy")
    np.testing.assert_allclose(eta, 8.0)  # 2/(1/2 * 1/(N k))
    for relative, stable in ((0.98, True), (1.02, False)):
        f = np.array([[1e-3, -1e-3]])
        for _ in range(500):
            f = step(f, relative * eta)
        assert (np.abs(f).max() < 1e-6) == stable


@pytest.mark.parametrize("features", [50, 400])
def test_lanczos_agrees_with_the_whole_spectrum(monkeypatch, features):
    x = np.random.default_rng(0).standard_normal((300, features)) + 0.3
    theta = np.maximum(x @ x.T / features, 0.0) ** 2
    dense = extreme_eigenvalues(theta)
    monkeypatch.setattr(learning_rate, "DENSE_ROWS", 10)
    np.testing.assert_allclose(extreme_eigenvalues(theta), dense, rtol=0, atol=1e-6 * dense[1])
    np.testing.assert_allclose(extreme_eigenvalues(3.0 * np.eye(50)), (3.0, 3.0), rtol=1e-6)
    np.testing.assert_array_equal(extreme_eigenvalues(np.zeros((50, 50))), (0.0, 0.0))


def test_errors():
    theta = kernel(k=2)
    with pytest.raises(UserError, match="2 outputs"):
        eta_critical(theta, 3)
    with pytest.raises(UserError, match="momentum"):
        eta_critical(theta, 2, momentum=1.0)
    for product, momentum in ((0.0, 0.0), (2.0, 0.9)):
        with pytest.raises(UserError, match="stable_product"):
            eta_critical(theta, 2, stable_product=product, momentum=momentum)
    with pytest.raises(UserError, match="zero"):
        eta_critical(np.zeros((3, 3)), 1)
    with pytest.raises(UserError, match="square"):
        extreme_eigenvalues(np.ones((2, 3)))
