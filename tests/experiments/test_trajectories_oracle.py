"""Every curve of a training run against loops written out, three outputs, both parameterizations, all optimizers.

float64: a dozen steps of sums over a few thousand products, outputs of order 1, leave some 1e-13; float32 5e-6 and more.
"""

from typing import Any

import numpy as np
import oracle
import pandas as pd
import pytest
from scipy.linalg import expm
from told import Told, check_told

from ntkrun.data.batches import batch_indices
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.prepare import set_up_training
from ntkrun.experiments.runs.random_keys import cell_key
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells

EXPERIMENT = load_experiment("lockstep")
SMALL = (
    "data=mnist", "data.source=stand_in", "data.classes=[0,1,2]", "data.n_train=7", "data.n_test=5", "model.width=6",
    "model.depth=2", "model.dtype=float64", "optimizer.steps=12", "record.weights=6", "record.first_time=1e-3",
)  # fmt: skip
STEP_BY_STEP = {
    "ntk-gd": ("model.parameterization=ntk", "optimizer=gd", "optimizer.learning_rate=.7"),
    "ntk-float32": ("model.dtype=float32", "optimizer=momentum", "optimizer.learning_rate=.2", "optimizer.batch_size=3"),
    "standard-momentum": (
        "model.parameterization=standard", "optimizer=momentum", "optimizer.learning_rate=.2", "record.train_examples=4",
        "model.activation=tanh",
    ),
    "standard-nesterov": (
        "model.parameterization=standard", "optimizer=nesterov", "loss=cross_entropy", "optimizer.batch_size=3",
    ),
    "ntk-adam": (
        "model.parameterization=ntk", "optimizer=adam", "loss=cross_entropy", "optimizer.batch_size=3", "weight_decay=.1",
    ),
    "standard-readout": (
        "model.parameterization=standard", "optimizer=gd", "trained=readout", "optimizer.learning_rate=2",
    ),
}  # fmt: skip


class Expected:
    """The outputs and weights of network and f_lin after every step."""

    def __init__(self, settings: Any) -> None:
        self.settings, self.setup = settings, set_up_training(settings, Silent())
        data, model, how = self.setup.data, settings.model, settings.optimizer
        self.x = {"train": data.x_train, "test": data.x_test}
        self.y = {"train": data.y_train, "test": data.y_test}
        self.f, self.scale = (
            oracle.Flat(oracle.network(model, settings.trained), self.setup.theta0),
            oracle.scale_of(model),
        )
        key, size = cell_key(settings, "batches"), how.batch_size
        self.rows = batch_indices(key, len(data.x_train), size, 0, how.steps) if size else [slice(None)] * how.steps
        self.linear = {split: self.f.linearised(x) for split, x in self.x.items()}
        self.j = self.f.jacobian(self.f.theta0, data.x_train)

    def network_gradient(self, theta: np.ndarray, step: int) -> np.ndarray:
        rows = self.rows[step]
        x, y = self.x["train"][rows], self.y["train"][rows]
        return np.einsum(
            "nk,nkp->p", oracle.loss_gradient(self.settings.loss, self.f(theta, x), y), self.f.jacobian(theta, x)
        )

    def linear_gradient(self, theta: np.ndarray, step: int) -> np.ndarray:
        rows = self.rows[step]
        f = self.linear["train"](theta)[rows]
        return np.einsum("nk,nkp->p", oracle.loss_gradient(self.settings.loss, f, self.y["train"][rows]), self.j[rows])

    def positions(self, rival: str) -> list[np.ndarray]:
        gradient = {"network": self.network_gradient, "linear": self.linear_gradient}[rival]
        how = (self.settings.optimizer, self.scale, self.settings.weight_decay)
        return list(oracle.positions(self.f.theta0, gradient, *how))

    def outputs(self, rival: str, theta: np.ndarray, split: str) -> np.ndarray:
        return self.f(theta, self.x[split]) if rival == "network" else self.linear[split](theta)

    def watched(self, theta: np.ndarray) -> list[float]:
        moved = self.f.tree(theta - self.f.theta0)
        return [moved[layer][name].reshape(-1)[index] for (layer, name), index in self.setup.watched]


def run(settings_of, *overrides: str) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    (cell,) = make_cells(EXPERIMENT, settings_of("lockstep", "smoke", *SMALL, *overrides))
    progress = Silent()
    progress.log = told = Told()
    result = EXPERIMENT.run.compute(cell.settings, cell.name, progress)
    check_told(told, result.table, cell.settings)
    assert [step for step, *_ in told.points] == sorted(result.table["step"].unique())
    return cell.settings, result.table, result.facts


def values(table: pd.DataFrame, curve: str, split: str, step: int) -> np.ndarray:
    part = table[(table["curve"] == curve) & (table["split"] == split) & (table["step"] == step)]
    return part.sort_values("index")["value"].to_numpy()


def close(table: pd.DataFrame, step: int, split: str, expected: dict[str, Any], rtol=1e-9, atol=1e-11) -> None:
    for curve, value in expected.items():
        found, where = values(table, curve, split, step), f"{curve} {split} {step}"
        np.testing.assert_allclose(found, np.atleast_1d(value), rtol=rtol, atol=atol, err_msg=where)


