"""The ODE route against the authors' library, the closed form, and small steps of RK4 and of heavy ball."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.errors import UserError
from ntkrun.theory import gradient_flow as ode
from ntkrun.theory.closed_form import apply_kernel, gradient_flow


def linear_flow(*arguments, **options):
    """At the tolerances of configs/config.yaml."""
    return ode.linear_flow(*arguments, **(dict(rtol=1e-8, atol=1e-10, max_steps=100_000) | options))


def mse(f, y):
    return (f - y) / f.size


def cross_entropy(f, y):
    return (jax.nn.softmax(f, axis=-1) * jnp.sum(y, axis=-1, keepdims=True) - y) / f.size


@pytest.fixture(scope="module")
def given(golden: Path):
    z = dict(np.load(golden / "linearised_dynamics.npz"))

    def blocks(flat):
        return flat.reshape(-1, 3, 24, 3).transpose(0, 2, 1, 3)

    arrays = (blocks(z["ntk_train_train"]), z["y_train"], z["f0_train"])
    return z, arrays, {"ntk_test_train": blocks(z["ntk_test_train"]), "f0_test": z["f0_test"]}


def test_golden_squared_loss(given):
    z, (theta, y, f0), test = given
    got = linear_flow(theta, y, f0, z["times"], loss_gradient=mse, **test)
    closed = gradient_flow(theta, y, f0)
    assert got.test is not None
    for j in range(len(z["times"])):
        np.testing.assert_allclose(got.train[j], z[f"mse_{j}_train"], atol=1e-8)
        np.testing.assert_allclose(got.test[j], z[f"mse_{j}_test"], atol=1e-8)
    # c reaches 100 x outputs here; the tolerance is relative to it
    np.testing.assert_allclose(got.coefficients, closed.coefficients_at(z["times"]), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "loss", "scale", "options"),
    [
        ("ce", cross_entropy, 0.1, {}),  # flow time eta * steps
        ("mse_momentum", mse, np.sqrt(0.1), {"momentum": 0.9, "learning_rate": 0.1}),  # sqrt(eta) * steps
    ],
)
def test_golden_cross_entropy_and_momentum(given, name, loss, scale, options: Any):
    z, (theta, y, f0), test = given
    got = linear_flow(theta, y, f0, scale * z["times"], loss_gradient=loss, **test, **options)
    assert got.test is not None
    np.testing.assert_allclose(got.train, z[f"{name}_train"], atol=1e-6)  # the file's own integration error is 1e-7
    np.testing.assert_allclose(got.test, z[f"{name}_test"], atol=1e-6)


def small(k=2, n=5):
    rng = np.random.default_rng(0)
    jac = rng.standard_normal((n, 20))
    return jac @ jac.T / 4, np.eye(k)[rng.integers(k, size=n)], rng.standard_normal((n, k))


def test_cross_entropy_is_rk4_with_small_steps():
    theta, y, f0 = small()
    h, f = 0.01, f0

    def slope(f):
        p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
        return -theta @ (p - y) / y.size

    for _ in range(500):
        k1 = slope(f)
        k2 = slope(f + h / 2 * k1)
        k3 = slope(f + h / 2 * k2)
        f = f + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(f + h * k3))
    got = linear_flow(theta, y, f0, np.array([5.0]), loss_gradient=cross_entropy)
    np.testing.assert_allclose(got.train[0], f, atol=1e-8)  # h^4 = 1e-8 times a small derivative


def test_heavy_ball_tends_to_the_flow_with_momentum():
    """f_{i+1} = f_i - eta Theta grad L + beta (f_i - f_{i-1}), time sqrt(eta) i: error O(sqrt(eta)), friction fixed."""
    theta, y, f0 = small()
    friction, t, errors, roots = 0.5, 4.0, [], 4.0 / np.array([100, 200, 400, 800])
    for root in roots:
        beta, f, before = 1 - friction * root, f0, f0
        for _ in range(round(t / root)):
            f, before = f - root**2 * theta @ mse(f, y) + beta * (f - before), f
        flow = linear_flow(
            theta, y, f0, np.array([t]), loss_gradient=mse, momentum=float(beta), learning_rate=float(root**2)
        )
        errors.append(np.abs(flow.train[0] - f).max())
    slope = np.polyfit(np.log(roots), np.log(errors), 1)[0]
    assert abs(slope - 1.0) < 0.1


def test_invariants():
    theta, y, f0 = small()
    times = np.array([3.0, 0.0, 10.0, 3.0])
    got = linear_flow(theta, y, f0, times, loss_gradient=mse, ntk_test_train=theta[:2], f0_test=f0[:2])
    np.testing.assert_array_equal(got.train[1], f0)
    np.testing.assert_array_equal(got.train[0], got.train[3])
    assert got.test is not None
    np.testing.assert_allclose(got.test, got.train[:, :2], atol=1e-14)
    np.testing.assert_allclose(got.train, gradient_flow(theta, y, f0).train_at(times), atol=1e-8)
    np.testing.assert_allclose(got.train, f0 + apply_kernel(theta, got.coefficients), atol=1e-14)
    p = np.array([3, 1, 0, 4, 2])
    moved = linear_flow(theta[np.ix_(p, p)], y[p], f0[p], times, loss_gradient=mse)
    assert moved.test is None
    np.testing.assert_allclose(moved.train, got.train[:, p], atol=1e-12)


def test_long_horizon_is_limited_by_stability():
    theta, y, f0 = small()
    t, fastest = 3000.0, np.linalg.eigvalsh(theta)[-1] / y.size
    got = linear_flow(theta, y, f0, np.array([0.0, t / 2, t]), loss_gradient=mse)  # three times: compiled before
    assert t * fastest / 7 < got.solver_steps < t * fastest / 3  # the docstring says 5
    np.testing.assert_allclose(got.train[2], gradient_flow(theta, y, f0).train_at(t), atol=1e-7)


def test_errors():
    theta, y, f0 = small()

    def run(times: tuple[float, ...] = (1.0,), **options: Any):
        return linear_flow(theta, y, f0, np.array(times), loss_gradient=mse, **options)

    with pytest.raises(UserError, match=r"of 3000 after 20 steps \(max_steps = 20") as caught:
        run(times=(3000.0,), max_steps=20)
    assert "\n" not in str(caught.value)
    unusable: list[tuple[float, ...]] = [(np.inf,), (-1.0,), (np.nan,), ()]
    for times in unusable:
        with pytest.raises(UserError, match="times"):
            run(times)
    with pytest.raises(UserError, match="both"):
        run(f0_test=f0)
    for options in (
        {"momentum": 0.9},
        {"momentum": 1.0, "learning_rate": 0.1},
        {"momentum": 0.5, "learning_rate": 0.0},
    ):
        with pytest.raises(UserError, match="momentum needs"):
            run((1.0,), **options)
