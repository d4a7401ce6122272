"""What a claim cannot measure because a setting was changed is not judged, and the verdict names the setting."""

import math
from collections.abc import Callable

import pandas as pd
import pytest
from claim_controls import CONTROLS

from ntkrun.experiments.claims import judge
from ntkrun.experiments.figures import experiment_names, load_experiment

# setting -> what a table lacks where it is changed
LACKING: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "model.width": lambda table: table[table["width"] == table["width"].min()],
    "optimizer.steps": lambda table: table[table["time"] <= table["time"].max() / 8],
    "record.per_octave": lambda table: table[table["time"].isin([table["time"].min(), table["time"].max()])],
    "record.outputs": lambda table: table[table["index"] <= 0],
    "networks": lambda table: table[table["seed"] == table["seed"].min()],
    "times": lambda table: table[table["time"] != table["time"].median()],
}


OVER_TIME = ("fig1", "fig3", "fig4", "figs2", "figs3", "figs4", "figs6", "figs8")  # record at times by the octave
OUTPUTS = ("fig3", "fig4", "figs2", "figs3", "figs8")  # and follow single outputs


def may_change(figure: str, setting: str) -> bool:
    """Whether a run of the figure has the setting and uses it."""
    return {"record.per_octave": figure in OVER_TIME, "record.outputs": figure in OUTPUTS}.get(setting, True)


def table_of(figure: str) -> pd.DataFrame:
    """A table on which claims of the figure are judged."""
    starts = {one.start: one for one in CONTROLS if one.figure == figure and one.fault}
    table = next(starts[start].right() for start in ("points", "cpu", "paper", *starts) if start in starts)
    assert table is not None
    return table


@pytest.mark.parametrize("figure", [name for name in experiment_names() if name != "lockstep"])
def test_a_claim_that_cannot_be_measured_names_the_changed_setting(figure):
    whole, unmeasured = table_of(figure), 0
    for setting in (one for one in LACKING if may_change(figure, one)):
        table = LACKING[setting](whole)
        for one in load_experiment(figure).claims:
            how: dict = dict(scale=one.scales[-1], stand_in=False)
            found = judge(one, figure, table, **how, changed={setting: (1, 2)})
            if found.measured is None:
                unmeasured += 1
                assert found.verdict == "not_judged" and (setting in found.reason or not len(table)), (one.id, setting)
                if not len(table) or math.isnan(one.measure(table)):  # not only cut short by what was changed
                    assert judge(one, figure, table, **how, changed={}).verdict != "pass", "nothing was measured"
    assert unmeasured, "none of these tables lacks anything"
