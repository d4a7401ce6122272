import fnmatch
import math
import re
from typing import Any

import pandas as pd
import paper_tables
import pytest

from ntkrun.cli.hydra.compose import compose
from ntkrun.experiments.claims import ALL_SCALES, ANY_SETTING, Claim, changed_for, judge
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.reference import curves_named
from ntkrun.settings.changes import values_of
from ntkrun.tables import empty


def claim(value: float, **changes) -> Claim:
    fields: dict[str, Any] = dict(
        id="x.y",
        sentence="y is x.",
        source="s",
        kind="theory",
        measure=lambda table: value,
        expected="1",
        band=(0.0, 1.0),
        scales=("cpu",),
        why="w",
    )
    return Claim(**(fields | changes))


TABLE = pd.DataFrame({"value": [1.0]})


@pytest.mark.parametrize(("value", "verdict"), [(0.5, "pass"), (1.0, "pass"), (1.01, "fail"), (-0.1, "fail")])
def test_band_is_inclusive(value, verdict):
    assert judge(claim(value), "x", TABLE, scale="cpu", stand_in=False, changed={}).verdict == verdict


def test_what_could_not_be_measured_fails():
    found = judge(claim(math.nan), "x", TABLE, scale="cpu", stand_in=False, changed={})
    assert found.verdict == "fail" and found.measured is None


def test_what_could_not_be_measured_because_cells_are_missing_is_not_judged():
    found = judge(claim(math.nan), "x", TABLE, scale="cpu", stand_in=False, changed={}, incomplete=True)
    assert found.verdict == "not_judged" and found.measured is None
    measured = judge(claim(5.0), "x", TABLE, scale="cpu", stand_in=False, changed={}, incomplete=True)
    assert measured.verdict == "fail", "what can be measured is judged"


def test_other_scale_and_stand_in_are_not_judged_but_measured():
    found = judge(claim(5.0), "x", TABLE, scale="smoke", stand_in=False, changed={})
    assert (found.verdict, found.measured) == ("not_judged", 5.0)
    assert judge(claim(5.0), "x", TABLE, scale="cpu", stand_in=True, changed={}).verdict == "not_judged"
    assert judge(claim(0.5, real_data=False), "x", TABLE, scale="cpu", stand_in=True, changed={}).verdict == "pass"


def test_an_empty_table_is_not_judged():
    assert judge(claim(0.5), "x", empty(), scale="cpu", stand_in=False, changed={}).verdict == "not_judged"


@pytest.mark.parametrize("name", experiment_names())
def test_registered_claims_are_well_formed(name):
    claims = load_experiment(name).claims
    assert claims, "a figure without a claim shows nothing"
    assert len({c.id for c in claims}) == len(claims)
    for c in claims:
        assert c.id.startswith(f"{name}."), c.id
        low, high = c.band
        assert low < high or low == high == 1.0, c.id
        assert math.isfinite(low) and math.isfinite(high), f"{c.id} cannot fail on one side"
        assert set(c.scales) <= set(ALL_SCALES) and c.scales
        assert len(c.why) > 10 and c.source and c.expected
        assert re.fullmatch(r"\S.{15,}\.", c.sentence), f"{c.id} says in no sentence what it claims"


@pytest.mark.parametrize("name", experiment_names())
def test_a_claim_read_off_the_curves_names_them(name):
    for c in load_experiment(name).claims:
        assert c.reference or c.kind != "read_off", f"{c.id} is read off which curves?"
        for pattern in c.reference:
            assert curves_named([pattern]), f"{c.id}: the paper has no curve {pattern}"
            assert pattern.startswith(f"{name}/"), f"{c.id} is about another figure"


def test_a_claim_that_reads_a_curve_that_a_setting_was_fitted_to_is_fitted_whatever_its_verdict():
    how: dict[str, Any] = dict(scale="cpu", stand_in=False, changed={}, fitted={"fig3/loss/train_*"})
    reads = ("fig3/loss/train_network",)
    for value, verdict in ((0.5, "pass"), (5.0, "fail")):
        found = judge(claim(value, reference=reads), FIG3, TABLE, **how)
        assert (found.verdict, found.fitted_to) == (verdict, ["fig3/loss/train_network"])
    for reads in (("fig3/loss/test_network",), ()):
        assert judge(claim(0.5, reference=reads), FIG3, TABLE, **how).fitted_to == [], "it reads no such curve"


def test_scale_gpu_is_judged_as_the_papers_size():
    at_paper = claim(0.5).__class__(**{**vars(claim(0.5)), "scales": ("cpu", "paper")})
    assert judge(at_paper, "x", TABLE, scale="gpu", stand_in=False, changed={}).verdict == "pass"
    assert judge(claim(0.5), "x", TABLE, scale="gpu", stand_in=False, changed={}).verdict == "not_judged", (
        "it is about scale=cpu"
    )


