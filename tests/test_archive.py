"""`make archive`: the shipped results in one file, as they are, with all their claims."""

import csv
import hashlib
import importlib
import io
import json
import zipfile

import pytest


@pytest.fixture
def archive(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "scripts")
    return importlib.import_module("archive")


def test_the_archive_has_the_shipped_files_and_every_claim(archive, root, tmp_path):
    archive.write(tmp_path / "once.zip", archive.contents(root, ["paper", "gpu"]))
    archive.write(tmp_path / "again.zip", archive.contents(root, ["paper", "gpu"]))
    assert (tmp_path / "once.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "once.zip") as stored:
        found = {name: stored.read(name) for name in stored.namelist()}
    shipped = root / "results" / "reference"
    files = [path for scale in ("paper", "gpu") for path in (shipped / scale).rglob("*") if path.is_file()]
    assert files
    assert all(found[f"reference/{path.relative_to(shipped)}"] == path.read_bytes() for path in files)
    rows = list(csv.DictReader(io.StringIO(found["claims.csv"].decode())))
    claims = [claim for path in files if path.name == "claims.json" for claim in json.loads(path.read_text())]
    assert sorted((row["id"], row["verdict"]) for row in rows) == sorted((one["id"], one["verdict"]) for one in claims)
    sums = [f"{hashlib.sha256(found[name]).hexdigest()}  {name}" for name in sorted(found) if name != "SHA256SUMS"]
    assert found["SHA256SUMS"].decode().splitlines() == sums


def test_a_scale_without_results_is_named(archive, tmp_path):
    with pytest.raises(SystemExit, match="scale=tpu"):
        archive.contents(tmp_path, ["tpu"])
