"""The panels of Figures 2 and S1: bands of mean +- 2 sd along alpha, over the paper's digitised curves."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkrun.experiments.output_measures import curve, functions, grid
from ntkrun.plotting import BLUE, GREEN, PAPER_MARK, VERMILION, key, paper_curve
from ntkrun.reference import paper_panel

COLOURS = {"nn": BLUE, "ntk": VERMILION, "nngp": GREEN}
LABELS = {"nn": "networks", "ntk": "all layers, (14, 15)", "nngp": "readout only, (S22, S23)"}
EDGES = {"lower": -2, "mean": 0, "upper": 2}  # of a band, in sd
DOT_SPACING = 0.2  # of the paper's curves, which hold 200 points or a few corners


def band_panels(table: pd.DataFrame, paper: str, members: bool = False) -> Figure:
    """One panel a recorded time; `members`: the single functions too."""
    times = sorted(table.loc[table["curve"] == "output/network", "time"].unique())
    figure = Figure(figsize=(3.0 * len(times) + 0.6, 3.6), layout="constrained")
    axes = figure.subplots(1, len(times), sharey=True, squeeze=False)[0]
    for ax, time in zip(axes, times, strict=True):
        _over_paper(ax, paper, float(time), _bands(ax, table, float(time), members))
        ax.set_title(f"t = {time:g}")
        ax.set_xlabel(r"$\alpha$")
        ax.set_ylim(-3.0, 3.0)
    axes[0].set_ylabel("output")
    entries: dict[str, dict[str, Any]] = {LABELS[name]: {"color": colour} for name, colour in COLOURS.items()}
    entries |= {"2 sd": {"color": "0.3", "linestyle": "--"}, "paper": PAPER_MARK | {"color": "0.3"}}
    entries |= {"training points": {"color": "black", "linestyle": "none", "marker": "o", "markersize": 4}}
    key(axes[0], entries, loc="lower center", ncols=2)
    return figure


def _bands(ax: Axes, table: pd.DataFrame, time: float, members: bool) -> dict[str, pd.Series]:
    """Draw them; the curves by the paper's names, "nn_mean" and so on."""
    alphas, f = grid(table), functions(table, time)
    if members:
        ax.plot(alphas, f.T, color="0.55", linewidth=0.3, alpha=0.5, zorder=0.5)
    bands = {"nn": (f.mean(axis=0), f.std(axis=0))}
    for name in ("ntk", "nngp"):
        # where the true variance is 0 rounding may leave -1e-16
        variance = np.maximum(curve(table, f"variance/{name}", time), 0.0)
        bands[name] = (curve(table, f"mean/{name}", time), np.sqrt(variance))
    drawn = {}
    for name, (mean, sd) in bands.items():
        for place, sign in EDGES.items():
            drawn[f"{name}_{place}"] = line = pd.Series(mean + sign * sd, index=alphas)
            look = {"linestyle": "--", "linewidth": 0.9} if sign else {}
            ax.plot(line.index, line, color=COLOURS[name], **look)
    ax.fill_between(alphas, *(bands["nn"][0] + sign * bands["nn"][1] for sign in (-2, 2)), color=BLUE, alpha=0.12)
    ax.plot(
        [1.0, 0.0], curve(table, "target", 0.0), color="black", linestyle="none", marker="o", markersize=4, zorder=5
    )
    return drawn


def _over_paper(ax: Axes, paper: str, time: float, ours: dict[str, pd.Series]) -> None:
    x = np.arange(-2.0, 3.0 + 1e-9, DOT_SPACING)
    for name, points in paper_panel(paper, f"t{time:g}").items():
        if name in ours and len(points) > 1:
            dots = pd.DataFrame({"x": x, "y": np.interp(x, points["x"], points["y"])})
            look = {"color": COLOURS[name.split("_")[0]], "markersize": 2.6}
            paper_curve(ax, dots, (f"t{time:g}", name), ours[name], **look)
