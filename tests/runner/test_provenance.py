"""Which code made a table."""

import json
import subprocess
from pathlib import Path

import pytest

import ntkrun
from ntkrun.runner.provenance import STAMP, code_version


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A git checkout of one committed file, taken for that of the package."""
    source = tmp_path / "ntkrun" / "__init__.py"
    source.parent.mkdir()
    source.write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(ntkrun, "__file__", str(source))
    return tmp_path


def test_what_was_bundled_says_where_it_came_from(checkout):
    """An installed wheel has no checkout around it, or another project's."""
    told = {"ntkrun": "0.0.9", "commit": "a" * 40, "dirty": True}
    (checkout / "ntkrun" / STAMP).write_text(json.dumps(told))
    assert code_version() == told


def test_a_changed_source_is_dirty_and_a_new_table_is_not(checkout):
    assert code_version()["dirty"] is False and len(code_version()["commit"]) == 40
    (checkout / "results").mkdir()
    (checkout / "results" / "table.parquet").write_text("a run's own")
    assert code_version()["dirty"] is False
    (checkout / "ntkrun" / "new.py").write_text("")
    assert code_version()["dirty"] is True
