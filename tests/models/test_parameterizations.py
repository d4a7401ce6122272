"""muP: the network of Yang and Hu's table at one rate, the kernel of ntk at theta_0, and features that move at any width."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntkrun
from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.models.layers import Dense
from ntkrun.models.parameterizations import NAMES
from ntkrun.networks.built_in import described
from ntkrun.runner.plan import make_cells

RNG = np.random.default_rng(0)
X, Y = jnp.asarray(RNG.normal(size=(6, 5))), jnp.asarray(RNG.normal(size=(6, 2)))
NET: dict[str, Any] = dict(depth=2, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float64)


def fc(width: int, parameterization: str, **more: Any) -> Any:
    return ntkrun.build_model("fc", width=width, n_outputs=2, parameterization=parameterization, **NET | more)


def of_the_table(width: int):
    """f(w, x) as Yang and Hu have it: a = (-1/2, 0, 1/2), w ~ N(0, 1/n); a bias is a weight on an input 1, whose layer's
    exponents it has."""
    n = float(width)

    def f(w, x):
        h = x @ (n**0.5 * w[0]) + (n**0.5 * w[1])[None, :]
        h = jnp.tanh(h) @ w[2] + (n**0.5 * w[3])[None, :]
        return jnp.tanh(h) @ (n**-0.5 * w[4]) + w[5][None, :]

    return f


def in_their_variables(omega: Any, width: int, sigma_w: float, sigma_b: float) -> list[Any]:
    """w of `of_the_table` and the factor on the gradient of each that stands for sigma_w and sigma_b."""
    n = float(width)
    first, hidden, last = (omega[f"layer_{layer}"] for layer in (1, 2, 3))
    return [
        (sigma_w / np.sqrt(5) * n**-0.5 * first["omega"], sigma_w**2 / 5),
        (sigma_b * n**-0.5 * first["beta"], sigma_b**2),
        (sigma_w * n**-0.5 * hidden["omega"], sigma_w**2),
        (sigma_b * n**-0.5 * hidden["beta"], sigma_b**2),
        (sigma_w * n**-0.5 * last["omega"], sigma_w**2),
        (sigma_b * n**-0.5 * last["beta"], sigma_b**2),
    ]


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_it_moves_as_the_network_of_the_table_does_at_one_rate(momentum):
    """sigma_w^2 is a factor on a layer's rate in either form: theirs have sigma = 1 and w ~ N(0, 1/n)."""
    width, eta = 16, 0.3
    model, f = fc(width, "mup"), of_the_table(width)
    omega = model.init(jax.random.key(0), X)["params"]
    pairs = in_their_variables(omega, width, np.sqrt(1.5), np.sqrt(0.1))
    w, factors = [one for one, _ in pairs], [factor for _, factor in pairs]
    tx, tx_table = optax.sgd(eta * ntkrun.ntk_scale(model), momentum), optax.sgd(eta, momentum)
    state, state_table = tx.init(omega), tx_table.init(w)
    of_omega = jax.jit(jax.grad(lambda p: ntkrun.mse(jnp.asarray(model.apply({"params": p}, X)), Y)))
    of_w = jax.jit(jax.grad(lambda w: ntkrun.mse(f(w, X), Y)))
    for _ in range(5):
        updates, state = tx.update(of_omega(omega), state, omega)
        omega = optax.apply_updates(omega, updates)
        gradient = [factor * g for factor, g in zip(factors, of_w(w), strict=True)]
        updates, state_table = tx_table.update(gradient, state_table, w)
        w = optax.apply_updates(w, updates)
    start, end = (
        np.asarray(model.apply({"params": p}, X)) for p in (model.init(jax.random.key(0), X)["params"], omega)
    )
    assert np.abs(end - start).max() > 0.1
    np.testing.assert_allclose(f(w, X), end, rtol=1e-10)