@pytest.mark.parametrize("which", STEP_BY_STEP)
def test_network_and_linearization_are_those_of_loops_written_out(settings_of, which):
    settings, table, _ = run(settings_of, *STEP_BY_STEP[which])
    expected = Expected(settings)
    paths = {rival: expected.positions(rival) for rival in ("network", "linear")}
    how, tolerance = settings.optimizer, {} if settings.model.dtype == "float64" else {"rtol": 1e-4, "atol": 3e-5}
    per_step = np.sqrt(how.learning_rate) if how.name in ("momentum", "nesterov") else how.learning_rate
    recorded = sorted(table["step"].unique())
    assert {0, 1, 12} <= set(recorded) and len(recorded) > 4
    for step in recorded:
        assert np.allclose(table.loc[table["step"] == step, "time"], step * per_step, rtol=1e-12)
        for split, y in expected.y.items():
            y = y[: settings.record.train_examples] if split == "train" else y
            network = expected.outputs("network", paths["network"][step], split)[: len(y)]
            for rival, path in paths.items():
                f = expected.outputs(rival, path[step], split)[: len(y)]
                apart = {} if rival == "network" else {"rmse/linear": np.sqrt(np.sum((f - network) ** 2) / f.size)}
                shown = f[:, 0] if f.shape[1] == 1 else f[0]
                told = {"output": shown, "loss": oracle.loss(settings.loss, f, y), "accuracy": oracle.accuracy(f, y)}
                close(
                    table, step, split, {f"{what}/{rival}": value for what, value in told.items()} | apart, **tolerance
                )
        for rival, path in paths.items():
            close(table, step, "", {f"weight_change/{rival}": expected.watched(path[step])}, **tolerance)
    moved = np.abs(paths["network"][-1] - paths["network"][0])
    assert moved.max() > 1e-3
    if settings.trained == "all":
        assert values(table, "rmse/linear", "test", 12) > 1e-5, "a narrow network leaves its linearization"


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_flows_and_the_analytic_rival_are_matrix_exponentials_and_powers(settings_of, parameterization):
    """With time_per_eta, so that the figure's axis is another than the flow's; Theta has its terms of order 1/n."""
    settings, table, facts = run(
        settings_of, f"model.parameterization={parameterization}", "optimizer=gd", "optimizer.learning_rate=.5",
        "optimizer.time_per_eta=.25", "optimizer.steps=40", "record.weights=4",
    )  # fmt: skip
    expected = Expected(settings)
    f, x, y, scale = expected.f, expected.x, expected.y, expected.scale
    n, k = y["train"].shape
    empirical = [scale * f.kernel(f.theta0, x[split], x["train"]) for split in ("train", "test")]
    theta = [oracle.relu_kernels(settings.model, x[split], x["train"])[1] for split in ("train", "test")]
    analytic = [np.kron(part, np.eye(k)) for part in theta]
    f0 = {split: f(f.theta0, part).reshape(-1) for split, part in x.items()}
    residual, jacobian = f0["train"] - y["train"].reshape(-1), scale * expected.j.reshape(n * k, -1)
    recorded = sorted(table["step"].unique())
    assert {0, 40} <= set(recorded) and len(recorded) > 4
    for step in recorded:
        assert table.loc[table["step"] == step, "time"].iloc[0] == pytest.approx(0.25 * 0.5 * step, rel=1e-12)
        for name, (train, test) in {"empirical": empirical, "analytic": analytic}.items():
            flow = expm(-train * 0.5 * step / (n * k))
            descent = np.linalg.matrix_power(np.eye(n * k) - 0.5 * train / (n * k), step)
            rivals = {f"flow_{name}": flow} | ({"linear_analytic": descent} if name == "analytic" else {})
            for rival, decay in rivals.items():
                c = -np.linalg.solve(train, residual - decay @ residual)
                found = {"train": f0["train"] + train @ c, "test": f0["test"] + test @ c}
                for split, outputs in found.items():
                    outputs = outputs.reshape(-1, k)
                    told = {"output": outputs[0], "loss": oracle.loss("mse", outputs, y[split])}
                    told["accuracy"] = oracle.accuracy(outputs, y[split])
                    close(table, step, split, {f"{what}/{rival}": value for what, value in told.items()})
                close(table, step, "", {f"weight_change/{rival}": expected.watched(f.theta0 + jacobian.T @ c)})
    mean_kernel = np.einsum("iaja->ij", empirical[0].reshape(n, k, n, k)) / k
    lowest, *_, highest = np.linalg.eigvalsh(mean_kernel)
    assert facts["eta_critical"] == pytest.approx(2 * n * k / (lowest + highest), rel=1e-9)


def test_the_weights_that_are_followed_are_dealt_out_over_all_layers(settings_of):
    _, _, facts = run(settings_of, "record.weights=6")
    assert [name.split("/")[0] for name in facts["watched_weights"]] == ["layer_1", "layer_2", "layer_3"] * 2


def test_the_critical_rate_of_convolutions_is_that_of_the_whole_kernel(settings_of):
    """By power iteration, on the images of a step, three outputs, cross-entropy, in the standard parameterization."""
    overrides = ("model=cnn", "model.parameterization=standard", "model.width=3", "model.depth=1", "optimizer=momentum")
    rest = ("loss=cross_entropy", "optimizer.batch_size=4", "optimizer.steps=1", "record.weights=0")
    settings, _, facts = run(settings_of, *overrides, *rest)
    setup = set_up_training(settings, Silent())
    flat = oracle.Flat(lambda theta, x: setup.model.apply({"params": theta}, x), setup.theta0)
    largest = np.linalg.eigvalsh(flat.kernel(flat.theta0, setup.x_train[:4]))[-1] / 3  # (S42): over the channels
    beta, curvature = settings.optimizer.momentum, 0.5
    # 20 iterations leave (lambda_2/lambda_1)^40 of the other modes
    assert facts["eta_critical"] == pytest.approx(2 * (1 + beta) * 4 * 3 / (curvature * largest), rel=1e-4)
