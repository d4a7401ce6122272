"""What is judged can fail: every claim has a table on which it does (claim_controls.py, docs/claims.md)."""

import inspect
import math

import control_kinds
import numpy as np
import paper_tables
import pytest
from claim_controls import CONTROLS, FOLDER, Control, points, read

from ntkrun.experiments import curves
from ntkrun.experiments.claims import Claim, Verdict, judge
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.experiments.figures.fig2 import TIMES
from ntkrun.reference import curves_named, panel_points
from ntkrun.tables import conform, settings_columns

CLAIMS = {claim.id: claim for name in experiment_names() for claim in load_experiment(name).claims}


def judged(claim: Claim, table) -> Verdict:
    """As the program judges it where it means something, on the paper's data."""
    figure = claim.id.partition(".")[0]
    return judge(claim, figure, table, scale=claim.scales[-1], stand_in=False, changed={})


def test_no_claim_is_without_a_control():
    assert {control.claim for control in CONTROLS} == CLAIMS.keys()


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_fails_on_its_controls(claim):
    for control in (one for one in CONTROLS if one.claim == claim):
        wrong, right = control.wrong(), control.right()
        could_be_met(control, wrong)
        found = judged(CLAIMS[claim], wrong)
        assert found.verdict == "fail", f"{control.why}: {found.measured} within {found.low} .. {found.high}"
        assert found.measured is not None and math.isfinite(found.measured), control.why
        if right is not None:
            assert judged(CLAIMS[claim], right).verdict == "pass", f"nothing is wrong with it yet: {control}"


def could_be_met(control: Control, table) -> None:
    """The table is one that a run of this figure could have written."""
    conform(table, settings_columns(table))
    assert set(load_experiment(control.figure).columns) <= set(table.columns)
    assert set(table["curve"]) <= curves.ALL
    assert np.isfinite(table["value"]).all()


NO_MEASUREMENTS = (curves.ALPHA, curves.FINITE.of(curves.NETWORK))  # a coordinate, a flag


def with_nan(table):
    """The table with nan for one network, width, time, image, rate or number of draws."""
    for column in ("seed", "width", "time", "index", "eta", "M"):
        if column in table and table[column].nunique() > 1:
            value = np.sort(table[column].unique())[table[column].nunique() // 2]
            there = (table[column] != value) | table["curve"].isin(NO_MEASUREMENTS)
            yield f"{column} = {value}", table.assign(value=table["value"].where(there, np.nan))


@pytest.mark.parametrize("claim", CLAIMS)
def test_nothing_that_a_claim_reads_may_be_missing(claim):
    """A nan is passed over only where the claim does not read it: then the number stays the same to the last digit."""
    control = next(one for one in CONTROLS if one.claim == claim and one.fault)
    table = control.right()
    measured = judged(CLAIMS[claim], table).measured
    for where, lacking in with_nan(table):
        found = judged(CLAIMS[claim], lacking)
        assert found.verdict == "fail" or found.measured == measured, where


OVER_TIME = ("fig1", "fig3", "fig4", "figs3", "figs4", "figs6", "figs8")
OVER_WIDTHS = ("figs4", "figs5", "figs9", "figs10")
EVERY_WIDTH = ("fig1", "figs6")  # their claims need the narrowest width, of which the points have no half
OFF_BY_2 = [(figure, control_kinds.clock, factor) for figure in OVER_TIME for factor in (0.5, 2.0)]
OFF_BY_2 += [(figure, control_kinds.of_another_width, factor) for figure in OVER_WIDTHS for factor in (0.5, 2.0)]
OFF_BY_2 += [(figure, control_kinds.of_another_width, 2.0) for figure in EVERY_WIDTH]


@pytest.mark.parametrize(("figure", "fault", "factor"), OFF_BY_2)
def test_a_clock_or_a_width_off_by_2_is_seen_in_every_figure(figure, fault, factor):
    right = points(figure)
    wrong = fault(factor)(right)
    found = {claim: judged(CLAIMS[claim], wrong) for claim in CLAIMS if claim.startswith(f"{figure}.")}
    seen = [claim for claim, one in found.items() if one.verdict == "fail" and one.measured is not None]
    assert [claim for claim in seen if judged(CLAIMS[claim], right).verdict == "pass"]


# |D| = 128 of Figure S5's last panel is L = 2 of its first, in a run as in the table of the paper's points
OF_TWO_PANELS = {"figs5/fc_depth/l2"}
READ_OFF_THE_POINTS = {control.claim for control in CONTROLS if control.start == "points"}


@pytest.mark.parametrize("claim", [name for name in CLAIMS if CLAIMS[name].reference and name in READ_OFF_THE_POINTS])
def test_a_claim_reads_no_curve_of_the_paper_that_it_does_not_name(claim, monkeypatch):
    named = curves_named(CLAIMS[claim].reference) | OF_TWO_PANELS

    def others_halved(figure, panel):
        found = panel_points(figure, panel)
        return {
            name: points if f"{figure}/{panel}/{name}" in named else points.assign(y=points["y"] / 2)
            for name, points in found.items()
        }

    figure = claim.partition(".")[0]
    measured = CLAIMS[claim].measure(points(figure))
    monkeypatch.setattr(paper_tables, "panel_points", others_halved)
    assert CLAIMS[claim].measure(paper_tables.paper_table(figure)) == measured


@pytest.mark.parametrize("time", TIMES)
def test_a_time_that_is_not_recorded_is_not_replaced_by_another(time):
    claims = [claim for claim in CLAIMS if claim.startswith("fig2.") and claim.endswith(f"_t{time}")]
    table = read("fig2.cpu.parquet")
    others = table[(table["time"] != time) | (table["curve"] == curves.ALPHA)]
    assert claims
    for claim in claims:
        assert judged(CLAIMS[claim], others).measured is None, claim


def test_a_fault_that_controls_use_is_named_in_the_page_on_claims(root):
    page = (root / "docs" / "claims.md").read_text()
    faults = [name for name, found in inspect.getmembers(control_kinds, inspect.isfunction) if not name.startswith("_")]
    assert faults and [name for name in faults if f"`{name}`" not in page] == []
    runs = {path.name.split(".")[1] for path in FOLDER.glob("*.parquet")} - {"cpu", "paper"}
    assert [name for name in sorted(runs) if f"`{name}`" not in page] == []


def test_controls_are_small_and_all_are_used():
    files = sorted(FOLDER.glob("*.parquet"))
    assert sum(path.stat().st_size for path in files) < 1.5e6
    assert {path.name for path in files} == {control.file for control in CONTROLS if control.file}
