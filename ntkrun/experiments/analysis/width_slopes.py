"""Distance between network and rivals against the width: what a run draws whose width is swept.

At the end of training and at its peak over the recorded times, test RMSE to each rival: mean and sd over seeds, and the
power law through the means with the 95 % interval of its slope.  Whatever else is swept gives curves of its own.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import power_law
from ntkrun.experiments.style import SERIES, panel_letter
from ntkrun.tables import settings_columns

RIVALS = {
    curves.LINEAR: "linearised",
    curves.LINEAR_ANALYTIC: "analytic kernel, same steps",
    curves.FLOW_EMPIRICAL: "gradient flow, empirical kernel",
    curves.FLOW_ANALYTIC: "gradient flow, analytic kernel",
}
MARKS = "osD^vPX"  # one for each variant


def variants(table: pd.DataFrame) -> pd.Series:
    """What is swept besides width and seed, row by row: "loss=mse", "" where nothing is."""
    found = pd.Series("", table.index, dtype="str")
    for name in settings_columns(table):
        found += found.map({"": ""}).fillna(", ") + f"{name.rpartition('.')[2]}=" + table[name].astype("str")
    return found


def distances(table: pd.DataFrame) -> pd.DataFrame:
    """One row per rival, variant, width and seed: `end` and `peak` of the test RMSE between rival and network."""
    rivals = {curves.RMSE.of(rival): rival for rival in RIVALS}
    chosen = table[table["curve"].isin(rivals) & (table["split"] == "test")]
    chosen = chosen.assign(rival=chosen["curve"].map(rivals), variant=variants(chosen))
    runs = chosen.sort_values("step").groupby(["rival", "variant", "width", "seed"])["value"]
    return runs.agg(end="last", peak="max").reset_index()


def slopes_figure(table: pd.DataFrame) -> Figure:
    """RMSE against n, at the end and at its peak."""
    found = distances(table)
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for letter, ax, what, title in zip("ab", axes, ("end", "peak"), ("at the end", "at its peak"), strict=True):
        _panel(ax, found, what)
        ax.set_title(f"test RMSE to the network {title}")
        panel_letter(ax, letter)
    return figure


def _panel(ax: Axes, found: pd.DataFrame, what: str) -> None:
    variants = sorted(found["variant"].unique())
    for colour, (rival, label) in zip(SERIES, RIVALS.items(), strict=False):
        for mark, name in zip(MARKS * (len(variants) // len(MARKS) + 1), variants, strict=False):
            part = found[(found["rival"] == rival) & (found["variant"] == name)]
            if part.empty:
                continue
            points = part.groupby("width")[what].agg(["mean", "std"]).sort_index()
            law = power_law(points.index, points["mean"])
            text = f"{label}{', ' if name else ''}{name}: slope {law.slope:.2f} [{law.low:.2f}, {law.high:.2f}]"
            ax.errorbar(
                points.index, points["mean"], points["std"], color=colour, marker=mark, linestyle="none", label=text
            )
            ax.plot(points.index, law.at(np.asarray(points.index, np.float64)), color=colour, linewidth=0.9)
    ax.set_yscale("log")
    ax.set_xscale("log", base=2)
    ax.set_xlabel("width n")
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** 0.5, high)  # room for the key below the points
    ax.legend(loc="lower left")
