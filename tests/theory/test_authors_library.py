"""Dynamics, output distributions and learning rates against the authors' library, on its own kernels: tests/golden/README.md."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.dynamics.metrics import LOSSES
from ntkrun.kernels.analytic import Kernels
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.networks import Activation, Conv, Dense, Flatten, Layer, Sequential
from ntkrun.theory.closed_form import gradient_flow
from ntkrun.theory.gradient_flow import linear_flow
from ntkrun.theory.learning_rate import eta_critical, extreme_eigenvalues
from ntkrun.theory.output_distribution import nngp_gp, ntk_gp

AFFINE: dict[str, Any] = dict(sigma_w2=1.5, sigma_b2=0.1)
ERF, RELU = Activation("erf"), Activation("relu")
FINITE: dict[str, Layer] = {
    "flow_mse_empirical_k3": Sequential(Dense(24, **AFFINE), ERF, Dense(24, **AFFINE), ERF, Dense(3, **AFFINE)),
    "empirical_cnn_flatten": Sequential(
        Conv(8, **AFFINE), RELU, Conv(8, **AFFINE), RELU, Flatten(), Dense(2, **AFFINE)
    ),
}


@pytest.fixture(scope="module")
def values(golden):
    with np.load(golden / "nt_cases.npz") as found:
        return dict(found)


def case(values, name: str) -> dict[str, Any]:
    return {key.split("/")[1]: value for key, value in values.items() if key.startswith(f"{name}/")}


@pytest.mark.parametrize("name", ["flow_mse_k1", "flow_mse_k3", "flow_mse_cntk", "flow_mse_empirical_k3"])
def test_gradient_flow_under_the_squared_loss(values, name):
    of = case(values, name)
    flow, times = gradient_flow(of["ntk_dd"], of["y"], of["f0_train"]), of["lr"] * of["t"]
    np.testing.assert_allclose(flow.train_at(times), of["train"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(flow.test_at(times, of["f0_test"], of["ntk_td"]), of["test"], rtol=1e-9, atol=1e-11)
    if "test_inf" in of:
        np.testing.assert_allclose(flow.train_at(np.inf), of["train_inf"], rtol=1e-9, atol=1e-11)
        found = flow.test_at(np.inf, of["f0_test"], of["ntk_td"])
        np.testing.assert_allclose(found, of["test_inf"], rtol=1e-7, atol=1e-9)  # it solves, which costs digits


@pytest.mark.parametrize("name", FINITE)
def test_the_kernel_of_a_finite_network(values, name):
    of, model = case(values, name), FINITE[name].module(dtype=jnp.float64)
    layers = range(1, 4)
    params = {f"layer_{i}": {"omega": jnp.asarray(of[f"W{i}"]), "beta": jnp.ravel(of[f"b{i}"])} for i in layers}
    f0 = np.asarray(model.apply({"params": params}, of["x_train"]))
    np.testing.assert_allclose(f0, of["f0_train"], rtol=1e-9, atol=1e-12)
    x, x_test = map(jnp.asarray, (of["x_train"], of["x_test"]))
    for found, expected in (
        (empirical_ntk(model, params, x), "ntk_dd"),
        (empirical_ntk(model, params, x_test, x), "ntk_td"),
    ):
        np.testing.assert_allclose(found, of[expected], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("name", "loss"), [("ode_mse_momentum", "mse"), ("ode_ce", "cross_entropy")])
def test_gradient_flow_by_the_solver(values, name, loss):
    of = case(values, name)
    momentum, rate = (0.9, float(of["lr"])) if loss == "mse" else (None, None)
    times = of["t"] * (of["lr"] ** 0.5 if momentum else of["lr"])
    found = linear_flow(
        of["ntk_dd"], of["y"], of["f0_train"], times, loss_gradient=jax.grad(LOSSES[loss]), momentum=momentum,
        learning_rate=rate, rtol=1e-9, atol=1e-11, max_steps=100_000, ntk_test_train=of["ntk_td"], f0_test=of["f0_test"],
    )  # fmt: skip
    np.testing.assert_allclose(found.train, of["train"], atol=1e-5)  # its integrator's tolerance is 1.4e-8 a step
    np.testing.assert_allclose(np.asarray(found.test), of["test"], atol=1e-5)


@pytest.mark.parametrize("name", ["ens_relu_k1", "ens_erf_k2", "ens_relu_k1_regabs"])
@pytest.mark.parametrize("get", ["ntk", "nngp"])
def test_distribution_of_outputs(values, name, get):
    of = case(values, name)
    train, cross, test = (Kernels(of[f"nngp_{pair}"], of[f"ntk_{pair}"]) for pair in ("dd", "td", "tt"))
    distribution, driving = (ntk_gp, train.ntk) if get == "ntk" else (nngp_gp, train.nngp)
    regular = 0.05 / np.mean(np.diagonal(driving)) if name.endswith("regabs") else 0.0
    times = np.append(of["lr"] * of["t"], np.inf)
    found = distribution(train, cross, test, of["y"], times, diag_reg=float(regular))
    expected = [np.concatenate([of[f"{get}_{what}"], of[f"{get}_{what}_inf"][None]]) for what in ("mean", "cov")]
    np.testing.assert_allclose(found.mean, expected[0], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.covariance, expected[1], rtol=1e-7, atol=1e-9)
    if not regular:  # with it the library's training points have a meaning of their own
        found = distribution(train, train, train, of["y"], times[:-1])
        np.testing.assert_allclose(found.mean, of[f"{get}_train_mean"], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found.covariance, of[f"{get}_train_cov"], rtol=1e-7, atol=1e-9)


def test_the_largest_learning_rate(values):
    of = case(values, "max_lr")
    k, ntk = of["y"].shape[1], of["ntk_dd"]
    assert eta_critical(ntk, k, momentum=0.9) == pytest.approx(float(of["lr_momentum"]), rel=1e-9)
    # without momentum it tells the limit of stability; Theorem 2.1's rate has lambda_min beside lambda_max
    smallest, largest = extreme_eigenvalues(ntk)
    assert float(of["lr_plain"]) == pytest.approx(2 * of["y"].size / largest, rel=1e-9)
    assert eta_critical(ntk, k) == pytest.approx(2 * of["y"].size / (smallest + largest), rel=1e-12)
