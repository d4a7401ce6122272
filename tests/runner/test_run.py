"""The cells of a run: stored one by one, never computed by two processes."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest

from ntkrun import tables
from ntkrun.errors import UserError
from ntkrun.experiments.base import CellResult, Run
from ntkrun.experiments.figures import load_experiment
from ntkrun.lockstep.progress import Silent
from ntkrun.runner import lock as locks
from ntkrun.runner.plan import make_cells
from ntkrun.runner.run import Tally, run_cells
from ntkrun.runner.store import Store


def compute(settings, name, progress) -> CellResult:
    frames = [tables.rows("loss/network", "train", [0], [0.0], np.array([float(settings.seed)]))]
    return CellResult(tables.tidy(frames, figure="fig3", cell=name, seed=settings.seed, width=8))


@pytest.fixture
def experiment():
    return replace(load_experiment("fig3"), run=Run(__name__))


@pytest.fixture
def cells(experiment, settings_of):
    raw = settings_of("fig3", "smoke", "data.source=stand_in")
    return make_cells(experiment, raw | {"seed": [0, 1, 2]})


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path, "smoke", "fig3")
    store.prepare()
    return store


def run(experiment, cells, store) -> Tally:
    tally = Tally(len(cells))
    run_cells(experiment, cells, store, Silent(), tally)
    return tally


def test_every_cell_is_stored_and_no_lock_is_left(experiment, cells, store):
    assert run(experiment, cells, store).ran == 3 and run(experiment, cells, store).cached == 3
    assert sorted(path.suffix for path in store.cells.iterdir() if path.name != ".guard") == [".parquet"] * 3


def test_a_cell_that_another_process_runs_is_left_to_it_and_named(experiment, cells, store):
    run(experiment, cells[:1], store)
    (path,) = store.cells.glob("*.parquet")
    path.unlink()
    lock = store.lock(path)
    assert lock.acquire()
    with lock:
        tally = run(experiment, cells, store)
    assert tally.ran == 2 and "1 being run by another process" in str(tally)
    assert f"process {os.getpid()}" in tally.elsewhere[0] and "seed=0" in tally.elsewhere[0]
    assert run(experiment, cells, store).ran == 1


def test_the_lock_of_who_died_behind_his_table_is_removed(experiment, cells, store, monkeypatch):
    run(experiment, cells[:1], store)
    (path,) = store.cells.glob("*.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(locks, "process_start", lambda pid: "earlier")
        lock = store.lock(path)
        assert lock.acquire()
    with lock:
        assert run(experiment, cells[:1], store).cached == 1
        assert not lock.path.exists()


def test_a_full_disk_loses_nothing_finished_and_frees_the_lock(experiment, cells, store, monkeypatch):
    def fsync(descriptor: int, real=os.fsync) -> None:
        if len(list(store.cells.glob("*.parquet"))) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(UserError, match="No space left"):
            run(experiment, cells, store)
    assert len(list(store.cells.iterdir())) == 3, "two tables and the guard"
    assert run(experiment, cells, store).ran == 1
