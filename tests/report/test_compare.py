"""The same cells of two machines: differences that are known, and claims on both sides."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun import tables
from ntkrun.experiments.figures import load_experiment
from ntkrun.report.compare import Pair, Side, differences, differences_table, verdicts_of, verdicts_table
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import Store, parquet_bytes, read_table

STEPS, TIMES = [0, 1, 2, 4], [0.0, 0.1, 0.2, 0.4]


def table(loss, outputs=None, seed: int = 0) -> pd.DataFrame:
    frames = [tables.rows("loss/network", "train", STEPS[: len(loss)], TIMES[: len(loss)], np.asarray(loss))]
    if outputs is not None:
        frames.append(tables.rows("output/network", "test", STEPS, TIMES, np.asarray(outputs)))
    return tables.tidy(frames, figure="fig3", cell=f"seed={seed}", seed=seed, width=8)


def row(ours, other, curve: str = "loss/network") -> dict:
    (found,) = differences(ours, other).query(f"curve == '{curve}'").to_dict("records")
    return found


def test_largest_and_rms_are_those_of_the_definition():
    outputs = np.array([[3.0, 4.0], [0.0, 1.0], [2.0, 2.0], [1.0, 1.0]])
    other = outputs.copy()
    other[2, 1] += 0.5
    other[3, 0] -= 0.25
    ours = table([1.0, 0.5, 0.25, 0.125], outputs)
    # in another order of rows, as another program may write them
    found = row(ours, table([1.0, 0.5, 0.25, 0.125], other).sample(frac=1, random_state=0), "output/network")
    size = np.sqrt((9 + 16 + 0 + 1 + 4 + 4 + 1 + 1) / 8)
    rms = np.sqrt((0.25 + 0.0625) / 8)
    assert (found["points"], found["unpaired"], found["at_step"]) == (8, 0, 2)
    measures = [found[key] for key in ("largest", "rms", "rms_of_ours", "largest_relative", "rms_relative")]
    np.testing.assert_allclose(measures, [0.5, rms, size, 0.5 / size, rms / size], rtol=1e-14)
    same = row(ours, table([1.0, 0.5, 0.25, 0.125], other))
    assert same["largest"] == same["rms"] == same["largest_relative"] == 0.0


def test_a_run_that_ended_elsewhere_is_compared_as_far_as_both_go():
    found = row(table([1.0, 0.5, 0.25, 0.125]), table([1.0, 0.5, 0.25]))
    assert (found["points"], found["unpaired"], found["largest"]) == (3, 1, 0.0)
    alone = differences(table([1.0], np.ones((4, 1))), table([1.0]))
    (found,) = alone.query("curve == 'output/network'").to_dict("records")
    assert (found["points"], found["unpaired"], found["at_step"]) == (0, 4, -1) and np.isnan(found["largest"])


def test_what_is_not_finite_on_one_side_alone_is_infinitely_far():
    nan, inf = np.nan, np.inf
    assert row(table([1.0, nan, inf, -inf]), table([1.0, nan, inf, -inf]))["largest"] == 0.0
    for ours, other in ((nan, 1.0), (1.0, nan), (inf, 1.0), (inf, -inf)):
        found = row(table([1.0, ours]), table([1.0, other]))
        assert found["largest"] == np.inf and found["at_step"] == 1
    assert row(table([0.0, 0.0]), table([0.0, 0.1]))["largest_relative"] == np.inf
    assert row(table([0.0, 0.0]), table([0.0, 0.0]))["largest_relative"] == 0.0


def test_rows_that_share_everything_but_the_time_are_paired_in_their_order():
    """As those of Figure S7, whose time axis is the learning rate."""
    frames = [
        tables.rows("accuracy", "test", [5, 5, 5], [0.1, 0.2, 0.3], np.array(values))
        for values in ([1, 2, 3], [1, 2, 4])
    ]
    ours, other = (tables.tidy([frame], figure="figs7", cell="", seed=0, width=8) for frame in frames)
    found = row(ours, other, "accuracy")
    assert (found["points"], found["largest"]) == (3, 1.0)


def facts(cell: str = "seed=0", **more) -> dict:
    device = {"platform": "gpu", "kind": "NVIDIA H100", "used": 1}
    settings = {"matmul": "as_dtype", "model": {"dtype": "float32"}}
    return {"cell": cell, "device": device, "packages": {"jax": "0.11.2"}, "settings": settings} | more


def test_devices_and_precision_of_both_are_named_and_the_worst_cell_of_every_curve():
    near, far = (table([1.0, 0.5], seed=seed) for seed in (0, 1))
    ours = facts(device={"platform": "cpu", "kind": "cpu", "used": 1}, packages={"jax": "0.10.2"})
    pairs = [
        Pair("fig3", "a.parquet", Side(near, ours), Side(table([1.0, 0.5 + 1e-3]), facts())),
        Pair(
            "fig3", "b.parquet", Side(far, ours | {"cell": "seed=1"}), Side(table([1.0, 0.6], seed=1), facts("seed=1"))
        ),
    ]
    text = differences_table(pairs)
    assert "ours: cpu (cpu), jax 0.10.2, float32, matmul=as_dtype" in text
    assert "other: NVIDIA H100 (gpu), jax 0.11.2, float32, matmul=as_dtype" in text
    (line,) = [line for line in text.splitlines() if "loss/network" in line]
    assert line.split()[1:4] == ["train", "4", "0"] and line.split()[4] == "0.1" and line.endswith("seed=1")


@pytest.fixture(scope="session")
def figure3(root) -> pd.DataFrame:
    """A whole table of Figure 3, that its claims can be judged on: the committed one at the paper's size."""
    (path,) = (root / "results" / "reference" / "paper" / "fig3" / "cells").glob("*.parquet")
    return read_table(path)[0]


