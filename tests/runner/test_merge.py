"""Cells of another machine: taken in whole when they are what they say, never over what is there."""

import io
import os
import shutil
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun import tables
from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.runner import elsewhere as elsewhere_module
from ntkrun.runner import plan
from ntkrun.runner.elsewhere import Elsewhere, StoredElsewhere
from ntkrun.runner.merge import verified
from ntkrun.runner.plan import Cell, make_cells
from ntkrun.runner.provenance import cell_provenance
from ntkrun.runner.store import Store, parquet_bytes, read_table
from ntkrun.settings.base import CommonSettings

PRINT = "9b07b565" + "0" * 56  # of the images
MERGE = ["experiment=fig3", "scale=smoke", "stage=merge", "results_dir=home"]


@pytest.fixture
def cells(settings_of) -> list[Cell]:
    return make_cells(load_experiment("fig3"), settings_of("fig3", "smoke", "seed=[0,1,2]"))


def numbers(cell: Cell, scale: float = 1.0) -> pd.DataFrame:
    frames = [tables.rows("loss/network", "train", [0, 1], [0.0, 0.1], scale * np.array([1 / 3, 2 / 7]))]
    return tables.tidy(frames, figure="fig3", cell=cell.name, seed=cell.settings.seed, width=8)


def facts_of(cell: Cell) -> dict:
    facts = cell_provenance(cell, PRINT, datetime.now(UTC), {}, {"data": {"source": "tfds", "name": "cifar10"}})
    return facts | {"device": {"platform": "gpu", "kind": "NVIDIA H100", "used": 1}}


def stored(folder: Path, cell: Cell, scale: float = 1.0, **changed) -> Path:
    store = Store(folder, "smoke", "fig3")
    store.prepare()
    return store.write_cell(cell, PRINT, numbers(cell, scale), facts_of(cell) | changed)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}


def test_cells_are_merged_once_and_whole(ntkrun, cells, tmp_path):
    for cell in cells:
        stored(tmp_path / "away", cell)
    code, out, _ = ntkrun(*MERGE, "from=away")
    assert code == 0 and "3 merged, 0 there already and equal, 0 there with other numbers, 0 refused" in out
    assert snapshot(tmp_path / "home") == snapshot(tmp_path / "away")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("*.parquet")}
    code, out, _ = ntkrun(*MERGE, "from=away")
    assert code == 0 and "0 merged, 3 there already and equal" in out
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert ntkrun("experiment=fig3", "scale=smoke", "results_dir=home", "stage=verify")[0] == 0
    assert not list((tmp_path / "home").rglob("*.lock"))


def test_what_is_there_stays_as_it_is(ntkrun, cells, tmp_path):
    """Equal numbers from other hands, other numbers, a damaged file: none of them is replaced."""
    for cell in cells:
        stored(tmp_path / "away", cell)
    stored(tmp_path / "home", cells[0], wall_seconds=77.0)
    stored(tmp_path / "home", cells[1], 1 + 2**-50)
    damaged = stored(tmp_path / "home", cells[2])
    damaged.write_bytes(damaged.read_bytes()[:-9])
    before = snapshot(tmp_path / "home")
    code, out, _ = ntkrun(*MERGE, "from=away")
    assert snapshot(tmp_path / "home") == before
    by_cell = {line.split()[1]: line for line in out.splitlines() if line.startswith("fig3 ")}
    assert by_cell["seed=0"].endswith("there already (equal)")
    assert by_cell["seed=1"].endswith("there already (different numbers; compare with stage=compare)")
    assert "refused" in by_cell["seed=2"] and "remove it and run again" in by_cell["seed=2"] and code == 1


def test_a_cell_that_is_being_computed_is_left_to_who_computes_it(ntkrun, cells, tmp_path):
    path = stored(tmp_path / "away", cells[0])
    store = Store(tmp_path / "home", "smoke", "fig3")
    store.prepare()
    lock = store.lock(store.cells / path.name)
    assert lock.acquire()
    with lock:
        code, out, _ = ntkrun(*MERGE, "from=away")
        assert code == 1 and f"being computed here by process {os.getpid()}" in out
    assert not (store.cells / path.name).exists()
    assert ntkrun(*MERGE, "from=away")[0] == 0 and (store.cells / path.name).exists()


