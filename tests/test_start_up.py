"""What trains is imported where it trains: JAX and what comes with it take longer than a figure is drawn in."""

import importlib
import sys

import numpy as np
import pytest
from processes import ran

from ntkrun import tables
from ntkrun.experiments import runs
from ntkrun.experiments.base import Run
from ntkrun.experiments.figures import load_experiment
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import NO_IMAGES, Store

TRAINING = {"jax", "flax", "optax", "diffrax", "orbax", "tensorstore", "tensorflow_datasets"}


def imported(tmp_path, *arguments: str) -> tuple[int, set[str], str]:
    """(exit code, which of TRAINING were imported, standard error) of a command line in a process of its own."""
    program = (
        "import sys\n"
        "from ntkrun.cli import main as cli\n"
        f"sys.argv = ['ntkrun', *{list(arguments)!r}]\n"
        "code = 0\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    code = stop.code\n"
        f"print('imported', code, *({TRAINING!r} & set(sys.modules)))\n"
    )
    done = ran(sys.executable, "-c", program, cwd=tmp_path)
    last = [line for line in done.stdout.splitlines() if line.startswith("imported")]
    assert last, done.stderr
    _, code, *found = last[0].split()
    return int(code), set(found), done.stderr


def stored(settings_of, folder) -> None:
    """One cell of `lockstep` that nothing has trained."""
    raw = settings_of("lockstep", "smoke", f"results_dir={folder}", "data.source=stand_in")
    (cell,) = make_cells(load_experiment("lockstep"), raw)
    steps = [0, 1, 2, 4]
    values = np.linspace(1.0, 0.1, 4)
    frames = [
        tables.rows(f"{quantity}/{rival}", split, steps, [float(step) for step in steps], values[:, None])
        for quantity, splits in {"weight_change": [""], "output": ["train", "test"], "loss": ["train", "test"]}.items()
        for split in splits
        for rival in ("network", "linear")
    ]
    frames.append(tables.rows("rmse/linear", "test", steps, [float(step) for step in steps], values))
    table = tables.tidy(frames, figure="lockstep", cell=cell.name, seed=cell.settings.seed, width=8)
    store = Store(folder, "smoke", "lockstep")
    store.prepare()
    facts = {"config_hash": cell.config_hash, "data_source": "tfds", "facts": {}, "wall_seconds": 1.0}
    facts |= {"settings": cell.settings.model_dump(mode="json"), "device": {"kind": "cpu", "used": 1}, "packages": {}}
    facts |= {"code": {"ntkrun": "0", "commit": None, "dirty": None}, "python": "3", "started": "", "finished": ""}
    store.write_cell(cell, NO_IMAGES, table, facts)


def test_a_figure_is_drawn_and_judged_without_what_trains(settings_of, tmp_path):
    stored(settings_of, tmp_path / "results")
    code, found, err = imported(tmp_path, "experiment=lockstep", "scale=smoke", "stage=report", "data.source=auto")
    assert (code, found) == (0, set()), err
    assert (tmp_path / "results/smoke/lockstep/default/figure.pdf").stat().st_size > 10_000
    assert (tmp_path / "results/smoke/index.html").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["experiment=figs7", "rates=0"],  # a setting of this figure alone, and scale=auto
        ["experiment=fig1", "scale=smoke", "networks={16:0}"],
        ["experiment=figs5", "scale=smoke", "stage=report"],
    ],
    ids=" ".join,
)
def test_wrong_input_is_answered_without_what_trains(tmp_path, arguments):
    code, found, err = imported(tmp_path, *arguments)
    assert (code, found) == (2, set()) and err.startswith("error: ")


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(runs).values() if isinstance(kind, Run)], ids=lambda kind: kind.module
)
def test_what_a_kind_of_run_names_is_there(kind):
    module = importlib.import_module(kind.module)
    assert callable(module.compute) and callable(module.planned_work)
