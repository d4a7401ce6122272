import errno
import os

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.errors import ComputeForbiddenError, UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.runner.data_sets import stored
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import Store, content_hash, read_table
from ntkrun.runner.verify import faults


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


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "text"])
def test_a_damaged_table_is_one_line_that_names_the_file(store, cell, table, damage):
    path = store.write_cell(cell, "a" * 64, table, {"data_source": "tfds"})
    content = path.read_bytes()
    if damage == "foreign":
        pd.DataFrame({"x": [1]}).to_parquet(path)
    else:
        path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(UserError, match=path.name) as caught:
        stored([cell], store)
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


def test_a_flipped_bit_is_seen_or_does_not_matter(store, cell, table):
    path = store.write_cell(cell, "a" * 64, table, {"data_source": "tfds", "eta": 0.1})
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    seen = 0
    for place in rng.integers(0, len(content), 200):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            again, facts = read_table(path)
        except UserError as error:
            assert path.name in str(error) and "\n" not in str(error)
            seen += 1
        else:
            pd.testing.assert_frame_equal(again, table, check_exact=True)
            assert facts == {"data_source": "tfds", "eta": 0.1}
    assert seen > 20


def test_the_hash_sees_every_column_the_order_and_the_facts(table):
    two = pd.concat([table, table.assign(step=5)], ignore_index=True)
    base = content_hash(two, "{}")
    others = [two.assign(**{name: two[name].shift(1, fill_value=two[name].iloc[-1])}) for name in ("step", "value")]
    others += [two.assign(curve="loss/linear"), two.iloc[::-1].reset_index(drop=True), two.iloc[:-1]]
    hashes = {content_hash(other, "{}") for other in others} | {content_hash(two, '{"a": 1}')}
    assert len(hashes) == 6 and base not in hashes
    assert content_hash(two.copy(), "{}") == base


def test_verify_names_each_damaged_or_misplaced_table(store, cell, table):
    with pytest.raises(ComputeForbiddenError, match="no table"):
        list(faults(store))
    facts = {"config_hash": cell.config_hash, "data_fingerprint": "a" * 64}
    good = store.write_cell(cell, "a" * 64, table, facts)
    assert list(faults(store)) == [(good, "")]
    cut, foreign, moved = (store.cells / name for name in ("1-cut.parquet", "2-foreign.parquet", "3-moved.parquet"))
    cut.write_bytes(good.read_bytes()[:-20])
    pd.DataFrame({"x": [1]}).to_parquet(foreign)
    moved.write_bytes(good.read_bytes())
    found = dict(faults(store))
    assert found.pop(good) == "" and set(found) == {cut, foreign, moved}
    assert all(path.name in fault and "\n" not in fault for path, fault in found.items())
