"""Final distances, scans of rates, averaged kernels and the ODE, each against loops written out; three outputs, float64."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import oracle
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

from ntkrun.data.batches import batch_indices
from ntkrun.data.span import span_coordinates
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.prepare import initial, load, model_from, set_up_training
from ntkrun.experiments.runs.random_keys import cell_key, shared_key
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells

DIGITS = ("data.name=mnist", "data.source=stand_in", "data.classes=[0,1,2]", "model.dtype=float64")


def run(settings_of, name: str, *overrides: str) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    experiment = load_experiment(name)
    (cell,) = make_cells(experiment, settings_of(name, "smoke", *overrides))
    result = experiment.run.compute(cell.settings, cell.name, Silent())
    return cell.settings, result.table, result.facts


def values(table: pd.DataFrame, curve: str, split: str) -> np.ndarray:
    part = table[(table["curve"] == curve) & (table["split"] == split)]
    return part.sort_values(["step", "index"])["value"].to_numpy()


def close(found: np.ndarray, expected: Any, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    np.testing.assert_allclose(found, np.asarray(expected).reshape(-1), rtol=rtol, atol=atol)


def gradient_descent_at(eta: float, steps: int) -> Any:
    return SimpleNamespace(name="gd", learning_rate=eta, momentum=0.0, steps=steps)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_the_final_distance_is_that_of_loops_that_end_by_the_loss_of_f_lin(settings_of, parameterization):
    settings, table, facts = run(
        settings_of, "figs5", *DIGITS, f"model.parameterization={parameterization}", "parts.D32=null", "parts.C4=null",
        "parts.L1.model.width=7", "data.n_train=6", "data.n_test=4", "descent.end_loss=.02", "descent.max_steps=60",
    )  # fmt: skip
    data, model, scale = load(settings.data, "mse", Silent()), settings.model, oracle.scale_of(settings.model)
    (inputs,) = span_coordinates(np.concatenate([data.x_train, data.x_test]).reshape(10, -1))
    x, x_test, y = inputs[:6], inputs[6:], data.y_train
    f = oracle.Flat(oracle.network(model), initial(model_from(model, 3), cell_key(settings, "theta0"), inputs[:1]))
    train, cross = scale * f.kernel(f.theta0, x), scale * f.kernel(f.theta0, x_test, x)
    eta = 0.5 * 2 * 18 / np.linalg.eigvalsh(train)[[0, -1]].sum()
    assert facts["eta"] == pytest.approx(eta, rel=1e-9)
    linear = list(oracle.linear_outputs(train, cross, f(f.theta0, x), f(f.theta0, x_test), y, eta, 60))
    end = next(step for step, (f_lin, _) in enumerate(linear) if oracle.loss("mse", f_lin, y) <= 0.02)
    assert 4 < end < 60 and facts["steps"] == end and facts["loss_reached"]
    path = oracle.descended(f, x, y, "mse", gradient_descent_at(eta, end), scale)
    recorded = sorted(table["step"].unique())
    assert np.allclose(sorted(table["time"].unique()), eta * np.asarray(recorded), rtol=1e-12)
    for place, (split, points, targets) in enumerate([("train", x, y), ("test", x_test, data.y_test)]):
        pairs = [(f(path[step], points), linear[step][place]) for step in recorded]
        close(values(table, "rmse/linear", split), [np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])
        close(values(table, "loss/network", split), [oracle.loss("mse", a, targets) for a, _ in pairs])
        close(values(table, "loss/linear", split), [oracle.loss("mse", b, targets) for _, b in pairs])


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_every_rate_of_a_scan_is_that_of_a_network_by_itself(settings_of, parameterization):
    settings, table, _ = run(
        settings_of, "figs7", *DIGITS, f"model.parameterization={parameterization}", "parts.cifar10=null", "rates=4",
        "lowest_rate=.005", "highest_rate=5.", "data.n_train=9", "parts.mnist.data.n_test=300", "optimizer.batch_size=3",
        "optimizer.steps=5", "weight_decay=.1", "loss=cross_entropy", "record.chunk=128",
    )  # fmt: skip
    setup = set_up_training(settings, Silent())
    data, scale = setup.data, oracle.scale_of(settings.model)
    f = oracle.Flat(oracle.network(settings.model), setup.theta0)
    rows = batch_indices(cell_key(settings, "batches"), 9, 3, 0, 5)

    def gradient(theta: np.ndarray, step: int) -> np.ndarray:
        x, y = data.x_train[rows[step]], data.y_train[rows[step]]
        return np.einsum("nk,nkp->p", oracle.loss_gradient("cross_entropy", f(theta, x), y), f.jacobian(theta, x))

    found = table[table["curve"] == "accuracy/network"].sort_values("eta")
    np.testing.assert_allclose(found["eta"], [0.005, 0.05, 0.5, 5.0], rtol=1e-12)
    expected = []
    for eta in found["eta"]:
        how = settings.optimizer.model_copy(update={"learning_rate": eta})
        *_, last = oracle.positions(f.theta0, gradient, how, scale, decay=0.1)
        expected.append(oracle.accuracy(f(last, data.x_test), data.y_test))
    close(found["value"].to_numpy(), expected)
    assert len(set(expected)) == 4, "no two rates end alike"
    assert set(table.loc[table["curve"] == "finite/network", "value"]) == {1.0}


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_errors_of_averaged_kernels_are_those_of_networks_drawn_one_by_one(settings_of, parameterization):
    settings, table, _ = run(
        settings_of, "figs9", f"model.parameterization={parameterization}", "model.width=5", "model.depth=2", "draws=4",
        "inputs=4", "input_dim=6", "model.dtype=float64",
    )  # fmt: skip
    x = np.asarray(jax.random.normal(shared_key(settings, "inputs"), (4, 6), np.float64))
    # the span of 4 inputs has fewer dimensions than they: the same for networks in the ntk parameterization, and no other
    seen, model = span_coordinates(x)[0] if parameterization == "ntk" else x, model_from(settings.model, 1)
    kernels = []
    for draw in range(4):
        theta = model.init(jax.random.fold_in(cell_key(settings, "networks"), draw), seen[:1])["params"]
        f = oracle.Flat(oracle.network(settings.model), theta)
        nngp = oracle.last_hidden_kernel(settings.model, f.tree(f.theta0), seen)
        kernels.append((nngp, oracle.scale_of(settings.model) * f.kernel(f.theta0, seen)))
    exact = oracle.relu_kernels(settings.model, x, x)
    for place, name in enumerate(("nngp", "ntk")):
        rows = table[table["curve"] == f"error/{name}"].sort_values("M")
        assert rows["M"].tolist() == [1, 2, 4]
        means = [np.mean([pair[place] for pair in kernels[:count]], axis=0) for count in (1, 2, 4)]
        errors = [np.linalg.norm(mean - exact[place]) / np.linalg.norm(exact[place]) for mean in means]
        close(rows["value"].to_numpy(), errors)


def test_logits_of_network_linearization_and_flow(settings_of):
    """Figure S4's three curves with three classes: loops, and scipy's solver for the flow."""
    settings, table, _ = run(
        settings_of, "figs4", *DIGITS, "model.width=6", "model.depth=2", "data.n_train=6", "data.n_test=4", "optimizer.steps=12",
        "optimizer.schedule.name=constant",
        "~optimizer.schedule.decay_rate", "~optimizer.schedule.decay_steps", "optimizer.learning_rate=.3",
        "model.parameterization=standard",
    )  # fmt: skip
    setup = set_up_training(settings, Silent())
    x, x_test, y, scale = setup.data.x_train, setup.data.x_test, setup.data.y_train, oracle.scale_of(settings.model)
    f = oracle.Flat(oracle.network(settings.model), setup.theta0)
    path = oracle.descended(f, x, y, "cross_entropy", settings.optimizer, scale)
    train, cross = scale * f.kernel(f.theta0, x), scale * f.kernel(f.theta0, x_test, x)
    f0, f0_test = f(f.theta0, x), f(f.theta0, x_test)
    linear = list(oracle.linear_outputs(train, cross, f0, f0_test, y, 0.3, 12, "cross_entropy"))
    recorded = sorted(table["step"].unique())

    def slope(_: float, c: np.ndarray) -> np.ndarray:
        return -oracle.loss_gradient("cross_entropy", f0 + (train @ c).reshape(f0.shape), y).reshape(-1)

    times = 0.3 * np.asarray(recorded)
    c = solve_ivp(slope, (0, times[-1]), np.zeros(y.size), "DOP853", times, rtol=1e-11, atol=1e-13).y.T
    logits = {
        "network": [f(path[step], x_test)[:, 0] for step in recorded],
        "linear": [linear[step][1][:, 0] for step in recorded],
        "flow": [(f0_test + (cross @ at).reshape(f0_test.shape))[:, 0] for at in c],
    }
    # rtol 1e-8 of the solver's local error, over a dozen of its steps
    for name, found in logits.items():
        close(values(table, f"logit/{name}", "test"), found, atol=1e-6 if name == "flow" else 1e-11)
    apart = {"rms/linear": ("network", "linear"), "rms/routes": ("linear", "flow")}
    for curve, (one, other) in apart.items():
        expected = [np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(logits[one], logits[other], strict=True)]
        close(values(table, curve, "test"), expected, atol=1e-6, rtol=0)
    close(
        values(table, "loss/network", "train"), [oracle.loss("cross_entropy", f(path[step], x), y) for step in recorded]
    )
