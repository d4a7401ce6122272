"""Errors of Monte Carlo kernels over widths n and draws M: what is measured, drawn and claimed of the tables of
`kernel_estimates`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import average, power_law
from ntkrun.experiments.claims import ANY_SETTING, Claim
from ntkrun.experiments.style import PAPER_MARK, has_points, paper_curve
from ntkrun.reference import panel_points

COLUMNS = ("model.depth",)  # the setting that tells the networks of a table apart
NAMES = {curves.NNGP: r"\hat{\mathcal{K}}", curves.NTK: r"\hat{\Theta}"}


@dataclass(frozen=True)
class Panel:
    """One kernel of networks with L hidden layers."""

    kernel: str
    depth: int

    def __str__(self) -> str:
        return f"{self.kernel}_l{self.depth}"  # as `ntkrun.reference` names the paper's panels


def grid(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Errors of one kernel and depth: rows n, columns M; the mean over seeds, nan where there is none."""
    return grids(table, panel)["mean"].unstack("M")


def grids(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """By (n, M): the mean over seeds, and the smallest and largest of them, low and high."""
    curve = curves.ERROR.of(panel.kernel)
    chosen = table[(table["curve"] == curve) & (table["model.depth"] == panel.depth)]
    errors = chosen.groupby(["width", "M"])["value"]
    return pd.DataFrame({"mean": errors.mean(), "low": errors.min(), "high": errors.max()})


def slope_in_width(table: pd.DataFrame, panel: Panel) -> float:
    """d log error / d log n, the mean over M."""
    errors = grid(table, panel)
    return average([power_law(errors.index.to_numpy(float), errors[m]).slope for m in errors.columns])


def slope_in_draws(table: pd.DataFrame, panel: Panel) -> float:
    """d log error / d log M, the mean over n."""
    errors = grid(table, panel)
    return average([power_law(errors.columns.to_numpy(float), errors.loc[n]).slope for n in errors.index])


def prefactor(table: pd.DataFrame, panel: Panel) -> float:
    """Geometric mean of error sqrt(n M) over the grid."""
    errors = grid(table, panel)
    units = np.outer(errors.index.to_numpy(float), errors.columns.to_numpy(float))
    return float(np.exp(average(np.log(errors.to_numpy() * np.sqrt(units)))))


def draw_curve(ax: Axes, curve: pd.Series, paper: tuple[str, str, str], colour: str, label: str) -> None:
    """One line of errors over the paper's points (figure, panel, curve)."""
    figure, panel, name = paper
    points = panel_points(figure, panel).get(name)
    if points is not None:
        paper_curve(ax, points, (panel, name), curve, color=colour)
    ax.plot(curve.index, curve.to_numpy(), color=colour, label=label)


def look_entries(figure: FigureBase) -> dict[str, dict[str, Any]]:
    """What the legend says of lines, and of the paper's points where there are some."""
    look = {"color": "0.3"}
    return {"ours": look} | ({"paper": PAPER_MARK | look} if has_points(figure) else {})


def paper_distance(table: pd.DataFrame, panel: Panel, figure: str, paper: str) -> float:
    """Root mean square of log2(ours / paper's) over the (n, M) that both have; the paper's curves are named n<n>."""
    errors, curves = grid(table, panel), panel_points(figure, paper)
    logs = [
        np.log2(errors.loc[n, m] / y)
        for n in errors.index
        for m, y in curves.get(f"n{n}", pd.DataFrame({"x": [], "y": []}))[["x", "y"]].to_numpy()
        if m in errors.columns
    ]
    return float(np.sqrt(np.mean(np.square(logs)))) if logs else float("nan")


def slope_claims(figure: str, name: str, panel: Panel, reach: float, why: str) -> list[Claim]:
    """Both mean slopes are -1/2 to within `reach`; `name` is the panel's in the claims' ids."""
    measures = {"n": slope_in_width, "M": slope_in_draws}
    return [
        Claim(
            id=f"{figure}.{name}_slope_in_{letter}",
            sentence=f"{name}: the error of the average falls like {letter}^-1/2.",
            source=f"{figure}, {name}: mean slope of log error in log {letter}",
            kind="theory",
            measure=lambda table, measure=measure: measure(table, panel),
            expected="-1/2",
            band=(-0.5 - reach, -0.5 + reach),
            why=why,
            real_data=False,
            depends_on=ANY_SETTING,
        )
        for letter, measure in measures.items()
    ]


def factor_claim(figure: str, name: str, panel: Panel, paper: float, ratio: float, why: str) -> Claim:
    """The geometric mean of error sqrt(n M) is the paper's to within a factor `ratio`."""
    return Claim(
        id=f"{figure}.{name}_factor",
        sentence=f"{name}: the error is the paper's at equal n M.",
        source=f"{figure}, {name}: geometric mean of error sqrt(n M)",
        kind="read_off",
        reference=(f"{figure}/{name}/*",),
        measure=lambda table: prefactor(table, panel),
        expected=str(paper),
        band=(paper / ratio, paper * ratio),
        why=why,
        real_data=False,
    )
