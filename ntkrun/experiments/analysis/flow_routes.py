"""When networks of many widths leave f_lin under cross-entropy: what is measured on the tables of `runs.flow_routes`."""

import numpy as np
import pandas as pd

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import average, largest, power_law, smallest
from ntkrun.reference import paper_panel

POINTS = 5  # images of which the paper shows a logit


def distance_by_width(table: pd.DataFrame, time: float | None = None) -> pd.Series:
    """rms distance of network and f_lin by width, at the end or at the recorded time nearest to `time`."""
    found = {n: tables.series(part, curves.RMS.of(curves.LINEAR)) for n, part in table.groupby("width")}
    at = {n: -1 if time is None else int(np.argmin(np.abs(np.log(c.index[1:] / time)))) + 1 for n, c in found.items()}
    return pd.Series({n: float(curve.iloc[at[n]]) for n, curve in found.items()}, dtype=float).sort_index()


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
        ends = {name: float(points["y"].iloc[-1]) for name, points in paper_panel("figs4", f"n{width}").items()}
        if not ends:  # a width that the paper does not have
            continue
        theirs = [ends[f"logit{i}_network"] - ends[f"logit{i}_linear"] for i in range(POINTS)]
        found.append(float(np.log2(ours / np.sqrt(np.mean(np.square(theirs))))))
    return found
