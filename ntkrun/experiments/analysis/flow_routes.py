"""When networks of many widths leave f_lin under cross-entropy: what is measured on the tables of `runs.flow_routes`, and its
panels.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import average, largest, power_law, smallest
from ntkrun.experiments.style import (
    ANOTHER,
    BLACK,
    LINEAR,
    NETWORK,
    PAPER_MARK,
    SERIES,
    legend,
    panel_letters,
    paper_curve,
)
from ntkrun.reference import panel_points

POINTS = 5  # images of which the paper shows a logit
OTHER_IMAGE = "another image: which the paper shows is not known"
STYLES = {curves.NETWORK: NETWORK, curves.LINEAR: LINEAR}
COLUMNS = 4  # of panels


def distance_by_width(table: pd.DataFrame, time: float | None = None) -> pd.Series:
    """rms distance of network and f_lin by width, at the end or at the recorded time nearest to `time`; nan where that is the
    last record: the run has not gone beyond `time`.
    """
    found = {n: tables.series(part, curves.RMS.of(curves.LINEAR)) for n, part in table.groupby("width")}
    return pd.Series({n: _at(curve, time) for n, curve in found.items()}, dtype=float).sort_index()


def _at(curve: pd.Series, time: float | None) -> float:
    if time is None:
        return float(curve.iloc[-1])
    nearest = int(np.argmin(np.abs(np.log(curve.index[1:] / time)))) + 1
    return float(curve.iloc[nearest]) if nearest < len(curve) - 1 else float("nan")


def onset_slope(table: pd.DataFrame) -> float:
    """d log t / d log n of the first recorded time at which network and f_lin are .1 apart."""
    found = {n: tables.series(part, curves.RMS.of(curves.LINEAR)) for n, part in table.groupby("width")}
    onset = {n: float(curve.index[curve > 0.1].min()) for n, curve in found.items()}
    widths, times = np.asarray(list(onset), float), np.asarray(list(onset.values()))
    return power_law(widths, times).slope


def largest_route_distance(table: pd.DataFrame) -> float:
    """The largest rms distance of f_lin by its steps and by the ODE, over all widths and times."""
    return largest(table.loc[table["curve"] == curves.RMS.of(curves.ROUTES), "value"])


def smallest_late_growth(table: pd.DataFrame) -> float:
    """The smallest ratio, over widths, of the distances at the end and at t = 100."""
    return smallest(distance_by_width(table) / distance_by_width(table, 100.0))


def end_slope(table: pd.DataFrame) -> float:
    end = distance_by_width(table)
    return power_law(end.index, end).slope


def octaves_at_end(table: pd.DataFrame) -> float:
    """Mean over widths of |log2(ours / the paper's)| of the distance at the end."""
    return average([abs(octaves) for octaves in _octaves_at_end(table)])


def shift_at_end(table: pd.DataFrame) -> float:
    """The same with its sign: what all widths have in common."""
    return average(_octaves_at_end(table))


def _octaves_at_end(table: pd.DataFrame) -> list[float]:
    found = []
    for width, ours in distance_by_width(table).items():
        ends = {name: float(points["y"].iloc[-1]) for name, points in panel_points("figs4", f"n{width}").items()}
        if not ends:  # a width that the paper does not have
            continue
        theirs = [ends[f"logit{i}_network"] - ends[f"logit{i}_linear"] for i in range(POINTS)]
        found.append(float(np.log2(ours / np.sqrt(np.mean(np.square(theirs))))))
    return found


def widths_of(table: pd.DataFrame, paper: Sequence[int]) -> list[int]:
    """The paper's and ours."""
    return sorted({*paper, *(int(width) for width in table["width"].unique())})


def logits_size(table: pd.DataFrame, paper: Sequence[int]) -> tuple[float, float]:
    """Of `draw_logits`, inches."""
    return 13.0, 3.2 * -(-len(widths_of(table, paper)) // COLUMNS)


def draw_logits(figure: FigureBase, table: pd.DataFrame, name: str, paper: Sequence[int]) -> None:
    """A panel for each width, the paper's and ours; `name`: of the figure of the paper."""
    widths = widths_of(table, paper)
    axes = figure.subplots(-(-len(widths) // COLUMNS), COLUMNS)
    for ax, width in zip(axes.flat, widths, strict=False):
        draw_width(ax, table, name, width)
    panel_letters(axes.flat[: len(widths)])
    for ax in axes.flat[len(widths) :]:
        ax.set_axis_off()
    entries = {"network": dict(color="0.3", linestyle=NETWORK), "linearised": dict(color="0.3", linestyle=LINEAR)}
    entries |= {"linearised, ODE": dict(color=BLACK, linestyle="none", marker=".", markersize=2.5)}
    entries |= {"paper, another image: network": PAPER_MARK | {"color": ANOTHER, "markersize": 2.4}}
    entries |= {"the same: linearised": PAPER_MARK | {"color": ANOTHER, "markersize": 1.2}}
    legend(axes[0, 0], entries, loc="upper left")


def draw_width(ax: Axes, table: pd.DataFrame, name: str, width: int) -> None:
    """The logits of one width, of its first seed, over the paper's."""
    part = table[(table["width"] == width) & (table["time"] > 0)]
    seeds = part["seed"].unique()
    part = part[part["seed"] == part["seed"].min()]
    logits = {
        (rival, index): tables.series(part, curves.LOGIT.of(rival), index=index)
        for index in range(POINTS)
        for rival in (*STYLES, curves.FLOW)
    }
    for label, points in panel_points(name, f"n{width}").items():
        index, rival = int(label[5]), label.split("_")[1]
        look = {"color": ANOTHER, "markersize": 2.4 if rival == curves.NETWORK else 1.2}
        paper_curve(ax, points, (f"n{width}", label), logits[rival, index], OTHER_IMAGE, **look)
    for index in range(POINTS):
        for rival, line in STYLES.items():
            curve = logits[rival, index]
            ax.plot(curve.index, curve, color=SERIES[index], linestyle=line, label=f"{rival}, logit {index}")
        curve = logits[curves.FLOW, index][::3]
        look = {"linestyle": "none", "marker": ".", "markersize": 2.5}
        ax.plot(curve.index, curve, color=BLACK, label=f"linearised, ODE, logit {index}", **look)
    told = f", seed {seeds.min()}" if len(seeds) > 1 else "" if len(seeds) else " (not run)"
    ax.set_xscale("log")
    ax.set(xlabel="time t", ylabel="logit f(x)", title=f"n = {width}{told}")
