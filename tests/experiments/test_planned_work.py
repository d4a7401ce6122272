"""What is planned is what runs: the rivals, steps and record points of every figure, against those that its run makes."""

import importlib
import json
import pkgutil
from typing import Any

import jax
import numpy as np
import pytest

from ntkrun.devices.placement import ON_A_CPU
from ntkrun.experiments import runs
from ntkrun.experiments.figures import computing, experiment_names, load_experiment
from ntkrun.experiments.runs.final_distance import spectral_weights, steps_expected
from ntkrun.experiments.runs.planned_work import PlannedWork
from ntkrun.experiments.runs.suprema import planned_work as suprema_work
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells
from ntkrun.runner.plan_table import MOST_TIMES

TRAINING = sorted({computing(load_experiment(name)).name for name in experiment_names()} - {"figs9", "figs10"})


class StartedError(Exception):
    """In place of the training: what it would have been given."""

    def __init__(self, rivals: dict[str, Any], steps: list[int], batches: Any) -> None:
        super().__init__("started")
        self.rivals, self.steps, self.batches = tuple(rivals.values()), steps, batches


def started(monkeypatch, experiment, cell) -> StartedError:
    def start(rivals, steps, batches, *_, **__):
        raise StartedError(rivals, list(steps), batches)

    for listed in pkgutil.iter_modules(runs.__path__):
        module = importlib.import_module(f"{runs.__name__}.{listed.name}")
        if hasattr(module, "run_lockstep"):
            monkeypatch.setattr(module, "run_lockstep", start)
    with pytest.raises(StartedError) as found:
        experiment.run.compute(cell.settings, cell.name, Silent())
    return found.value


def shapes(tree: Any) -> list[tuple[str, tuple[int, ...], str]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path), tuple(leaf.shape), str(leaf.dtype)) for path, leaf in leaves]


def work_of(experiment, cell) -> PlannedWork:
    return experiment.run.planned_work(cell.settings, ON_A_CPU)


RUNS = [(name,) for name in TRAINING] + [("lockstep", "linearity=true")]


@pytest.mark.parametrize("typed", RUNS, ids=" ".join)
def test_rivals_steps_and_records_are_those_of_the_run(typed, settings_of, monkeypatch):
    name, *more = typed
    raw = settings_of(name, "smoke", "data.source=stand_in", *more)
    experiment = load_experiment(name)
    for cell in {c.name.partition(",")[0].partition("width")[0]: c for c in make_cells(experiment, raw)}.values():
        found, lockstep = started(monkeypatch, experiment, cell), work_of(experiment, cell).lockstep
        assert lockstep is not None
        kept = []  # rivals of shapes cannot be built while annotations are checked
        jax.eval_shape(lambda leaves, it=lockstep, kept=kept: kept.append(shapes(it.rivals(leaves))), lockstep.leaves)
        assert kept[0] == shapes(found.rivals)
        assert (lockstep.batch is None) == (found.batches.size is None)
        if lockstep.batch is not None:
            block = found.batches.block(0, 1)
            assert [s[1:] for _, s, _ in shapes(block)] == [s for _, s, _ in shapes(lockstep.batch)]
        if name != "figs5":  # whose steps are an estimate
            assert (lockstep.steps, lockstep.records) == (found.steps[-1], len(found.steps))


@pytest.mark.parametrize(("classes", "k"), [("[0,1]", 1), ("[0,1,2]", 3)])
def test_kernels_and_spectra_of_a_plan_are_of_all_outputs(classes, k, settings_of):
    """eta_critical from the mean over outputs, Theta_hat of all n k of them, Theta for each output alike."""
    overrides = ("data=mnist", f"data.classes={classes}", "data.n_train=7", "data.n_test=5", "optimizer=gd")
    experiment = load_experiment("lockstep")
    (cell,) = make_cells(experiment, settings_of("lockstep", "smoke", "data.source=stand_in", *overrides))
    work = work_of(experiment, cell)
    assert work.spectra == (7, 7 * k, 7)
    kernels = [jax.eval_shape(piece.function, *piece.arguments).shape for piece in work.programs]
    assert kernels == [(7, 7), (7, 7, k, k), (5, 7, k, k)]


def test_theorem_21_takes_the_steps_that_it_took(settings_of, real_data, root):
    """To the step, against the committed results of two cores."""
    cells = json.loads((root / "results/reference/cpu/theorem21/provenance.json").read_text())["cells"]
    took = {cell["config_hash"]: cell["facts"]["steps"] for cell in cells}
    planned = make_cells(load_experiment("theorem21"), settings_of("theorem21", "cpu"))
    assert len(planned) == len(took) == 24
    for cell in planned:
        settings: Any = cell.settings
        work = suprema_work(settings, ON_A_CPU)
        assert work.known == "exactly" and work.lockstep is not None
        assert work.lockstep.steps == took[cell.config_hash], cell.name


