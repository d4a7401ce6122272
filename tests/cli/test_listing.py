"""The table of runs."""

import json

from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.runner.store import READ_ONLY


def put(folder, changed: dict | None, missing=(), verdicts=("pass", "fail")) -> None:
    folder.mkdir(parents=True)
    cell = {
        "finished": "2026-01-02T03:04:05.678+00:00",
        "wall_seconds": 90.0,
        "config_hash": "ab",
        "data_fingerprint": 64 * "c",
    }
    told = {"cells": [cell, cell | {"config_hash": "cd"}], "missing_cells": list(missing)}
    told |= {"run": {"changed": changed}} if changed is not None else {}
    (folder / "provenance.json").write_text(json.dumps(told))
    (folder / "claims.json").write_text(json.dumps([{"verdict": verdict} for verdict in verdicts]))


def test_every_run_is_listed_with_what_it_changed_and_the_shipped_ones_are_marked(ntkrun, tmp_path):
    results = tmp_path / "results"
    put(results / "reference" / "cpu" / "fig1", None)
    (results / "reference" / READ_ONLY).touch()
    put(results / "cpu" / "fig1" / "default", {})
    put(results / "cpu" / "fig1" / "narrow", {"model.width": [32, 64], "loss": "mse"}, missing=["seed=2"])
    put(results / "smoke" / "figs10" / "default", {}, verdicts=["not_judged"])
    cells = results / "cpu" / "fig1" / "cells"
    cells.mkdir()
    for name in ("ab-cccccccc", "ef-cccccccc"):
        (cells / f"{name}.parquet").touch()
    code, out, _ = ntkrun("stage=list")
    head, *rows = out.splitlines()
    assert code == 0 and head.split()[:3] == ["experiment", "scale", "run"]
    assert [row.split()[:3] for row in rows[:4]] == [
        ["fig1", "cpu", "(shipped)"], ["fig1", "cpu", "default"], ["fig1", "cpu", "narrow"], ["figs10", "smoke", "default"],
    ]  # fmt: skip
    for text in (
        "2026-01-02 03:04",
        " 3.0 ",
        "2 of 3",
        "judged 2, fitted 0, failed 1, not judged 0",
        "model.width=[32, 64], loss=mse",
    ):
        assert text in rows[2]
    assert rows[2].index("results/cpu/fig1/narrow") == head.index("folder")
    assert rows[4:] == ["fig1, scale=cpu: 1 of 2 cells are in none of its reports"]
    (row,) = ntkrun("stage=list", "experiment=figs10")[1].splitlines()[1:]
    assert row.split()[0] == "figs10" and ntkrun("stage=list", "experiment=all")[1] == out
    assert "no run is stored" in ntkrun("stage=list", "scale=gpu")[1]


def test_a_report_that_cannot_be_read_hides_no_other(ntkrun, tmp_path):
    put(tmp_path / "results" / "cpu" / "fig1" / "default", {})
    for number, text in enumerate(
        ["", "[]", "5", '{"cells": [{}]}', '{"cells": [5], "missing_cells": []}', "[" * 100_000]
    ):
        put(tmp_path / "results" / "cpu" / "fig2" / f"run{number}", {})
        (tmp_path / "results" / "cpu" / "fig2" / f"run{number}" / "provenance.json").write_text(text)
    code, out, _ = ntkrun("stage=list")
    assert code == 0 and out.count("cannot be read") == 6 and out.count("judged 2, fitted 0, failed 1") == 1


def test_what_has_no_meaning_for_a_list_is_refused_in_one_line(ntkrun):
    for argument, words in {
        "model.width=3": "not model.width",
        "--multirun": "not --multirun",
        "experiment=fig99": "experiment=fig99 is not known",
        "scale=large": "scale=large is not known",
        "results_dir=[a,": "results_dir",
    }.items():
        code, out, err = ntkrun("stage=list", argument)
        assert (code, out) == (2, "") and words in err and err.count("\n") == 1, err
