# Flax dataclasses hide the signature of rivals built from unpacked arguments.
# pyright: reportCallIssue=false, reportArgumentType=false
"""Training the readout alone: one cut of the gradient, the same in every rival, and the NNGP posterior at its end."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.linear_parameter_space import LinearParameterSpace
from ntkrun.dynamics.network import Network, predict
from ntkrun.errors import UserError
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk, ntk_scale
from ntkrun.kernels.weight_jacobian import weight_jacobian
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import FullBatch, run_lockstep
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model
from ntkrun.theory.closed_form import gradient_descent
from ntkrun.theory.output_distribution import nngp_gp

RNG = np.random.default_rng(5)
X, X_TEST = (jnp.asarray(RNG.normal(size=(rows, 6))) for rows in (10, 4))
WATCHED = ((("layer_1", "omega"), 3), (("layer_2", "omega"), 7), (("layer_3", "omega"), 1))
STEPS = [0, 1, 30]


def model_of(parameterization: str = "ntk", k: int = 2, **fields):
    given = dict(width=20, depth=2, n_outputs=k, activation="tanh", sigma_w2=1.5, sigma_b2=0.2, dtype=jnp.float64)
    return build_model("fc", trained="readout", parameterization=parameterization, **(given | fields))


def test_network_and_both_linear_routes_are_one():
    """The readout enters linearly, so that f = f_lin for any loss and rate; the layers below do not move."""
    k, tx, loss = 3, optax.sgd(0.5, momentum=0.9), "cross_entropy"
    model, y = model_of(k=k), jnp.asarray(np.eye(k)[RNG.integers(k, size=len(X))])
    theta0 = model.init(jax.random.key(0), X[:1])["params"]
    arrays = (theta0, X, y, X_TEST, model, tx, loss, WATCHED)
    f0_train, f0_test = (predict(model, theta0, x) for x in (X, X_TEST))
    jacobian = weight_jacobian(model, theta0, X, WATCHED)
    kernels = [empirical_ntk(model, theta0, X), empirical_ntk(model, theta0, X_TEST, X)]
    rivals = {
        "network": Network(*arrays),
        "parameter": LinearParameterSpace(*arrays),
        "function": LinearFunctionSpace.build(f0_train, f0_test, y, *kernels, jacobian, tx, loss),
    }
    for step, seen in run_lockstep(rivals, STEPS, FullBatch(), Silent(), "test"):
        for rival in rivals:
            for what, values in seen["network"].items():
                # 30 stable steps in float64, outputs of order 1
                np.testing.assert_allclose(seen[rival][what], values, rtol=0, atol=1e-12, err_msg=f"{rival} {what}")
            np.testing.assert_array_equal(seen[rival]["weights"][:2], 0.0)
            assert (seen[rival]["weights"][2] != 0) == (step > 0)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("sigma_b2", [0.0, 0.2])
def test_the_empirical_kernel_is_that_of_the_readout(parameterization, sigma_b2):
    model = model_of(parameterization, sigma_b2=sigma_b2)
    theta0 = model.init(jax.random.key(1), X[:1])["params"]
    structured = empirical_ntk(model, theta0, X, X_TEST)
    np.testing.assert_allclose(structured, empirical_ntk(model, theta0, X, X_TEST, method="jacobian"), atol=1e-13)
    k_hat = empirical_nngp(model, theta0, X, X_TEST)
    # standard (S42): x.x'/n + 1/n for a bias, of which K_hat = sigma_w2 x.x'/n + sigma_b2 holds the first part
    expected = k_hat if parameterization == "ntk" else (k_hat - sigma_b2) / 1.5 + (sigma_b2 > 0) / 20
    np.testing.assert_allclose(ntk_scale(model) * structured[:, :, 1, 1], expected, rtol=1e-12)
    np.testing.assert_allclose(structured[:, :, 0, 1], 0.0, atol=1e-15)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_the_analytic_kernel_is_the_limit_of_the_empirical_one(parameterization):
    """One network of n = 20,000: fluctuations of 1/sqrt(n) = .7 % of the diagonal, of which 5 are allowed."""
    width = 20_000
    model = model_of(parameterization, width=width, depth=1)
    options: dict = dict(depth=1, activation="tanh", sigma_w2=1.5, sigma_b2=0.2)
    options |= dict(parameterization=parameterization, width=width)
    theory, whole = analytic_kernels(X, trained="readout", **options), analytic_kernels(X, **options)
    theta0 = model.init(jax.random.key(2), X[:1])["params"]
    empirical = ntk_scale(model) * np.asarray(empirical_ntk(model, theta0, X, trace_outputs=True))
    largest = np.diagonal(theory.ntk).max()
    np.testing.assert_allclose(empirical, theory.ntk, rtol=0, atol=5 / np.sqrt(width) * largest)
    np.testing.assert_array_equal(theory.nngp, whole.nngp)
    if parameterization == "ntk":
        np.testing.assert_allclose(theory.ntk, theory.nngp, rtol=1e-14)
        assert np.abs(theory.ntk - whole.ntk).max() > 0.3 * largest, "frozen layers must matter"


def test_an_ensemble_ends_at_the_nngp_posterior():
    """(13) and (S22, S23) at t = inf, by S = 300 networks of n = 512, N = 4, p = 3 test points.

    What finite width adds, for features with the fluctuations of Gaussian ones: the conditional variance is a Schur
    complement of a Wishart matrix of n degrees of freedom, (1 - N/n) of its limit (-.8 %), and the mean fluctuates by
    y^T K^-1 y / (n - N) (2 %) of the same; the sampling error of the pooled variance is sqrt(2/(p S)) = 4.7 %.
    """
    members, p = 300, 3
    x, x_test, y = X[:4], X_TEST[:p], jnp.asarray([[1.0], [-1.0], [1.0], [0.5]])
    model = model_of(k=1, width=512, depth=1, sigma_b2=0.0)
    thetas = jax.jit(jax.vmap(lambda key: model.init(key, x)["params"]))(jax.random.split(jax.random.key(0), members))
    ensemble = Ensemble(Network(thetas, x, y, x_test, model, optax.sgd(2.0, momentum=0.9), "mse", ()), ("theta0",))
    # every mode above 2 (1 - sqrt(beta))^2 / eta = .003 in K/N decays by sqrt(beta) = .95 a step: e^-15 after 300
    ((_, seen),) = run_lockstep({"r": ensemble}, [300], FullBatch(), Silent(), "test")
    np.testing.assert_allclose(seen["r"]["train"], np.broadcast_to(y, (members, 4, 1)), atol=1e-5)

    options: dict = dict(depth=1, activation="tanh", sigma_w2=1.5, sigma_b2=0.0)
    kernels = [analytic_kernels(a, b, **options) for a, b in ((x, None), (x_test, x), (x_test, None))]
    posterior = nngp_gp(*kernels, y, np.array([np.inf]))
    error = (seen["r"]["test"][:, :, 0] - posterior.mean[0, :, 0]).T
    whitened = np.linalg.solve(np.linalg.cholesky(posterior.covariance[0]), error)
    assert members * np.sum(whitened.mean(axis=1) ** 2) < 16.3, "chi^2 with 3 degrees of freedom: 1 in 1000"
    assert abs(np.mean(whitened**2) - 1) < 3.3 * np.sqrt(2 / (p * members)), "1 in 1000"


def test_the_readout_of_one_network_is_the_closed_form():
    model, y = model_of(k=1), np.cos(np.arange(len(X)))[:, None]
    theta0 = model.init(jax.random.key(3), X[:1])["params"]
    network = Network(theta0, X, jnp.asarray(y), X_TEST, model, optax.sgd(0.5), "mse", ())
    closed = gradient_descent(
        np.asarray(empirical_nngp(model, theta0, X)), y, predict(model, theta0, X), np.full(30, 0.5)
    )
    cross = np.asarray(empirical_nngp(model, theta0, X_TEST, X))
    for step, seen in run_lockstep({"r": network}, STEPS, FullBatch(), Silent(), "test"):
        expected = closed.test_at(step, predict(model, theta0, X_TEST), cross)
        np.testing.assert_allclose(seen["r"]["test"], expected, atol=1e-12)


def test_another_word_is_refused():
    with pytest.raises(UserError, match="all or readout"):
        build_model(
            "fc", width=3, depth=1, n_outputs=1, activation="erf", sigma_w2=1.0, sigma_b2=0.0, trained="last"
        ).init(jax.random.key(0), X[:1])
    with pytest.raises(UserError, match="all or readout"):
        analytic_kernels(X, depth=1, activation="erf", sigma_w2=1.0, sigma_b2=0.0, trained="last")
