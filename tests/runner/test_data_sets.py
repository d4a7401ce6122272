"""Which images a figure is drawn from: those of the run, and never two data sets in one figure."""

import numpy as np
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun import tables
from ntkrun.cli.timed import LEFT_OVER
from ntkrun.data.sources.load import load_images
from ntkrun.experiments.figures import load_experiment
from ntkrun.runner.data_sets import at_hand, stored
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import READ_ONLY, Store

A, B, PHOTOS = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def cells(settings_of):
    return make_cells(load_experiment("fig3"), settings_of("fig3", "smoke") | {"seed": [0, 1, 2]})


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path, "smoke", "fig3")
    store.prepare()
    return store


def put(store: Store, cells, fingerprint: str, source: str, finished: str = "2026") -> None:
    for cell in cells:
        frame = tables.rows("loss/network", "train", [0], [0.0], np.array([1.0]))
        facts = {"data_source": source, "finished": finished, "facts": {}}
        store.write_cell(cell, fingerprint, tables.tidy([frame], figure="fig3", cell=cell.name, seed=0, width=8), facts)


def chosen(cells, store: Store) -> set[str]:
    return set(stored(cells, store).of.values())


def test_of_two_data_sets_the_more_complete_one_is_drawn_alone_and_the_other_named(cells, store):
    put(store, cells[:1], A, "tfds", finished="2030")  # a clock that runs ahead decides nothing
    put(store, cells[1:], B, "tfds", finished="2020")
    found = stored(cells, store)
    assert set(found.of) == {cell.config_hash for cell in cells} and set(found.of.values()) == {B[:8]}
    (note,) = found.notes
    assert A[:8] in note and B[:8] in note and "2 of 3 cells" in note


def test_real_images_come_before_stand_ins_however_few_cells_they_have(cells, store, settings_of):
    put(store, cells, PHOTOS, "stand_in")
    assert chosen(cells, store) == {PHOTOS[:8]}
    put(store, cells[:1], A, "tfds")
    assert chosen(cells, store) == {A[:8]} and stored(cells, store).notes == []
    raw = settings_of("fig3", "smoke", "data.source=stand_in") | {"seed": [0, 1, 2]}
    assert chosen(make_cells(load_experiment("fig3"), raw), store) == {PHOTOS[:8]}


def test_a_run_without_the_real_images_uses_their_cells_if_it_has_all_of_them(
    settings_of, store, monkeypatch, tmp_path
):
    raw = settings_of("fig3", "smoke", "data.download=false") | {"seed": [0, 1, 2]}
    cells = make_cells(load_experiment("fig3"), raw)
    for variable in ("NTKRUN_DATA_DIR", "TFDS_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    photos = load_images("cifar10", "stand_in").fingerprint
    put(store, cells[:2], A, "tfds")
    assert set(at_hand(cells, store).of.values()) == {photos} and at_hand(cells, store).notes == []
    put(store, cells[2:], A, "tfds")
    found = at_hand(cells, store)
    assert set(found.of.values()) == {A[:8]} and "not prepared" in found.notes[0]


def test_a_shipped_cell_counts_as_stored_and_one_of_ones_own_comes_first(cells, tmp_path):
    shipped = Store(tmp_path / "reference", "smoke", "fig3")
    shipped.prepare()
    put(shipped, cells[:2], A, "tfds")
    store = Store(tmp_path, "smoke", "fig3")
    assert not store.has(cells[0], A), "a folder of that name is not yet one of shipped results"
    (tmp_path / "reference" / READ_ONLY).touch()
    store = Store(tmp_path, "smoke", "fig3")
    store.prepare()
    put(store, cells[1:2], A, "tfds")
    found = [store.found(cell, A) for cell in cells]
    assert [path and store.is_shipped(path) for path in found] == [True, False, None]
    assert len(store.tables()) == 2 and not Store(tmp_path / "own", "smoke", "fig3").has(cells[0], A)


@pytest.mark.usefixtures("unpainted")
def test_a_run_and_its_figure_speak_of_the_images_at_hand_alone(ntkrun, cells, tmp_path):
    """Cells of other images lie there, newer and more: neither counted nor drawn."""
    store = Store(tmp_path / "results", "smoke", "lockstep")
    store.prepare()
    command = ["experiment=lockstep", "scale=smoke", "data=mnist", "data.source=stand_in", "optimizer.steps=2"]
    assert ntkrun(*command)[0] == 0
    (own,) = store.cells.glob("*.parquet")
    foreign = own.with_name(own.name.split("-")[0] + "-00000000.parquet")
    own.rename(foreign)
    code, out, _ = ntkrun(*command)
    assert code == 0 and "1 run now, 0 stored before" in out and own.is_file() and foreign.is_file()
    shard = [*command, "seed=[0,1]", "shards=2"]
    code, out, _ = ntkrun(*shard, "shard=1")
    assert code == 0 and "figure:" in out
    own.unlink()
    code, out, _ = ntkrun(*shard, "shard=1")
    assert code == 0 and "1 of 2 cells are left to other shards" in out


@pytest.mark.usefixtures("unpainted")
def test_a_run_within_minutes_draws_its_own_images_though_others_are_more_complete(ntkrun, tmp_path):
    command = ["experiment=lockstep", "scale=smoke", "data=mnist", "data.source=stand_in", "optimizer.steps=2"]
    assert ntkrun(*command, "seed=[0,1]", "stage=run")[0] == 0
    cells = tmp_path / "results" / "smoke" / "lockstep" / "cells"
    for path in list(cells.glob("*.parquet")):
        path.rename(path.with_name(path.name.split("-")[0] + "-00000000.parquet"))
    assert ntkrun(*command, "stage=run")[0] == 0
    code, out, err = ntkrun(*command, "seed=[0,1]", "minutes=1", "flop_rate=1")
    assert code == LEFT_OVER and "0 of 2 cells finished now, 1 stored before, 1 left" in out, (out, err)
    assert "1 of 2 cells are not there yet: seed=1" in err and "drawn from the images of fingerprint" not in err