def with_end(whole: pd.DataFrame, loss: float) -> pd.DataFrame:
    """The same with another train loss at the end."""
    end = (whole["curve"] == "loss/network") & (whole["split"] == "train") & (whole["step"] == whole["step"].max())
    assert end.sum() == 1
    return whole.assign(value=whole["value"].mask(end, loss))


def test_claims_are_judged_on_both_sides_where_all_cells_are(settings_of, figure3):
    experiment = load_experiment("fig3")
    cells = make_cells(experiment, settings_of("fig3", "cpu", "seed=[0,1]"))

    def pair(cell) -> Pair:
        told = facts(config_hash=cell.config_hash, data_source="tfds")
        ours, other = (with_end(figure3, end).assign(seed=cell.settings.seed) for end in (0.001, 0.5))
        return Pair("fig3", "x.parquet", Side(ours, told), Side(other, told))

    assert verdicts_of(experiment, cells, [pair(cells[0])], "cpu", {}) is None
    found = verdicts_of(experiment, cells, [pair(cell) for cell in cells], "cpu", {})
    assert found is not None
    verdicts = {ours.id: (ours.verdict, other.verdict) for ours, other in found}
    assert verdicts["fig3.train_loss_end"] == ("pass", "fail")
    text = verdicts_table("fig3", found)
    assert text.startswith(f"fig3: {len(found) - 1} of {len(found)} claims fare alike")
    assert any(line.split()[:4] == ["fig3.train_loss_end", "pass", "0.001", "fail"] for line in text.splitlines())


@pytest.fixture
def results(settings_of, tmp_path, figure3) -> Path:
    """Two cells of fig3 in `home`, the same in `away` with one number of 3621 changed in one of them."""
    cells = make_cells(load_experiment("fig3"), settings_of("fig3", "smoke", "seed=[0,1]"))
    for name in ("home", "away"):
        store = Store(tmp_path / name, "smoke", "fig3")
        store.prepare()
        for cell in cells:
            changed = with_end(figure3, 0.002 if name == "away" and cell is cells[1] else 0.001)
            told = facts(cell.name, config_hash=cell.config_hash, data_source="tfds")
            store.write_cell(cell, "9b07b565", changed.assign(seed=cell.settings.seed), told)
    return tmp_path


COMPARE = ["experiment=fig3", "scale=smoke", "stage=compare", "results_dir=home"]


def test_what_is_compared_is_shown_and_written_on_our_side_alone(ntkrun, results):
    before = {path: path.read_bytes() for path in results.rglob("*.parquet")}
    code, out, err = ntkrun(*COMPARE, "other=away")
    assert code == 0 and not err and "fig3: 2 cells on both sides" in out
    assert "fig3: 11 of 11 claims fare alike" in out  # seed=0 alone is its set
    path = results / "home" / "smoke" / "fig3" / "compare.csv"
    (apart,) = pd.read_csv(path).query("largest != 0").to_dict("records")
    assert (apart["cell"], apart["curve"], apart["split"]) == ("seed=1", "loss/network", "train")
    assert apart["largest"] == pytest.approx(0.001) and apart["at_step"] == 25600 and "NVIDIA H100" in apart["other"]
    assert {path: path.read_bytes() for path in results.rglob("*.parquet")} == before
    assert not list((results / "away").rglob("*.csv"))


def test_what_cannot_be_compared_is_said(ntkrun, results):
    for other, text in (("home", "holds results_dir=home itself"), (".", "holds results_dir=home itself")):
        code, _, err = ntkrun(*COMPARE, f"other={other}")
        assert code == 2 and text in err and err.count("\n") == 1
    code, _, err = ntkrun("experiment=fig1", *COMPARE[1:], "other=away")
    assert code == 2 and "holds no cells of fig1 at scale=smoke that home/smoke holds, too" in err
    victim = next((results / "away").rglob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-30])
    code, out, err = ntkrun(*COMPARE, "other=away")
    assert (
        code == 1 and f"damaged: away: {victim.name} is not a readable table" in err and "1 cells on both sides" in out
    )


def test_a_missing_cell_keeps_the_claims_from_being_judged(ntkrun, results):
    for path in (results / "away").rglob("*.parquet"):
        _, told = read_table(path)
        if told["cell"] == "seed=0":
            path.unlink()
    code, out, _ = ntkrun(*COMPARE, "other=away")
    assert code == 0 and "fig3: not all of its cells are on both sides, no claim is judged" in out


def test_a_side_whose_facts_tell_little_is_no_fault(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_bytes(parquet_bytes(table([1.0]), {"cell": "seed=0"}))
    side = Side(*read_table(path))
    assert side.made_by == "None (None), jax None" and json.dumps(side.facts)
    precision = {"steps": "tf32 factors, float32 results", "else": "float32"}
    assert Side(table([1.0]), facts(precision=precision)).made_by == (
        "NVIDIA H100 (gpu), jax 0.11.2, steps in tf32 factors, float32 results, else float32"
    )
