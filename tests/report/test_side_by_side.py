"""Runs of one experiment held against each other: what is printed, what is written, and what is refused."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from PIL import Image

from ntkrun import tables
from ntkrun.experiments.claims import Verdict
from ntkrun.runner.store import READ_ONLY, parquet_bytes

COMPARE = ["experiment=fig3", "scale=smoke", "stage=compare"]


def curve(values, steps=(0, 1, 2), eta: float = 0.5, width: int = 8, name="loss/network") -> pd.DataFrame:
    times = eta * np.asarray(steps, float)
    return tables.tidy(
        [tables.rows(name, "train", list(steps), list(times), np.asarray(values, float))],
        figure="fig3", cell="seed=0", seed=0, width=width,
    )  # fmt: skip


def put(folder: Path, width: int = 8, table=None, verdicts=(("", "pass", 0.5),), stand_in=(), distance=0.25) -> None:
    """A report; (combination, verdict, measured) of its one claim."""
    folder.mkdir(parents=True)
    widths = sorted(table["width"].unique().tolist()) if table is not None else [width]
    cell = {
        "code": {"ntkrun": "0.1.0", "commit": None, "dirty": None}, "python": "3.11", "packages": {"jax": "0.10"},
        "device": {"kind": "cpu", "used": 1}, "finished": "2026-01-02T03:04:05", "wall_seconds": 1.0, "facts": {},
    }  # fmt: skip
    cells = [cell | {"settings": {"scale": "smoke", "seed": 0, "model": {"width": n}}} for n in widths]
    told = {"title": "Figure", "cells": cells, "missing_cells": [], "stand_in_data": list(stand_in)}
    told |= {"drawn_by": cell["code"]}
    claims = [
        asdict(
            Verdict("fig3.x", "fig3", "eq (5)", "theory", "0", 0.0, 1.0, measured, verdict, "", combination=combination)
        )  # type: ignore[arg-type]
        for combination, verdict, measured in verdicts
    ]
    head = "figure,panel,curve,unit,points,paper_points,median,largest,signed_median,note"
    deviation = f"{head}\nfig3,loss,a,octaves,4,4,{distance},1,0,\n"
    (folder / "provenance.json").write_text(json.dumps(told))
    (folder / "claims.json").write_text(json.dumps(claims))
    (folder / "deviation.csv").write_text(deviation)
    Image.new("L", (4, 4)).save(folder / "figure.png")
    if table is not None:
        (folder / "table.parquet").write_bytes(parquet_bytes(table, {}))


def line(out: str, start: str) -> list[str]:
    (found,) = (one.split() for one in out.splitlines() if one.strip().startswith(start))
    return found


@pytest.fixture
def fig3(tmp_path) -> Path:
    """`default`, `wider` with twice the rate and half the steps, and the shipped report, which has no table."""
    put(tmp_path / "results" / "reference" / "smoke" / "fig3", verdicts=[("", "pass", 0.25)])
    (tmp_path / "results" / "reference" / READ_ONLY).touch()
    put(tmp_path / "results" / "smoke" / "fig3" / "default", table=curve([4.0, 2.0, 1.0]))
    wider = curve([3.5, 0.75], steps=(0, 1), eta=1.0, width=64)
    put(tmp_path / "results" / "smoke" / "fig3" / "wider", 64, wider, [("", "fail", 2.0)], ["digits"], distance=0.5)
    return tmp_path / "results" / "smoke" / "fig3"


def test_settings_claims_distances_and_ends_of_runs_stand_beside_each_other(ntkrun, fig3):
    code, out, err = ntkrun(*COMPARE, "runs=[default,wider]")
    assert code == 0 and err == "warning: wider: Drawn from the stand-in images digits, not from the paper's data.\n"
    assert line(out, "model.width") == ["model.width", "8", "64"] and "  seed" not in out
    assert "0 of 1 claims fare alike" in out and line(out, "fig3.x") == ["fig3.x", "0.5", "pass", "2", "fail"]
    assert line(out, "all") == ["all", "0.25", "octaves", "0.50", "octaves"]
    # times 0 and 1 are in both: |4 - 3.5| = 0.5 and |1 - 0.75| = 0.25; steps are other ones
    assert line(out, "loss/network") == ["loss/network", "train", "1", "0.75", "0.5", "at", "0"]
    rows = pd.read_csv(fig3 / "compare.csv").to_dict("records")
    assert [row["run"] for row in rows] == ["default", "wider"] and f"{Path('results/smoke/fig3/compare.csv')}" in out
    ours, other = rows
    assert (ours["end"], ours["end_at"], other["end"], other["against"]) == (1.0, 1.0, 0.75, "default")
    assert (other["shared"], other["largest"], other["at"]) == (2, 0.5, 0.0)
    assert other["rms"] == pytest.approx(np.sqrt((0.25 + 0.0625) / 2), rel=1e-5)
    assert other["rms_relative"] == pytest.approx(other["rms"] / np.sqrt((16 + 1) / 2), rel=1e-5)


def test_without_names_all_are_compared_and_a_report_without_table_by_its_claims(ntkrun, fig3):
    code, out, _ = ntkrun(*COMPARE)
    assert code == 0 and "fig3, scale=smoke: 3 runs" in out
    assert line(out, "claim") == ["claim", "default", "wider", "shipped"]
    assert line(out, "fig3.x")[-2:] == ["0.25", "pass"] and "no curves of shipped: the report has no table" in out
    assert ntkrun(*COMPARE, "runs=[shipped,wider]")[1].count("wider: largest difference") == 0, "one table alone"


def test_ends_at_other_times_are_told_with_them_and_outputs_are_one_line(ntkrun, fig3):
    outputs = [[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]]
    for name, kept in (("a", 3), ("b", 1)):
        put(fig3 / name, table=curve(outputs[:kept], range(kept), name="output/network"))
    out = ntkrun(*COMPARE, "runs=[a,b]")[1]
    rms = [f"{np.sqrt(50):.4g}", "at", "1", f"{np.sqrt(12.5):.4g}", "at", "0"]
    assert line(out, "output/network") == ["output/network", "(rms", "of", "2)", "train", *rms, "0", "at", "0"]
    assert len(pd.read_csv(fig3 / "compare.csv")) == 4, "every output of every run"


def test_a_run_that_sweeps_is_paired_with_one_that_has_one_of_its_values(ntkrun, fig3):
    swept = pd.concat([curve([1.0, 1.0, 1.0]), curve([5.0, 5.0, 5.0], width=16)])
    put(fig3 / "swept", table=swept, verdicts=[("n = 8", "pass", 0.5), ("n = 16", "pass", 0.5)])
    out = ntkrun(*COMPARE, "runs=[default,swept]")[1]
    assert "1 of 1 claims fare alike, 1 are of one run alone" in out
    assert line(out, "fig3.x [n = 8]")[4:] == ["0.5", "pass", "0.5", "pass"]
    assert line(out, "loss/network [n = 8]")[4:] == ["train", "1", "1", "3", "at", "0"]
    assert line(out, "loss/network [n = 16]")[4:] == ["train", "-", "5", "-"]


def test_what_cannot_be_compared_is_one_line(ntkrun, fig3):
    wrong = {
        ("runs=[default,widr]",): "widr is no run of fig3 at scale=smoke, did you mean wider? there are shipped, default, wider",
        ("runs=[default,default]",): "a run is named twice",
        ("runs=wider",): "name two runs or more",
        ("runs=[default,wider]", "other=x"): "other=x another machine's: leave one out",
        ("runs=[default,wider]", "model.width=3"): "not model.width=3: leave it out, runs are chosen by their names",
    }  # fmt: skip
    for arguments, text in wrong.items():
        code, out, err = ntkrun(*COMPARE, *arguments)
        assert (code, out) == (2, "") and text in err and err.count("\n") == 1, err
    code, out, err = ntkrun("experiment=fig1,fig2", *COMPARE[1:])
    assert code == 2 and "needs two runs of an experiment at scale=smoke in results (none is there)" in err
    code, out, err = ntkrun("experiment=fig1,fig3", *COMPARE[1:])
    assert code == 0 and "fewer than two runs, not compared: fig1" in out and "fig3, scale=smoke: 3 runs" in out
    code, _, err = ntkrun("experiment=fig3", "scale=smoke", "stage=report", "runs=[default,wider]")
    assert code == 2 and "runs=[default,wider] is for stage=compare" in err


def test_tab_completes_the_names_of_runs(ntkrun, fig3, monkeypatch):
    for typed, words in {
        "": ["[shipped", "[default", "[wider"],
        "[default,": ["[default,shipped", "[default,wider"],
        "[default,w": ["[default,wider"],
        "[x": [],
    }.items():
        monkeypatch.setenv("COMP_LINE", f"ntkrun experiment=fig3 stage=compare runs={typed}")
        assert ntkrun("-sc", "query=zsh")[1].split() == [f"runs={word}" for word in words]


def test_a_report_that_cannot_be_read_is_named_and_the_others_are_compared(ntkrun, fig3):
    (fig3 / "wider" / "claims.json").write_text("[{]")
    code, out, err = ntkrun(*COMPARE)
    assert code == 1 and "damaged: results/smoke/fig3/wider: the report cannot be read" in err and "2 runs" in out
    (fig3 / "default" / "table.parquet").write_bytes(b"PAR1")
    code, _, err = ntkrun(*COMPARE)
    assert code == 2 and "table.parquet is not a readable table" in err and "fewer than two of its runs" in err
