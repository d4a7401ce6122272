import errno
import os

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.errors import UserError
from ntkrun.experiments.base import load_experiment
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import Store, read_table


@pytest.fixture
def cell(settings_of):
    return make_cells(load_experiment("fig3"), settings_of("fig3", "smoke"))[0]


@pytest.fixture
def table() -> pd.DataFrame:
    frames = [tables.rows("loss/network", "train", [0, 1], [0.0, 0.1], np.array([1 / 3, 2 / 7]))]
    return tables.tidy(frames, figure="fig3", cell="seed=0", seed=0, width=8)


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path, "smoke", "fig3")
    store.prepare()
    return store


def test_a_table_comes_back_bit_for_bit_with_its_facts(store, cell, table):
    path = store.write_cell(cell, "f" * 64, table, {"data_source": "tfds", "eta": 0.1})
    again, facts = read_table(path)
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert facts == {"data_source": "tfds", "eta": 0.1}


def test_real_data_comes_before_stand_ins_and_the_newest_first(store, cell, table):
    store.write_cell(cell, "a" * 64, table, {"data_source": "stand_in", "finished": "2030"})
    store.write_cell(cell, "b" * 64, table, {"data_source": "tfds", "finished": "2020", "n": 1})
    store.write_cell(cell, "c" * 64, table, {"data_source": "tfds", "finished": "2021", "n": 2})
    assert store.stored(cell)[1]["n"] == 2
    assert store.stored(cell, "stand_in")[1]["data_source"] == "stand_in"


def test_nothing_stored_is_none(store, cell):
    assert store.stored(cell) is None


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "text"])
def test_a_damaged_table_is_one_line_that_names_the_file(store, cell, table, damage):
    path = store.write_cell(cell, "a" * 64, table, {"data_source": "tfds"})
    content = path.read_bytes()
    if damage == "foreign":
        pd.DataFrame({"x": [1]}).to_parquet(path)
    else:
        path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(UserError, match=path.name) as caught:
        store.stored(cell)
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_nothing_behind(store, cell, table, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        store.write_cell(cell, "a" * 64, table, {})
    assert list(store.cells.iterdir()) == []


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="results_dir"):
        Store(tmp_path / "file", "cpu", "fig3").prepare()
