"""The one way by which a run becomes a shipped result."""

import json
import shutil

import pytest
from test_readme import script_of

from ntkrun.errors import UserError
from ntkrun.runner.store import Store


@pytest.fixture
def publish(root):
    return script_of(root, "publish_reference").publish


@pytest.fixture
def results(root, tmp_path):
    """A user's run that is whole and of the shipped settings."""
    shipped, own = root / "results" / "reference" / "cpu" / "figs8", tmp_path / "results" / "cpu" / "figs8"
    shutil.copytree(shipped / "cells", own / "cells")
    (own / "default").mkdir()
    for name in ("figure.png", "thumbnail.png", "curves.json", "claims.json", "deviation.csv", "provenance.json"):
        shutil.copyfile(shipped / name, own / "default" / name)
    told = json.loads((own / "default" / "provenance.json").read_text())
    (own / "default" / "provenance.json").write_text(json.dumps(told | {"run": {"changed": {}}}))
    return tmp_path / "results"


def test_a_run_is_published_with_its_cells(publish, results, tmp_path):
    assert publish("figs8", "cpu", results, tmp_path / "reference") == 1
    store = Store(tmp_path / "reference", "cpu", "figs8")
    assert [path.name for path in store.tables()] == [path.name for path in Store(results, "cpu", "figs8").tables()]
    files = ("figure.png", "thumbnail.png", "curves.json", "provenance.json")
    assert all((store.folder / name).is_file() for name in files)


def test_cells_of_settings_that_a_figure_had_before_go(publish, results, tmp_path):
    publish("figs8", "cpu", results, tmp_path / "reference")
    store = Store(tmp_path / "reference", "cpu", "figs8")
    (kept,) = store.tables()
    shutil.copyfile(kept, kept.with_name(f"0123456789abcdef-{kept.stem.rpartition('-')[2]}.parquet"))
    publish("figs8", "cpu", results, tmp_path / "reference")
    assert store.tables() == [kept]


@pytest.mark.parametrize(
    "told", [{"stand_in_data": ["photos"]}, {"missing_cells": ["seed=1"]}, {"run": {"changed": {"seed": 1}}}]
)
def test_what_is_not_fit_to_be_shipped_is_refused_and_nothing_written(publish, results, tmp_path, told):
    path = results / "cpu" / "figs8" / "default" / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    with pytest.raises(UserError, match="not shipped"):
        publish("figs8", "cpu", results, tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_cells_that_are_gone_or_no_report_are_named(publish, results, tmp_path):
    with pytest.raises(UserError, match="no report"):
        publish("fig3", "cpu", results, tmp_path / "reference")
    shutil.rmtree(results / "cpu" / "figs8" / "cells")
    with pytest.raises(UserError, match="not in"):
        publish("figs8", "cpu", results, tmp_path / "reference")