def test_a_place_that_cannot_be_written_is_bad_input(ntkrun, cells, tmp_path):
    stored(tmp_path / "away", cells[0])
    (tmp_path / "home").write_text("in the way")
    code, _, err = ntkrun(*MERGE, "from=away")
    assert code == 2 and "choose another results_dir" in err and err.count("\n") == 1


def rewritten(path: Path, **changed) -> None:
    """The cell with other facts and a content hash that fits them: what only its identity can tell."""
    table, facts = read_table(path)
    path.write_bytes(parquet_bytes(table, facts | changed))


def flip_a_bit_that_matters(path: Path) -> None:
    content = path.read_bytes()
    for place in range(40, len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            read_table(path)
        except UserError:
            return


def test_what_is_not_what_it_says_is_refused_and_the_rest_is_merged(ntkrun, cells, settings_of, tmp_path, monkeypatch):
    away = tmp_path / "away"
    good = stored(away, cells[0])
    wrong: dict[str, str] = {}

    def another(seed: int, says: str) -> Path:
        (cell,) = make_cells(load_experiment("fig3"), settings_of("fig3", "smoke", f"seed={seed}"))
        path = stored(away, cell)
        wrong[path.name] = says
        return path

    cut = another(10, "is not a readable table")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    flip_a_bit_that_matters(another(11, "is not a readable table"))
    another(12, "not the one that it is named after").rename(good.with_name("0" * 16 + "-9b07b565.parquet"))
    wrong["0" * 16 + "-9b07b565.parquet"] = wrong.pop(list(wrong)[-1])
    settings = facts_of(cells[0])["settings"]
    rewritten(another(13, "other code computed it"), settings=settings | {"seed": 99})
    rewritten(another(14, "the one that it is named after"), data_fingerprint="0" * 64)
    rewritten(another(15, "not of this code (loss=hinge"), settings=settings | {"loss": "hinge"})
    rewritten(another(16, "not of this code (colour is not"), settings=settings | {"colour": "red"})
    rewritten(another(17, "it tells none of fig3"), settings=settings | {"experiment": "fig1"})
    rewritten(another(18, "it tells none of fig3"), settings=None)
    with monkeypatch.context() as patch:
        patch.setattr(plan, "NUMERICS_VERSION", plan.NUMERICS_VERSION + 1)
        another(19, "other code computed it (ntkrun 0.1.0")
    moved = away / "smoke" / "fig1" / "cells" / good.name
    moved.parent.mkdir(parents=True)
    shutil.copy(good, moved)
    unknown = away / "smoke" / "figx" / "cells" / good.name
    unknown.parent.mkdir(parents=True)
    shutil.copy(good, unknown)

    code, out, _ = ntkrun("experiment=all", *MERGE[1:], "from=away")
    assert (
        code == 1
        and f"1 merged, 0 there already and equal, 0 there with other numbers, {len(wrong) + 2} refused" in out
    )
    lines = out.splitlines()
    for name, says in wrong.items():
        (line,) = [line for line in lines if name in line]
        assert "refused: " in line and says in line, line
    (line,) = [line for line in lines if line.startswith("fig1")]
    assert "refused: its settings are not of this code (it tells none of fig1)" in line
    (line,) = [line for line in lines if line.startswith("figx")]
    assert "refused: this code has no experiment figx" in line
    assert snapshot(tmp_path / "home") == {f"smoke/fig3/cells/{good.name}": good.read_bytes()}


def test_only_what_was_asked_for_is_taken(ntkrun, cells, tmp_path):
    stored(tmp_path / "away", cells[0])
    code, _, err = ntkrun("experiment=fig1", *MERGE[1:], "from=away")
    assert code == 2 and "holds no cells of fig1 at scale=smoke" in err and not (tmp_path / "home").exists()
    code, _, err = ntkrun("experiment=fig3", "scale=cpu", *MERGE[2:], "from=away")
    assert code == 2 and "at scale=cpu; it has some at scale=smoke" in err and err.count("\n") == 1


def packed(path: Path, folder: Path, *odd: tarfile.TarInfo, first: bool = False) -> Path:
    """The folder as `tar czf` packs it, with members that do not belong there."""
    with tarfile.open(path, "w:gz") as archive:
        for member in odd if first else ():
            archive.addfile(member, io.BytesIO(b"x" * member.size))
        archive.add(folder, "./")
        for member in () if first else odd:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size
    return found


CELL = "smoke/fig3/cells/0000000000000000-00000000.parquet"


def test_an_archive_is_as_good_as_the_folder(ntkrun, cells, tmp_path):
    for cell in cells:
        stored(tmp_path / "away", cell)
    for extra in (
        member(f"smoke/fig3/cells/.{'0' * 16}.parquet"),
        member("cells.tar.gz"),
        member("smoke/fig3/log.txt"),
    ):
        packed(tmp_path / "cells.tar.gz", tmp_path / "away", extra)
        code, out, err = ntkrun(*MERGE, "from=cells.tar.gz")
        assert code == 0, out + err
    assert snapshot(tmp_path / "home") == snapshot(tmp_path / "away")


@pytest.mark.parametrize(
    "odd",
    [
        member("/etc/" + CELL),
        member("../" + CELL),
        member("a/../../" + CELL),
        member(CELL, tarfile.SYMTYPE, "/etc/passwd"),
        member(CELL, tarfile.LNKTYPE, "smoke/fig3/cells/other.parquet"),
        member("link", tarfile.SYMTYPE, ".."),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
    ],
    ids=lambda m: m.name + m.linkname,
)
def test_an_archive_that_reaches_out_of_itself_is_not_read_further(ntkrun, cells, tmp_path, odd):
    stored(tmp_path / "away", cells[0])
    before = {path for path in tmp_path.rglob("*") if path.name != "home"}
    code, out, err = ntkrun(*MERGE, f"from={packed(tmp_path / 'a.tgz', tmp_path / 'away', odd)}")
    assert code == 1 and "1 merged" in out and "not read further" in err and repr(odd.name)[:20] in err
    home = {path for path in tmp_path.rglob("*") if "home" in path.parts or path.name == "a.tgz"}
    assert {path for path in tmp_path.rglob("*")} - home == before, "nothing is written anywhere else"
    code, _, err = ntkrun(*MERGE, f"from={packed(tmp_path / 'b.tgz', tmp_path / 'away', odd, first=True)}")
    assert code == 2 and "not read further" in err


def test_an_archive_has_a_size_and_a_damaged_one_gives_what_is_before_the_damage(ntkrun, cells, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for cell in cells:
        stored(tmp_path / "away", cell, noise=rng.bytes(20_000).hex())  # so that each has its own part of the archive
    path = packed(tmp_path / "a.tgz", tmp_path / "away")
    content = path.read_bytes()
    path.write_bytes(content[: int(0.7 * len(content))])
    code, out, err = ntkrun(*MERGE, "from=a.tgz")
    assert code == 1 and "2 merged" in out and "a.tgz is damaged" in err
    path.write_bytes(content)
    largest = max(p.stat().st_size for p in (tmp_path / "away").rglob("*.parquet"))
    monkeypatch.setattr(elsewhere_module, "LARGEST", 2 * largest)
    code, _, err = ntkrun(*MERGE, "from=a.tgz")
    assert code == 1 and "makes it too large" in err
    monkeypatch.setattr(elsewhere_module, "LARGEST_CELL", largest // 2)
    code, _, err = ntkrun(*MERGE, "from=a.tgz")
    assert code == 2 and "is too large: not read further" in err
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(UserError, match="is no folder and no tar archive: name a folder of results"):
        Elsewhere.of(str(tmp_path / "text"), "from")


def test_every_committed_cell_is_one_of_this_code(root, settings_of):
    """192 tables that were written by earlier commits: what is refused is foreign, not old."""
    kept = settings_of("fig1", "cpu")
    kept = {key: value for key, value in kept.items() if key in CommonSettings.model_fields or key == "from"}
    local = CommonSettings.model_validate(kept)
    count = 0
    for path in sorted((root / "results/reference").glob("*/*/cells/*.parquet")):
        scale_and_experiment = path.parts[-4:-2]
        if scale_and_experiment == ("cpu", "fig3"):
            continue  # not committed: of whatever code ran there
        verified(StoredElsewhere(scale_and_experiment[1], path.name, path.read_bytes()), local)
        count += 1
    assert count > 150