FIG3 = "fig3"  # whose origins the following claims depend on
CLASSES = {"data.classes": (["airplane", "horse"], ["cat", "dog"])}


def told(one: Claim, changed, table=TABLE, figure=FIG3, scale="cpu") -> tuple[str, str]:
    found = judge(one, figure, table, scale=scale, stand_in=False, changed=changed)
    return found.verdict, found.reason


def test_a_claim_is_not_judged_where_a_setting_that_it_speaks_of_is_changed():
    assert told(claim(5.0), CLASSES) == ("not_judged", "data.classes changed")
    assert told(claim(5.0), {}) == ("fail", "")
    assert told(claim(5.0, depends_on=("optimizer",)), CLASSES)[0] == "fail", "it speaks of the optimizer alone"
    rate = {"optimizer.learning_rate": (0.02, 0.1)}
    assert told(claim(5.0, depends_on=("optimizer",)), rate) == ("not_judged", "optimizer.learning_rate changed")
    assert told(claim(0.5, depends_on=ANY_SETTING), CLASSES | rate) == ("pass", "")


def test_without_a_list_a_claim_depends_on_what_is_printed_or_recovered():
    assert told(claim(5.0), {"data.preprocess": ("zca", "sphere")})[0] == "not_judged"  # recovered
    assert told(claim(5.0), {"seed": (0, 1), "matmul": ("as_dtype", "tf32")})[0] == "fail"  # ours
    assert told(claim(5.0), {"data.preprocess": ("sphere", "zca")}, figure="figs2")[0] == "fail", "ours in that figure"


def test_a_claim_about_one_size_depends_on_the_sizes_and_one_about_several_does_not():
    width = {"model.width": (2048, 64)}
    assert told(claim(5.0, scales=("paper",)), width, scale="paper") == ("not_judged", "model.width changed")
    assert told(claim(5.0, scales=("cpu", "paper")), width, scale="paper")[0] == "fail"


def test_the_rows_of_a_sweep_that_have_the_shipped_value_are_judged():
    swept = {"model.activation": ("relu", ["relu", "tanh"])}
    for activation, verdict in (("relu", "fail"), ("tanh", "not_judged")):
        table = pd.DataFrame({"value": [1.0], "model.activation": [activation]})
        assert told(claim(5.0), swept, table)[0] == verdict
    assert told(claim(5.0), {"model.depth": (5, 3)}, pd.DataFrame({"value": [1.0]}))[0] == "not_judged"


def test_a_change_in_one_part_of_a_figure_concerns_the_claims_about_that_part():
    depth = {"parts.relu1.model.depth": (1, 2)}
    about = {part: told(claim(5.0, parts=(part,)), depth, figure="figs6")[0] for part in ("relu1", "tanh3")}
    assert about == {"relu1": "not_judged", "tanh3": "fail"}
    assert told(claim(5.0), depth, figure="figs6")[0] == "not_judged", "it is about every part"


def test_what_cannot_be_measured_with_changed_settings_is_not_judged():
    found = told(claim(math.nan, depends_on=ANY_SETTING), CLASSES)
    assert found == ("not_judged", "it cannot be measured: data.classes changed")


def at_the_end(of: float, until: float, changed, scale="cpu", **about):
    """The verdict on a run of two widths that end at t = `of` and twice that."""
    table = pd.DataFrame({"cell": ["a", "a", "b", "b"], "time": [0.0, of, of, 2 * of], "value": 1.0})
    one = claim(0.5, scales=("cpu", "paper"), until=until, **about)
    return judge(one, FIG3, table, scale=scale, stand_in=False, changed=changed)


@pytest.mark.parametrize(
    "cut", [{"optimizer.steps": (25600, 200)}, {"optimizer.learning_rate": (0.02, 1e-4), "model.depth": (5, 3)}]
)
def test_a_claim_about_the_end_is_not_measured_on_a_run_that_changed_steps_or_rates_cut_short(cut):
    found = at_the_end(2.0, 256.0, cut)
    assert (found.verdict, found.measured) == ("not_judged", None)
    assert found.reason == f"the run ends at t = 2, not at 256: {', '.join(cut)} changed"
    reached = at_the_end(240.0, 256.0, cut)
    assert (reached.measured, reached.reason) == (0.5, f"{', '.join(cut)} changed")
    elsewhere = at_the_end(2.0, 256.0, cut, scale="smoke")
    assert (elsewhere.measured, elsewhere.reason) == (None, "it is about scale=cpu and paper")


