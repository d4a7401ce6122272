"""How far networks of many widths move: the settings of `width_changes`, and what is measured on its tables."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd

from ntkrun.fits import PowerLaw, power_law
from ntkrun.reference import paper_panel
from ntkrun.settings import EnsembleSettings

# Fits leave out narrower networks: there the next order of 1/n bends the curve (the paper's own slopes differ by .05).
WIDE = 256


class WidthChangeSettings(EnsembleSettings):
    """`inputs`: the images as they are, or in a basis of their span (`data.basis`: exact, d -> N input dimensions)."""

    inputs: Literal["full", "span"]


def by_width(table: pd.DataFrame, curve: str, time: float, index: int = -1) -> pd.DataFrame:
    """Mean, sd and count over the networks of each width at one recorded time; rows by width."""
    chosen = table[(table["curve"] == curve) & (table["index"] == index) & np.isclose(table["time"], time, rtol=1e-6)]
    return chosen.groupby("width")["value"].agg(["mean", "std", "count"]).sort_index()


def common_end(table: pd.DataFrame, net: str) -> float:
    """The latest time that every width has reached: changes at different times cannot be held against the width."""
    part = table[table["curve"] == f"ntk_change/{net}"]
    if part.empty:
        return float("nan")
    return float(max(set.intersection(*(set(times) for _, times in part.groupby("width")["time"])), default=np.nan))


def layers(table: pd.DataFrame, net: str) -> list[int]:
    """0 .. L for the layers 1 .. L+1."""
    return sorted(int(index) for index in table.loc[table["curve"] == f"weight_change/{net}", "index"].unique())


def slope(net: str, what: str, index: int = -1) -> Callable[[pd.DataFrame], float]:
    """Measure: d log change / d log n over the widths from WIDE on, at the latest common time."""

    def measure(table: pd.DataFrame) -> float:
        return fit(by_width(table, f"{what}_change/{net}", common_end(table, net), index)).slope

    return measure


def fit(points: pd.DataFrame) -> PowerLaw:
    wide = points[points.index >= WIDE]
    return power_law(wide.index, wide["mean"])


def octaves_by_width(table: pd.DataFrame, net: str, figure: str, panel: str, time: float) -> np.ndarray:
    """log2(ours / the paper's) of the kernel's change at one time, over the paper's widths up to our widest (a scale is
    cut from the top); nan where ours has none.
    """
    ours = by_width(table, f"ntk_change/{net}", time)["mean"]
    paper = {}
    for curve, points in paper_panel(figure, panel).items():
        at_time = points.loc[np.isclose(points["x"], time), "y"]
        paper[int(curve.removeprefix("n"))] = float(at_time.iloc[0])
    widest = table.loc[table["curve"] == f"ntk_change/{net}", "width"].max()
    widths = [width for width in sorted(paper) if width <= widest]
    return np.log2(ours.reindex(widths).to_numpy() / np.array([paper[width] for width in widths]))


def worst_octaves(net: str, figure: str, panel: str, time: float) -> Callable[[pd.DataFrame], float]:
    """Measure: the largest |octaves_by_width|; nan, a fail, when a width is missing or has not come so far."""

    def measure(table: pd.DataFrame) -> float:
        apart = octaves_by_width(table, net, figure, panel, time)
        return float(np.max(np.abs(apart))) if len(apart) else float("nan")

    return measure
