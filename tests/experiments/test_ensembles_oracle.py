"""What ensembles record, member by member, against networks that are trained one at a time by loops written out.

Three outputs, both parameterizations, float64: some 1e-13 of rounding, 1e-9 of which is allowed.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import oracle
import pandas as pd
import pytest

from ntkrun.data.span import span_coordinates
from ntkrun.experiments.analysis.output_ensemble import mean_z, variance_z
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.probes import probes
from ntkrun.experiments.runs import width_changes
from ntkrun.experiments.runs.prepare import initial, load, model_from
from ntkrun.experiments.runs.random_keys import cell_key
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells

DIGITS = ("data=mnist", "data.source=stand_in", "data.classes=[0,1,2]", "data.n_train=5", "model.dtype=float64")
BOTH = pytest.mark.parametrize("parameterization", ["ntk", "standard"])


def run(settings_of, name: str, *overrides: str) -> tuple[Any, pd.DataFrame, dict[str, Any]]:
    experiment = load_experiment(name)
    (cell,) = make_cells(experiment, settings_of(name, "smoke", *overrides))
    result = experiment.run.compute(cell.settings, cell.name, Silent())
    return cell.settings, result.table, result.facts


def drawn_by_itself(settings: Any, seed: int, x: np.ndarray, k: int, **choices: str) -> oracle.Flat:
    """The network of that seed, as a cell that has no other would draw it."""
    model = model_from(settings.model, n_outputs=k, **choices)
    theta0 = initial(model, cell_key(settings.model_copy(update={"seed": seed}), "theta0"), np.asarray(x[:1]))
    return oracle.Flat(oracle.network(settings.model), theta0)


def values(table: pd.DataFrame, curve: str, seed: int, index: int | None = None) -> np.ndarray:
    part = table[(table["curve"] == curve) & (table["seed"] == seed)]
    part = part if index is None else part[part["index"] == index]
    return part.sort_values(["step", "index"])["value"].to_numpy()


def close(found: np.ndarray, expected: Any) -> None:
    np.testing.assert_allclose(found, np.asarray(expected).reshape(-1), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("parameterization", "inputs"), [("ntk", "span"), ("standard", "full")])
def test_every_member_of_a_width_changes_as_it_does_alone(settings_of, parameterization, inputs):
    settings, table, facts = run(
        settings_of, "fig1", *DIGITS, f"model.parameterization={parameterization}", f"inputs={inputs}", "seed=3",
        "networks=2", "model.width=[6]", "model.depth=2", "model.activation=tanh", "model.sigma_b2=.2", "optimizer.steps=8",
    )  # fmt: skip
    data, model, scale = load(settings.data, "mse", Silent()), settings.model, oracle.scale_of(settings.model)
    pixels = data.x_train.reshape(5, -1)
    x, y = pixels if inputs == "full" else span_coordinates(pixels)[0], data.y_train
    critical = []
    for seed in (3, 4):
        f = drawn_by_itself(settings, seed, x, 3)
        path = oracle.descended(f, x, y, "mse", settings.optimizer, scale)
        recorded = [path[step] for step in (0, 1, 2, 4, 8)]
        kernels = [f.kernel(theta, x) for theta in recorded]
        trees = [f.tree(theta) for theta in recorded]
        nngp = [oracle.last_hidden_kernel(model, tree, x) for tree in trees]
        for curve, found in (("ntk_change", kernels), ("nngp_change", nngp)):
            change = [np.linalg.norm(now - found[0]) / np.linalg.norm(found[0]) for now in found]
            close(values(table, f"{curve}/network", seed), change)
        close(values(table, "loss/network", seed), [oracle.loss("mse", f(theta, x), y) for theta in recorded])
        left_out = pixels.shape[1] - x.shape[1]
        unseen = width_changes.unseen_squares(settings.model_copy(update={"seed": seed}), left_out)
        for layer, name in enumerate(["layer_1", "layer_2", "layer_3"]):
            w = [tree[name]["omega" if parameterization == "ntk" else "W"] for tree in trees]
            start = np.sqrt(np.sum(w[0] ** 2) + (unseen if layer == 0 else 0.0))
            close(
                values(table, "weight_change/network", seed, layer), [np.linalg.norm(now - w[0]) / start for now in w]
            )
        mean_kernel = np.einsum("iaja->ij", scale * kernels[0].reshape(5, 3, 5, 3)) / 3
        critical.append(2 * 15 / np.linalg.eigvalsh(mean_kernel)[[0, -1]].sum())
    assert facts["eta_critical"] == pytest.approx(min(critical), rel=1e-9), (
        "of the network that is the first to diverge"
    )
    assert sorted(table["seed"].unique()) == [3, 4] and max(critical) > 1.001 * min(critical)


LINE = (
    "data.source=stand_in",
    "parts.readout=null",
    "model.dtype=float64",
    "model.activation=relu",
    "model.sigma_b2=.1",
)


def test_members_on_the_line_and_both_theories_are_those_of_the_printed_formulas(settings_of):
    settings, table, _ = run(
        settings_of, "fig2", *LINE, "seed=4", "networks=2", "data.n_train=6", "points=[4,1]", "alphas=11", "model.width=7",
        "model.depth=2", "times=[0,2,8]", "optimizer.steps=8", "optimizer.learning_rate=.6", "optimizer.time_per_eta=.5",
        "times=[0,.6,2.4]", "theory.diag_reg=.1",
    )  # fmt: skip
    data, n = load(settings.data, "mse", Silent()), 6
    pixels, y = data.x_train.reshape(n, -1), data.y_train
    alphas = np.linspace(-2, 3, 11)
    line = np.stack([alpha * pixels[4] + (1 - alpha) * pixels[1] for alpha in alphas])
    line *= np.sqrt(pixels.shape[1] / np.sum(line**2, axis=1, keepdims=True))
    x, z = span_coordinates(pixels, line)
    steps = (0, 2, 8)
    for seed in (4, 5):
        f = drawn_by_itself(settings, seed, x, 1)
        path = oracle.descended(f, x, y, "mse", settings.optimizer, 1.0)
        close(values(table, "output/network", seed), [f(path[step], z)[:, 0] for step in steps])
    close(values(table, "alpha", 4), alphas)
    close(values(table, "target", 4), [y[4, 0], y[1, 0]])
    (k, theta), (k_cross, cross), (prior, _) = (
        oracle.relu_kernels(settings.model, a, b) for a, b in ((x, x), (z, x), (z, z))
    )
    at = probes(alphas)
    for name, kernel, from_line in (("ntk", theta, cross), ("nngp", k, k_cross)):
        driving, means, variances, blocks = kernel + 0.1 * np.trace(kernel) / n * np.eye(n), [], [], []
        for step in steps:
            e = np.linalg.matrix_power(np.eye(n) - 0.6 / n * driving, step)
            a = from_line @ np.linalg.solve(driving, np.eye(n) - e)
            all_layers = prior + a @ k @ a.T - a @ k_cross.T - k_cross @ a.T  # (15)
            readout = prior - k_cross @ np.linalg.solve(driving, np.eye(n) - e @ e) @ k_cross.T  # (S23)
            sigma = all_layers if name == "ntk" else readout
            means, variances = [*means, a @ y[:, 0]], [*variances, np.diagonal(sigma)]
            blocks.append(sigma[np.ix_(at, at)])
        close(values(table, f"mean/{name}", 4), means)
        close(values(table, f"variance/{name}", 4), variances)
        if name == "ntk":
            close(values(table, "covariance/ntk", 4), blocks)


def test_training_ends_when_every_output_of_every_network_is_near_its_target(settings_of):
    """The first record point at which the farthest one is; what is seen there stands for all later times."""
    settings, table, _ = run(
        settings_of, "fig2", *LINE, "seed=4", "networks=2", "data.n_train=3", "points=[0,1]", "alphas=11", "model.width=7",
        "model.depth=1", "optimizer.steps=256", "optimizer.learning_rate=1.", "optimizer.time_per_eta=null",
        "times=[0,256]", "converged=.2",
    )  # fmt: skip
    data = load(settings.data, "mse", Silent())
    pixels, y = data.x_train.reshape(3, -1), data.y_train
    line = [alpha * pixels[0] + (1 - alpha) * pixels[1] for alpha in np.linspace(-2, 3, 11)]
    line = [point * np.sqrt(point.size / np.sum(point**2)) for point in line]
    x, z = span_coordinates(pixels, np.stack(line))
    networks = {seed: drawn_by_itself(settings, seed, x, 1) for seed in (4, 5)}
    paths = {seed: oracle.descended(f, x, y, "mse", settings.optimizer, 1.0) for seed, f in networks.items()}
    recorded = [0, *(2**j for j in range(9))]
    apart = np.array([[np.abs(f(paths[seed][step], x) - y) for step in recorded] for seed, f in networks.items()])
    ends = recorded[int(np.argmax(apart.max(axis=(0, 2, 3)) < 0.2))]
    others = {recorded[int(np.argmax(found < 0.2))] for found in (apart.mean(axis=(0, 2, 3)), *apart.max(axis=(2, 3)))}
    assert 0 < ends < 256 and others - {ends}, "the mean, or one network alone, is near earlier"
    for seed, f in networks.items():
        close(values(table, "output/network", seed), [f(paths[seed][step], z)[:, 0] for step in (0, ends)])


def test_wide_ensembles_are_drawn_from_the_distribution_of_14_and_15(settings_of):
    """The z-scores of Figure 2 on 60 real networks: N(0, 1) up to O(1/n), within 4 sd; far off with another time's theory.

    n = 256, L = 2: variances are off by some L/n = 1 %, a tenth of sqrt(2/(5 x 60)), their sd.
    """
    given = ("seed=0", "networks=60", "data.n_train=6", "points=[0,1]", "alphas=11", "model.width=256", "model.depth=2")
    how = ("optimizer.steps=32", "optimizer.learning_rate=1.", "optimizer.time_per_eta=null", "times=[0,4,32]")
    _, table, _ = run(settings_of, "fig2", *LINE, *given, *how)
    for time in (0.0, 4.0, 32.0):
        assert abs(mean_z(table, time)) < 4 and abs(variance_z(table, time)) < 4, time
    networks = table["curve"] == "output/network"
    for theory, real in ((0.0, 32.0), (32.0, 0.0), (4.0, 32.0)):
        of_theory = table[~networks & (table["time"] == theory) | table["curve"].isin(["alpha", "target"])]
        mixed = pd.concat([of_theory, table[networks & (table["time"] == real)].assign(time=theory)])
        assert max(abs(mean_z(mixed, theory)), abs(variance_z(mixed, theory))) > 6, (theory, real)


@BOTH
def test_the_distances_of_theorem_21_are_norms_of_whole_jacobians(settings_of, parameterization):
    settings, table, facts = run(
        settings_of, "theorem21", *DIGITS, f"model.parameterization={parameterization}", "model.activation=relu", "seed=2",
        "networks=2", "data.n_test=3", "model.width=8", "descent.max_steps=40", "descent.loss_fraction=.01",
    )  # fmt: skip
    data, model, scale = load(settings.data, "mse", Silent()), settings.model, oracle.scale_of(settings.model)
    (inputs,) = span_coordinates(np.concatenate([data.x_train, data.x_test]))
    x, x_test, y = inputs[:5], inputs[5:], data.y_train
    limit = SimpleNamespace(**(model.model_dump() | {"width": np.inf}))
    theta = oracle.relu_kernels(limit, x, x)[1]
    eta = 0.5 * 2 * 15 / np.linalg.eigvalsh(theta)[[0, -1]].sum()
    assert facts["eta"] == pytest.approx(eta, rel=1e-9)
    whole, nothing = np.kron(theta, np.eye(3)), np.zeros_like(y)
    losses = [oracle.loss("mse", f, y) for f, _ in oracle.linear_outputs(whole, whole, nothing, nothing, y, eta, 40)]
    end = next(step for step, loss in enumerate(losses) if loss <= 0.01 * losses[0])
    assert 4 < end < 40 and facts["steps"] == end and facts["fitted"]
    recorded = sorted(table["step"].unique())
    for seed in (2, 3):
        f = drawn_by_itself(settings, seed, x, 3)
        how = SimpleNamespace(name="gd", learning_rate=eta, momentum=0.0, steps=end)
        path = oracle.descended(f, x, y, "mse", how, scale)
        train, cross = scale * f.kernel(f.theta0, x), scale * f.kernel(f.theta0, x_test, x)
        linear = list(oracle.linear_outputs(train, cross, f(path[0], x), f(path[0], x_test), y, eta, end))
        apart = [np.sqrt(np.mean((f(path[step], x_test) - linear[step][1]) ** 2)) for step in recorded]
        close(values(table, "output_distance/network", seed), apart)
        norm = np.sqrt(8) if parameterization == "ntk" else 1.0
        moved = [np.linalg.norm(path[step] - path[0]) / norm for step in recorded]
        close(values(table, "theta_distance/network", seed), moved)
        kernels = [np.linalg.norm(scale * f.kernel(path[step], x) - train) for step in recorded]
        close(values(table, "ntk_distance/network", seed), kernels)
