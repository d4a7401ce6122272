"""A variant never overwrites another result, the shipped ones least of all."""

import json
import shutil
from pathlib import Path

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.runner.lock import Lock
from ntkrun.runner.store import READ_ONLY

SMOKE = ("experiment=lockstep", "scale=smoke", "data=mnist", "data.source=stand_in", "optimizer.steps=2")


pytestmark = pytest.mark.usefixtures("unpainted")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".guard"
    }


@pytest.fixture
def shipped(root, tmp_path) -> Path:
    """The results of a fresh clone: theorem21, of which everything is shipped, and fig3, of which the report is."""
    reference = tmp_path / "results" / "reference"
    for name in ("theorem21", "fig3"):
        shutil.copytree(
            root / "results" / "reference" / "cpu" / name, reference / "cpu" / name, ignore=lambda *_: ["x"]
        )
    shutil.rmtree(reference / "cpu" / "fig3" / "cells", ignore_errors=True)
    shutil.copyfile(root / "results" / "reference" / READ_ONLY, reference / READ_ONLY)
    return reference


def test_each_variant_keeps_its_report_and_shares_the_cells(ntkrun, tmp_path):
    folder = tmp_path / "results" / "smoke" / "lockstep"
    assert ntkrun(*SMOKE, "seed=[0,1]", "name=mine")[0] == 0
    before = contents(folder / "mine-demo")
    code, out, _ = ntkrun(*SMOKE, "seed=1")
    assert code == 0 and "0 run now, 1 stored before" in out
    assert contents(folder / "mine-demo") == before
    (other,) = (path.parent for path in folder.glob("*/claims.json") if path.parent.name != "mine-demo")
    told = json.loads((other / "provenance.json").read_text())["run"]
    assert other.name == told["name"] + "-demo" and told["changed"]["seed"] == 1
    assert "seed=1" in told["command"] and "data.source=stand_in" in told["command"]
    page = (tmp_path / "results" / "smoke" / "lockstep.html").read_text()
    assert f"lockstep/{other.name}/figure.png" in page and "lockstep/mine-demo/figure.png" in page
    assert str(tmp_path) not in page


def test_a_taken_name_is_refused_before_anything_is_computed(ntkrun, tmp_path):
    assert ntkrun(*SMOKE, "name=mine")[0] == 0
    before = contents(tmp_path / "results")
    for how in ((), ("stage=report",), ("minutes=9",)):
        code, _, err = ntkrun(*SMOKE, "name=mine", "seed=3", *how)
        assert code == 2 and "name=mine is taken" in err and "with seed as it is shipped;" in err.splitlines()[-1], how
    assert contents(tmp_path / "results") == before
    assert ntkrun(*SMOKE, "name=mine", "stage=report", "style=slides")[0] == 0, "the same run may be drawn again"


def test_what_another_process_is_running_whole_is_told_as_that(ntkrun, tmp_path):
    assert ntkrun(*SMOKE, "stage=run")[0] == 0
    (table,) = (tmp_path / "results").rglob("cells/*.parquet")
    table.unlink()
    lock = Lock(table.with_suffix(".lock"))
    assert lock.acquire()
    with lock:
        code, out, err = ntkrun(*SMOKE)
    assert code == 0 and "type the same command again when that has finished" in out and "error" not in err
    assert "being run elsewhere" in err and not list((tmp_path / "results").rglob("figure.png"))


def test_shipped_results_are_used_and_never_written(ntkrun, shipped, tmp_path):
    before = contents(shipped)
    code, out, _ = ntkrun("experiment=theorem21", "scale=cpu")
    assert code == 0 and "24 stored before, 24 of them shipped" in out and "24 of 24 cells are shipped results" in out
    report = tmp_path / "results" / "cpu" / "theorem21" / "default"
    assert json.loads((report / "provenance.json").read_text())["shipped_cells"] == 24
    judged, shipped_ones = (
        json.loads(one) for one in ((report / "claims.json").read_bytes(), before["cpu/theorem21/claims.json"])
    )
    # a slope is a sum whose order is the processor's: the last digit may be another's
    measured = pytest.approx([claim.pop("measured") for claim in shipped_ones], rel=1e-12)
    assert [claim.pop("measured") for claim in judged] == measured and judged == shipped_ones, "and judged as they were"
    index, page = (tmp_path / "results" / "cpu" / name for name in ("index.html", "theorem21.html"))
    assert "../reference/cpu/fig3/" in index.read_text() and "theorem21/default/figure.png" in page.read_text()
    for stage in ("all", "run", "report", "merge"):
        more = ["from=results/reference"] if stage == "merge" else []
        code, _, err = ntkrun(
            "experiment=theorem21", "scale=cpu", f"stage={stage}", "results_dir=results/reference", *more
        )
        assert code == 2 and "holds the shipped results" in err and len(err.splitlines()) == 1, (stage, err)
    assert contents(shipped) == before


@pytest.mark.parametrize(
    "words",
    [
        "results_dir=results/reference",
        "results_dir=results/reference/cpu stage=report",
        "results_dir='results/reference' minutes=9",
        "results_dir=results/reference minutes=9 stage=run",
        "-m results_dir=results/reference seed=0,1",
        "-m results_dir=results,results/reference",
        "-m results_dir=results/reference stage=check",
        "--multirun hydra.sweep.dir=results/reference/sweeps",
        "-m results_dir=results/reference hydra/launcher=local",
        "stage=bundle into=results/reference/bundle",
    ],
)
def test_no_form_of_a_command_line_writes_among_the_shipped_results(ntkrun, shipped, words):
    before = contents(shipped)
    for named in ("theorem21", "fig1,theorem21"):
        code, out, err = ntkrun(f"experiment={named}", "scale=cpu", *words.split())
        assert code == 2 and "holds the shipped results" in err and len(err.splitlines()) == 1 and not out, (out, err)
    assert contents(shipped) == before


def test_a_file_of_settings_does_not_name_them_either(ntkrun, shipped, tmp_path):
    (tmp_path / "files" / "scale").mkdir(parents=True)
    text = "# @package _global_\nscale: cpu\nresults_dir: results/reference\n"
    (tmp_path / "files" / "scale" / "mine.yaml").write_text(text)
    before = contents(shipped)
    for flags in ([], ["-m"]):
        code, out, err = ntkrun("experiment=theorem21", "scale=mine", "--config-dir", "files", *flags)
        assert code == 2 and "holds the shipped results" in err and len(err.splitlines()) == 1 and not out, (out, err)
    assert contents(shipped) == before


def test_results_elsewhere_know_nothing_of_the_shipped_ones(ntkrun, shipped):
    code, _, err = ntkrun("experiment=theorem21", "scale=cpu", "stage=report", "results_dir=elsewhere")
    assert code == 2 and "nothing is stored" in err


def test_a_fresh_clone_says_what_is_not_shipped_and_goes_on(ntkrun, shipped):
    for stage in ("verify", "check", "report"):
        code, out, err = ntkrun("experiment=theorem21,fig3", "scale=cpu", f"stage={stage}")
        failing = stage == "check" and "failed 1" in out
        assert code == (1 if failing else 0), (stage, err)
        assert "holds the report alone, not the cells" in err and "nothing is stored" in out.splitlines()[-2], stage
        code, _, err = ntkrun("experiment=fig3", "scale=cpu", f"stage={stage}")
        assert code == 2 and err.count("\n") == 1 and "holds the report alone" in err