def test_figure_s5_is_expected_to_take_about_the_steps_that_it_took(settings_of, real_data, root):
    """Within a factor 2 from n = 64 L and n = |D|/4 on; below, networks of finite width take more, never less."""
    cells = json.loads((root / "results/reference/cpu/figs5/provenance.json").read_text())["cells"]
    took = {cell["config_hash"]: cell["facts"]["steps"] for cell in cells}
    ratios = {}
    for cell in make_cells(load_experiment("figs5"), settings_of("figs5", "cpu")):
        settings: Any = cell.settings
        model, expected = settings.model, steps_expected(settings)
        if model.name != "fc":
            assert expected is None and work_of(load_experiment("figs5"), cell).known == "at most"
            continue
        wide = model.width >= max(64 * model.depth, settings.data.n_train / 4)
        ratios[cell.name] = (took[cell.config_hash] / expected, wide)
    assert len(ratios) > 30
    assert all(0.8 < ratio < 2.0 for ratio, wide in ratios.values() if wide), ratios
    # what a plan says of narrow networks is what the shipped ones took: 242 times for n = 32, L = 16
    assert all(ratio > 0.8 for ratio, _ in ratios.values()), ratios
    assert MOST_TIMES - 10 < max(ratio for ratio, _ in ratios.values()) < MOST_TIMES, ratios


def test_the_steps_are_those_at_which_the_mean_loss_of_many_networks_of_infinite_width_ends(settings_of):
    """Against plain descent of f_lin from 400 draws of f_0 at once."""
    from ntkrun.experiments.runs.planned_work import planned_images
    from ntkrun.kernels.analytic import analytic_kernels

    raw = settings_of("figs5", "smoke", "data.source=stand_in", "parts.L1=null", "parts.C4=null")
    settings: Any = make_cells(load_experiment("figs5"), raw)[0].settings
    data, model = planned_images(settings.data, "mse"), settings.model
    assert data is not None
    x, y = data.x_train.reshape(len(data.x_train), -1), np.asarray(data.y_train)
    fields = {name: getattr(model, name) for name in ("depth", "activation", "sigma_w2", "sigma_b2")}
    kernels = analytic_kernels(x, **fields)
    rng = np.random.default_rng(5)
    f = np.linalg.cholesky(kernels.nngp + 1e-9 * np.eye(len(x))) @ rng.standard_normal((len(x), 400))
    values = np.linalg.eigvalsh(kernels.ntk)
    rate, step = settings.descent.share_of_critical * 2 / (values[0] + values[-1]), 0
    while 0.5 * np.mean((f - y) ** 2) > settings.descent.end_loss and step < settings.descent.max_steps:
        f, step = f - rate * kernels.ntk @ (f - y), step + 1
    # two samples of f_0: their mean losses scatter by a few per cent, and a slow tail of modes turns that into more steps
    assert steps_expected(settings) == pytest.approx(step, rel=0.1, abs=2)


def test_spectral_weights_integrate_what_the_spectrum_does():
    rng = np.random.default_rng(2)
    root, r = rng.standard_normal((40, 40)), rng.standard_normal(40)
    theta = root @ root.T
    values, vectors = np.linalg.eigh(theta)
    exact = np.sum((vectors.T @ r) ** 2 * np.exp(-values / 20))
    for nodes in (40, 25):  # all of them, and a polynomial of degree 49 in place of the exponential
        x, w = spectral_weights(theta, r, nodes)
        assert np.sum(w * np.exp(-x / 20)) == pytest.approx(exact, rel=1e-6)
    # equal eigenvalues: the recurrence ends by itself
    x, w = spectral_weights(np.eye(9), np.ones(9), 9)
    assert (x, w) == (pytest.approx([1.0]), pytest.approx([9.0]))


def test_blocks_of_a_kernel_are_those_that_the_planned_memory_holds(settings_of):
    raw = settings_of("figs5", "paper", "data.source=stand_in", "parts.C32.model.width=512")
    cell = next(c for c in make_cells(load_experiment("figs5"), raw) if c.name.startswith("part=C32"))
    experiment = load_experiment("figs5")
    (small,) = experiment.run.planned_work(cell.settings, 2**30).programs  # type: ignore[misc]
    (large,) = experiment.run.planned_work(cell.settings, 40 * 2**30).programs  # type: ignore[misc]
    assert (small.times, large.times) == (640 * 128, 180)


@pytest.mark.parametrize("width", [16, 512])
def test_draws_are_those_of_the_run(width, settings_of, monkeypatch):
    """Drawn weight by weight, or projected: as many groups of one shape."""
    from ntkrun.kernels import monte_carlo

    calls, draw = [], monte_carlo.segment_sums

    def counted(model, x, key, first, group):
        calls.append((x.shape, group))
        return draw(model, x, key, first, group)

    experiment = load_experiment("figs9")
    raw = settings_of("figs9", "smoke", f"model.width={width}", "model.depth=2", "draws=128", "inputs=20")
    (cell,) = make_cells(experiment, raw)
    (piece,) = work_of(experiment, cell).programs
    monkeypatch.setattr(monte_carlo, "segment_sums", counted)
    experiment.run.compute(cell.settings, cell.name, Silent())
    assert len(calls) == piece.times and {shape for shape, _ in calls} == {piece.arguments[0].shape}
    assert {group for _, group in calls} == {128 // piece.times}
