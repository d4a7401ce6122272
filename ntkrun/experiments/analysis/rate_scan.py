"""Accuracy against the learning rate in both parameterizations: what is measured on the tables of `runs.rate_scan`, and its
panels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import largest
from ntkrun.experiments.style import (
    PAPER_MARK,
    SERIES,
    PaperCurve,
    legend,
    panel_letters,
    paper_curve,
    seeds_band,
    seeds_entry,
)
from ntkrun.experiments.titles import data_set
from ntkrun.reference import panel_points

COLUMNS = ("data.name", "model.activation", "loss", "model.parameterization")
SHORT = {"mse": "mse", "cross_entropy": "xent"}
# (activation, loss) -> its name in the paper's curves and in the claims
CASES = {(phi, loss): f"{phi}_{short}" for phi in ("relu", "tanh") for loss, short in SHORT.items()}
STYLES = {"ntk": "-", "standard": (0, (4, 2))}
MARKS = {"ntk": "o", "standard": "^"}


def curve(table: pd.DataFrame, data: str, case: tuple[str, str], parameterization: str) -> pd.Series:
    """Accuracy against eta of the networks that did not diverge."""
    return spread(table, data, case, parameterization)["mean"]


def spread(table: pd.DataFrame, data: str, case: tuple[str, str], parameterization: str) -> pd.DataFrame:
    """The same, and the smallest and largest of the seeds' accuracies: columns mean, low, high."""
    wanted = dict(zip(COLUMNS, (data, *case, parameterization), strict=True))
    part = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    found, finite = (
        tables.over_seeds(part, quantity.of(curves.NETWORK), against="eta")
        for quantity in (curves.ACCURACY, curves.FINITE)
    )
    return found[finite["low"] == 1.0]


def data_sets(table: pd.DataFrame, papers: Sequence[str]) -> list[str]:
    """The data sets that were run, the paper's first."""
    there = list(dict.fromkeys(table["data.name"]))
    return [*(data for data in papers if data in there), *(data for data in there if data not in papers)]


def cases_of(table: pd.DataFrame, paper: bool) -> dict[tuple[str, str], str]:
    """Those that were run; with a data set of the paper's, whose points are drawn, behind all of its own."""
    there = table[["model.activation", "loss"]].drop_duplicates().itertuples(index=False)
    return (CASES if paper else {}) | {(phi, loss): f"{phi}_{SHORT[loss]}" for phi, loss in there}


def draw_data(ax: Axes, table: pd.DataFrame, name: str, data: str, cases: Mapping[tuple[str, str], str]) -> None:
    """Accuracies on one data set over the paper's; `name`: of the figure of the paper."""
    paper = panel_points(name, data)
    for (case, named), colour in zip(cases.items(), SERIES, strict=False):
        for parameterization, line in STYLES.items():
            accuracies = spread(table, data, case, parameterization)
            ours, label = accuracies["mean"], f"{named}_{parameterization}"
            if label in paper:
                look = {"color": colour, "marker": MARKS[parameterization], "markersize": 1.6}
                paper_curve(ax, paper[label], (data, label), ours, **look)
            seeds_band(ax, accuracies, colour)
            ax.plot(ours.index, ours, color=colour, linestyle=line, label=label.replace("_", ", "))
    ax.set_xscale("log")
    ax.set_xlabel(r"learning rate $\eta$  ($\eta_{std} n$)")
    ax.set_ylabel("test accuracy")
    ax.set_title(data_set(data))


def scans_size(table: pd.DataFrame) -> tuple[float, float]:
    """Of `draw_scans`, inches."""
    return 1.6 + 4.0 * table["data.name"].nunique(), 3.6


def draw_scans(figure: FigureBase, table: pd.DataFrame, name: str, papers: Sequence[str]) -> None:
    """A panel for each data set; `name`: of the figure of the paper, `papers`: its data sets."""
    found = data_sets(table, papers)
    cases = cases_of(table, paper=found[0] in papers)
    for ax, data in zip(axes := figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        draw_data(ax, table, name, data, cases)
    panel_letters(axes)
    entries: dict[str, dict[str, Any]] = {
        case.replace("_", ", "): {"color": colour} for case, colour in zip(cases.values(), SERIES, strict=False)
    }
    entries |= {"NTK": {"color": "0.3"}, "standard": {"color": "0.3", "linestyle": STYLES["standard"]}}
    drawn = {line.curve.rpartition("_")[2] for line in figure.findobj(PaperCurve) if isinstance(line, PaperCurve)}
    for parameterization, mark in ((name, mark) for name, mark in MARKS.items() if name in drawn):
        look = PAPER_MARK | {"color": "0.3", "marker": mark}
        entries[f"paper, {'NTK' if parameterization == 'ntk' else parameterization}"] = look
    legend(figure, entries | seeds_entry(table), loc="outside right center")


def parameterization_gap(data: str) -> Callable[[pd.DataFrame], float]:
    """Measure: rms over eta and the four cases of accuracy, standard less NTK, where both are finite."""

    def measure(table: pd.DataFrame) -> float:
        pairs = [[curve(table, data, case, p) for p in STYLES] for case in CASES]
        gaps = [(standard - ntk)[standard.index.intersection(ntk.index)] for ntk, standard in pairs]
        return float(np.sqrt(np.mean(np.concatenate(gaps) ** 2))) if all(map(len, gaps)) else float("nan")

    return measure


def best(data: str, case: tuple[str, str]) -> Callable[[pd.DataFrame], float]:
    """Measure: the largest accuracy of any eta, NTK parameterization."""
    return lambda table: largest(curve(table, data, case, "ntk"))
