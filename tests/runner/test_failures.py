"""A cell that fails stops no other, is known afterwards, and is tried again where that can be of use."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun import tables
from ntkrun.cli.worker import compute as computed_by_a_worker
from ntkrun.errors import NonFiniteError, UserError
from ntkrun.experiments.base import CellResult, Run
from ntkrun.experiments.figures import load_experiment
from ntkrun.lockstep.progress import Silent
from ntkrun.runner import failures
from ntkrun.runner.failures import Failure, failed_cells, read_failure
from ntkrun.runner.plan import make_cells
from ntkrun.runner.run import Tally, run_cells
from ntkrun.runner.store import Store

SMOKE = ["scale=smoke", "data.source=stand_in"]
CODE = {"ntkrun": "0", "commit": "a", "dirty": False}
FAILING: dict[int, Exception] = {}  # by seed
TRIED: list[int] = []


def compute(settings, name, progress) -> CellResult:
    TRIED.append(settings.seed)
    if settings.seed in FAILING:
        raise FAILING[settings.seed]
    frames = [tables.rows("loss/network", "train", [0], [0.0], np.array([float(settings.seed)]))]
    return CellResult(tables.tidy(frames, figure="fig3", cell=name, seed=settings.seed, width=8))


@pytest.fixture
def run(monkeypatch, settings_of, tmp_path):
    """Computes seeds 0, 1, 2 with the given failures; (tally, what was tried, store, cells)."""
    experiment = replace(load_experiment("fig3"), run=Run(__name__))
    raw = settings_of("fig3", "smoke", "data.source=stand_in") | {"seed": [0, 1, 2]}
    monkeypatch.setattr(failures, "code_version", lambda: CODE)
    store = Store(tmp_path, "smoke", "fig3")

    def call(failing: dict[int, Exception], **settings):
        FAILING.clear()
        FAILING.update(failing)
        TRIED.clear()
        cells = make_cells(experiment, raw | settings)
        tally = Tally(len(cells))
        run_cells(experiment, cells, store, Silent(), tally)
        return tally, list(TRIED), store, cells

    return call


DIVERGED = NonFiniteError("network is not finite at step 3")


@pytest.mark.parametrize(
    "error", [DIVERGED, MemoryError("8 GiB"), ZeroDivisionError("a bug"), UserError("no such class")]
)
def test_whatever_fails_in_one_cell_the_others_are_stored_and_it_is_known(run, error):
    tally, tried, store, cells = run({0: error})
    assert (tally.ran, list(tally.failed), tried) == (2, ["seed=0"], [0, 1, 2]) and "1 failed" in str(tally)
    assert [any(store.variants(cell)) for cell in cells] == [False, True, True]
    (why,) = failed_cells(store, cells).values()
    assert str(error) in why
    assert not list(store.cells.glob("*.lock"))


def test_a_divergence_is_computed_again_only_when_asked_or_by_other_code(run, monkeypatch):
    run({0: DIVERGED})
    tally, tried, *_ = run({0: DIVERGED})
    assert tried == [] and "retry=true" in tally.failed["seed=0"]
    assert run({0: DIVERGED}, retry=True)[1] == [0]
    for changed in (CODE | {"commit": "b"}, CODE | {"dirty": True}):
        with monkeypatch.context() as patch:
            patch.setattr(failures, "code_version", lambda changed=changed: changed)
            assert run({0: DIVERGED})[1] == [0], changed


def test_what_may_be_over_is_tried_again_after_those_that_have_not_failed_and_then_forgotten(run):
    run({0: MemoryError(), 1: MemoryError(), 2: MemoryError()})
    _, tried, store, cells = run({0: MemoryError()})
    assert tried == [0, 1, 2] and list(failed_cells(store, cells)) == ["seed=0"]
    (tally, tried, *_) = run({}, seed=[0, 3])
    assert tried == [3, 0] and not tally.failed
    assert not list(store.cells.glob("*.failed.json"))


def test_a_record_that_cannot_be_removed_ends_no_run(run):
    """Root may remove any file; a folder in its place is what nobody can unlink."""
    _, _, store, cells = run({0: MemoryError()})
    (record,) = store.cells.glob("*.failed.json")
    record.unlink()
    record.mkdir()
    tally, tried, *_ = run({})
    assert (tally.ran, tried) == (1, [0]) and record.is_dir()
    assert failed_cells(store, cells) == {}


def test_what_all_cells_refuse_is_bad_input_and_leaves_nothing(run, tmp_path):
    with pytest.raises(UserError, match="no such class"):
        run(dict.fromkeys((0, 1, 2), UserError("no such class")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "5", "{}", '{"cell": 1}', "[" * 100_000, "\xff"])
def test_a_record_that_is_none_of_ours_is_none(tmp_path, text):
    (tmp_path / "a.failed.json").write_text(text, encoding="latin-1")
    assert read_failure(tmp_path / "a.parquet") is None


def test_a_reason_names_no_cell_as_every_run_has_its_own_name_for_it(run, tmp_path):
    tally, _, store, cells = run({0: NonFiniteError("fig3 seed=0: network is not finite at step 3")})
    (why,) = failed_cells(store, [replace(cells[0], name="width=8")]).values()
    assert why == tally.failed["seed=0"] == "network is not finite at step 3"
    earlier = Failure("seed=0", "fig3 seed=0: test of network", True, {"code": CODE})  # as they were written once
    (tmp_path / "a.failed.json").write_text(json.dumps(asdict(earlier)))
    assert (found := read_failure(tmp_path / "a.parquet")) and found.why == "test of network"


def test_a_failure_that_is_not_deterministic_never_stands():
    assert not Failure("seed=0", "out of memory", False, {"code": CODE}).stands(1)


RATES = ["experiment=lockstep", *SMOKE, "optimizer.learning_rate=[1e8,0.1]"]


def test_the_figure_the_plan_and_the_gallery_name_the_cell_that_failed(ntkrun, tmp_path):
    code, out, err = ntkrun(*RATES)
    assert code == 1 and "2 cells finished (1 run now, 0 stored before), 1 failed" in out
    assert "failed: learning_rate=100000000.0:" in err and "Traceback" not in err
    (folder,) = (tmp_path / "results" / "smoke" / "lockstep").glob("*demo")
    assert list(json.loads((folder / "provenance.json").read_text())["failed_cells"]) == ["learning_rate=100000000.0"]
    assert "not finite" in (folder.parent.parent / "index.html").read_text()
    assert "failed in an earlier run" in ntkrun(*RATES, "stage=plan")[2]
    assert ntkrun(*RATES, "stage=report")[0] == 0
    assert ntkrun(*RATES, "stage=report", "retry=true")[0] == 2


@pytest.mark.usefixtures("unpainted")
def test_a_shard_that_only_failed_leaves_the_drawing_to_no_one_else(ntkrun, tmp_path):
    assert ntkrun(*RATES, "shards=2", "shard=0")[0] == 1
    assert ntkrun(*RATES, "shards=2", "shard=1")[0] == 0
    assert list((tmp_path / "results" / "smoke" / "lockstep").glob("*/figure.png"))


def test_a_job_of_a_sweep_that_fails_stops_no_other(ntkrun, tmp_path):
    code, out, _ = ntkrun("-m", *RATES[:-1], "stage=run", "optimizer.learning_rate=1e8,0.1")
    assert code == 1 and "1 of 1 cells finished" in out
    assert len(list(tmp_path.rglob("cells/*.parquet"))) == 1


def test_a_worker_answers_that_its_cell_failed(settings_of, tmp_path):
    raw = settings_of(
        "lockstep", "smoke", "data.source=stand_in", f"results_dir={tmp_path}", "optimizer.learning_rate=1e8"
    )
    (cell,) = make_cells(load_experiment("lockstep"), raw)
    answer = computed_by_a_worker("lockstep", raw, cell.config_hash)
    assert answer["state"] == "failed" and "not finite" in answer["why"]