def test_a_shipped_scale_that_ends_early_by_design_is_judged_at_its_end():
    assert at_the_end(2.0, 256.0, {}).verdict == "pass"
    assert at_the_end(2.0, 256.0, {"model.width": (2048, 64)}).verdict == "pass", "which does not move the end"


# claims that a run of a fifth of the paper's time has other numbers of, though they are of no end: of all times, or a slope
# over the widths, which is one at every time
OF_NO_END = ("fig3.empirical_beats_analytic", "figs6.relu1_slope_ntk", "figs6.tanh3_slope_ntk", "fig1.slope_ntk")


@pytest.mark.parametrize("figure", ["fig1", "fig3", "fig4", "figs2", "figs3", "figs4", "figs6", "figs8"])
def test_every_claim_that_reads_the_end_says_when_the_papers_is(figure):
    table = paper_tables.paper_table(figure)
    short = table[table["time"] < 0.2 * table["time"].max()]
    for one in load_experiment(figure).claims:
        whole, cut = one.measure(table), one.measure(short)
        other = math.isfinite(cut) and not math.isclose(whole, cut, abs_tol=1e-9)
        if other and one.id not in OF_NO_END:
            assert one.until, f"{one.id} is {whole:.4g} at the paper's end and {cut:.4g} before"
            steps = judge(one, figure, short, scale="paper", stand_in=False, changed={"optimizer.steps": (9, 1)})
            assert (steps.verdict, steps.measured) == ("not_judged", None)


def test_of_the_changed_settings_those_are_named_that_a_claim_without_a_number_speaks_of():
    """The sizes of a run, which do not keep its claims from being judged, may still leave them without a number."""
    unmeasured, seed, width = claim(math.nan), {"seed": (0, 1)}, {"model.width": (2048, 64)}
    assert told(unmeasured, seed | width)[1] == "it cannot be measured: model.width changed"
    assert told(unmeasured, seed)[1] == "it cannot be measured: seed changed", "it speaks of none that is changed"
    of_any = claim(math.nan, depends_on=ANY_SETTING)
    assert told(of_any, seed | width)[1] == "it cannot be measured: seed, model.width changed"
    elsewhere = seed | {"parts.relu1.record.outputs": (11, 1)}
    assert (
        told(claim(math.nan, parts=("tanh3",)), elsewhere, figure="figs6")[1] == "it cannot be measured: seed changed"
    )
    swept = seed | {"model.activation": ("relu", ["relu", "tanh"])}
    shipped_rows = pd.DataFrame({"value": [1.0], "model.activation": ["relu"]})
    assert told(of_any, swept, shipped_rows)[1] == "it cannot be measured: seed changed"


def test_every_verdict_that_is_none_says_why():
    reasons = [
        judge(claim(5.0), FIG3, TABLE, scale="smoke", stand_in=False, changed={}).reason,
        judge(claim(5.0), FIG3, TABLE, scale="cpu", stand_in=True, changed={}).reason,
        judge(claim(5.0), FIG3, empty(), scale="cpu", stand_in=False, changed={}).reason,
        judge(claim(math.nan), FIG3, TABLE, scale="cpu", stand_in=False, changed={}, incomplete=True).reason,
    ]
    assert all(reasons) and len(set(reasons)) == len(reasons)


@pytest.mark.parametrize(
    ("changed", "judged"),
    [
        ({"model.activation": ("tanh", "relu")}, False),
        ({"model.depth": (3, 2)}, False),
        ({"model.width": (512, 64)}, True),
        ({"data.n_train": (128, 64), "optimizer.learning_rate": (1.0, 0.5)}, True),
    ],
)
def test_the_flat_start_of_figure_2_is_about_the_kernel_of_its_networks_alone(changed, judged):
    (flat,) = (one for one in load_experiment("fig2").claims if one.id == "fig2.flat_start")
    assert bool(changed_for(flat, "fig2", changed, TABLE)) != judged


@pytest.mark.parametrize("name", experiment_names())
def test_what_the_claims_of_a_figure_speak_of_is_there(name):
    """Settings and parts that are renamed leave no claim behind that speaks of nothing."""
    raw = compose([f"experiment={name}", "scale=paper"]).settings
    values = values_of(raw)
    settings = {setting for part in values.values() for setting in part}
    for one in load_experiment(name).claims:
        for part in one.parts:
            assert fnmatch.filter(values, part), f"{one.id}: no part {part}"
        for about in one.depends_on or ():
            assert any(setting == about or setting.startswith(f"{about}.") for setting in settings), (
                f"{one.id}: {about}"
            )
