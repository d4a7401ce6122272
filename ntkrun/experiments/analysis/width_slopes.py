"""Distance between network and rivals against the width: what a run draws whose width is swept.

At the end of training and at its peak over the recorded times, test RMSE to each rival: mean and sd over seeds, and the
power law through the means with the 95 % interval of its slope.  Each combination of what else is swept has a colour of its own.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import power_law
from ntkrun.experiments.combinations import combinations
from ntkrun.experiments.style import SERIES, colours, legend, panel_letter

RIVALS = {
    curves.LINEAR: "linearised",
    curves.LINEAR_ANALYTIC: "analytic kernel, same steps",
    curves.FLOW_EMPIRICAL: "gradient flow, empirical kernel",
    curves.FLOW_ANALYTIC: "gradient flow, analytic kernel",
}
# of the rivals: points of one height lie in each other, and are told apart in grey too; their power laws
MARKS: tuple[dict[str, Any], ...] = (
    {"marker": "o", "markersize": 3.5},
    {"marker": "s", "markersize": 3.5},
    {"marker": "o", "markersize": 7, "markerfacecolor": "none"},
    {"marker": "s", "markersize": 7, "markerfacecolor": "none"},
)
LINES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))


def distances(table: pd.DataFrame) -> pd.DataFrame:
    """One row per rival, combination of what else is swept, width and seed: `end` and `peak` of the test RMSE between rival
    and network.
    """
    rivals = {curves.RMSE.of(rival): rival for rival in RIVALS}
    chosen = table[table["curve"].isin(rivals) & (table["split"] == "test")]
    chosen = pd.concat([one.table.assign(combination=one.label) for one in combinations(chosen, ("width",))])
    chosen = chosen.assign(rival=chosen["curve"].map(rivals)).sort_values("step")
    runs = chosen.groupby(["rival", "combination", "width", "seed"], sort=False)["value"]
    return runs.agg(end="last", peak="max").reset_index()


def slopes_size(table: pd.DataFrame) -> tuple[float, float]:
    """Of `draw_slopes`, inches: the key of several combinations is below the panels."""
    several = len(combinations(table, ("width",)))
    return 10.5, 4.4 + (0.15 * several * len(RIVALS) if several > 1 else 0.0)


def draw_slopes(figure: FigureBase, table: pd.DataFrame) -> None:
    """RMSE against n, at the end and at its peak."""
    found, count = distances(table), table["seed"].nunique()
    axes = figure.subplots(1, 2)
    for letter, ax, what, title in zip("ab", axes, ("end", "peak"), ("at the end", "at its peak"), strict=True):
        _panel(ax, found, what)
        ax.set(title=f"test RMSE to the network {title}", ylabel="test RMSE")
        ax.set_xlabel(f"width n (mean and sd of {count} seeds)" if count > 1 else "width n")
        panel_letter(ax, letter)


def _panel(ax: Axes, found: pd.DataFrame, what: str) -> None:
    labels = list(found["combination"].unique())
    several = len(labels) > 1
    by_combination = dict(zip(labels, colours(len(labels)), strict=True))
    entries: dict[str, dict[str, Any]] = {}
    for place, (rival, label) in enumerate(RIVALS.items()):
        for name in labels:
            part = found[(found["rival"] == rival) & (found["combination"] == name)]
            if part.empty:
                continue
            points = part.groupby("width")[what].agg(["mean", "std"]).sort_index()
            law, colour = power_law(points.index, points["mean"]), by_combination[name] if several else SERIES[place]
            interval = (
                f" [{law.low:.2f}, {law.high:.2f}]" if np.isfinite(law.high) else ""
            )  # of two widths there is none
            text = f"{label}{', ' if name else ''}{name}: slope {law.slope:.2f}{interval}"
            look: dict[str, Any] = {"color": colour, "linestyle": LINES[place], "linewidth": 0.9}
            bars: dict[str, Any] = MARKS[place] | look | {"linestyle": "", "label": text}
            ax.errorbar(points.index, points["mean"], points["std"], **bars)
            ax.plot(points.index, law.at(np.asarray(points.index, np.float64)), gid=f"{text} (line)", **look)
            entries[text] = MARKS[place] | look
    ax.set_yscale("log")
    ax.set_xscale("log", base=2)
    if several:
        legend(ax, entries, loc="upper center", bbox_to_anchor=(0.5, -0.14), handlelength=3)
        return
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** 0.5, high)  # room for the key below the points
    legend(ax, entries, loc="lower left", handlelength=3)