IMAGES = jnp.asarray(RNG.normal(size=(2, 8, 8, 1)))
NETWORKS = {
    "fc": ({}, X),
    "fc, unequal widths": ({"width": (8, 16)}, X),
    "cnn, flatten": ({"width": 4, "pool": "flatten", "stride": 2, "depth": 1}, IMAGES),
    "wide_resnet": ({"width": 2, "norm": "none", "depth": 10}, IMAGES),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_begins_as_ntk_over_the_root_of_n_and_with_its_kernel(name):
    more, x = NETWORKS[name]
    how = NET | {"width": 16, "n_outputs": 2} | more
    kind = name.partition(",")[0]
    ntk, mup = (ntkrun.build_model(kind, parameterization=p, **how) for p in ("ntk", "mup"))
    theta0, n = ntk.init(jax.random.key(0), x)["params"], ntkrun.ntk_scale(mup)
    assert n == np.max(how["width"])
    assert jax.tree.all(jax.tree.map(jnp.array_equal, theta0, mup.init(jax.random.key(0), x)["params"]))
    f_mup, f_ntk = (np.asarray(model.apply({"params": theta0}, x)) for model in (mup, ntk))
    np.testing.assert_allclose(f_mup, f_ntk / np.sqrt(n), rtol=1e-10)
    if kind == "wide_resnet":  # whose kernels, of the same layers, take ten seconds to compile
        return
    structured, jacobian = (
        n * ntkrun.empirical_ntk(mup, theta0, x, method=method) for method in ("structured", "jacobian")
    )
    np.testing.assert_allclose(structured, jacobian, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(structured, ntkrun.empirical_ntk(ntk, theta0, x), rtol=1e-9, atol=1e-12)
    of_readout = [ntkrun.empirical_nngp(model, theta0, x) for model in (mup, ntk)]
    np.testing.assert_allclose(n * of_readout[0], of_readout[1], rtol=1e-10)


WIDTHS = (16, 64, 256)


def drift(parameterization: str, width: int) -> float:
    """Of the kernel after ten steps at eta_0 = 1, the mean of three seeds."""
    model = fc(width, parameterization)
    rate = ntkrun.ntk_scale(model)
    gradient = jax.grad(lambda p: ntkrun.mse(jnp.asarray(model.apply({"params": p}, X)), Y))

    def step(_: Any, theta: Any) -> Any:
        return jax.tree.map(lambda t, g: t - rate * g, theta, gradient(theta))

    def one(key: Any) -> Any:
        theta0 = model.init(key, X)["params"]
        thetas = theta0, jax.lax.fori_loop(0, 10, step, theta0)
        start, end = (ntkrun.empirical_ntk(model, theta, X) for theta in thetas)
        return jnp.linalg.norm(end - start) / jnp.linalg.norm(start)

    return float(jnp.mean(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 3))))


# Theorem 2.1 bounds the drift by n^-1/2; a smooth phi reaches 1/n.  Three widths and three seeds leave a slope to 0.15.
@pytest.mark.parametrize(
    ("parameterization", "low", "high"), [("ntk", -1.3, -0.5), ("standard", -1.3, -0.5), ("mup", -0.2, 0.2)]
)
def test_the_kernel_stays_in_ntk_and_standard_and_moves_at_any_width_in_mup(parameterization, low, high):
    means = [drift(parameterization, width) for width in WIDTHS]
    assert low < ntkrun.power_law(WIDTHS, means).slope < high
    assert parameterization != "mup" or min(means) > 0.1


def test_names_and_places_that_it_has_not_are_refused():
    with pytest.raises(UserError, match="ntk, standard or mup"):
        Dense(2, 1.0, 0.0, "abc").init(jax.random.key(0), X)
    with pytest.raises(UserError, match="readout_of=4 is for parameterization='mup'"):
        Dense(2, 1.0, 0.0, readout_of=4).init(jax.random.key(0), X)
    for ask in (lambda: ntkrun.analytic_kernels(np.asarray(X), parameterization="mup", depth=1, activation="relu", sigma_w2=1.0,
                                                sigma_b2=0.0), lambda: described(fc(8, "mup"))):  # fmt: skip
        with pytest.raises(UserError, match="no kernel at infinite width, which moves with training"):
            ask()


REFUSED = {
    "figs9 model.parameterization=mup": "has no place in experiment=figs9",
    "theorem21 model.parameterization=mup": "has no place in experiment=theorem21",
    "figs7 model.parameterization=mup": "has no place in experiment=figs7",
    "fig2 model.parameterization=mup": "model.parameterization=ntk",
    "lockstep model.parameterization=mup optimizer=adam": "use optimizer=gd, momentum or nesterov",
    "lockstep model.parameterization=mup weight_decay=.1": "weight_decay",
    "lockstep model.parameterization=mup theory.analytic_kernel=always": "it moves with training",
    "figs5 model.parameterization=mup theory.analytic_kernel=always": "it moves with training",
}


@pytest.mark.parametrize("typed", REFUSED)
def test_where_its_theory_does_not_hold_it_is_refused_in_one_line(typed, settings_of):
    name, *overrides = typed.split()
    with pytest.raises(UserError, match=REFUSED[typed]) as told:
        make_cells(load_experiment(name), settings_of(name, "smoke", *overrides))
    assert "\n" not in str(told.value)


def test_a_run_in_mup_has_its_linearization_and_no_curve_of_theta(settings_of):
    from ntkrun.lockstep.progress import Silent

    typed = ("data.source=stand_in", "data=cifar10_binary", "data.n_train=6", "data.n_test=4", "model.depth=1")
    experiment = load_experiment("lockstep")
    (cell,) = make_cells(experiment, settings_of("lockstep", "smoke", *typed, "model.parameterization=mup"))
    table = experiment.run.compute(cell.settings, cell.name, Silent()).table
    assert "rmse/linear" in set(table["curve"])
    assert not any("analytic" in curve for curve in table["curve"].unique())
    start = table[(table["curve"] == "rmse/linear") & (table["step"] == 0)]["value"]
    assert start.max() < 1e-6
    assert set(NAMES) == {"ntk", "standard", "mup"}
