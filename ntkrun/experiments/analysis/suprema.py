"""The three suprema of Theorem 2.1: what is measured on the tables of `runs.suprema`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import PowerLaw, power_law
from ntkrun.experiments.curves import Quantity
from ntkrun.experiments.style import BLUE, GREEN, VERMILION, shades

ACTIVATIONS = {"relu": BLUE, "erf": GREEN, "tanh": VERMILION}
BEYOND = 30.0  # times the lowest tenth of a width; its 40 networks scatter by a factor of 3 where none diverges
BESIDE = 0.12
COLUMNS = ("model.activation", "model.parameterization")  # settings that tell the kinds of networks of a table apart


def of_kind(table: pd.DataFrame, activation: str, parameterization: str) -> pd.DataFrame:
    """The rows of networks with this activation, in this parameterization."""
    return table[(table["model.activation"] == activation) & (table["model.parameterization"] == parameterization)]


def suprema(part: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """The largest recorded value of every network of one kind; columns width, seed, value."""
    chosen = part[part["curve"] == quantity.of(curves.NETWORK)]
    largest = (
        chosen["value"].fillna(np.inf).groupby([chosen["width"], chosen["seed"]]).max()
    )  # nan is no value to pass over
    return largest.reset_index()


def law(part: pd.DataFrame, quantity: Quantity) -> PowerLaw:
    """The power of n through all single networks of one kind, which share nothing but the images."""
    points = suprema(part, quantity)
    return power_law(points["width"], points["value"])


def panel(ax: Axes, table: pd.DataFrame, quantity: Quantity, parameterization: str) -> None:
    """The suprema of every network against n, and the power laws of each activation; of none, that none ran.

    The points of a width stand side by side, those of each activation BESIDE octaves from the next, around the width.
    """
    others = [activation for activation in table["model.activation"].unique() if activation not in ACTIVATIONS]
    colours = ACTIVATIONS | dict(zip(others, shades(len(others)), strict=True))
    kinds = {activation: of_kind(table, activation, parameterization) for activation in colours}
    found = {activation: suprema(part, quantity) for activation, part in kinds.items() if len(part)}
    ax.set_xscale("log", base=2)
    if not found:
        ax.set_yticks([])
        ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", color="0.3")
        return
    for place, (activation, points) in enumerate(found.items()):
        fitted, colour = law(kinds[activation], quantity), colours[activation]
        widths = np.unique(points["width"].to_numpy(float))
        beside = points["width"] * 2 ** (BESIDE * (place - (len(found) - 1) / 2))
        ax.plot(beside, points["value"], "o", color=colour, markersize=2.5, alpha=0.4, markeredgewidth=0)
        label = f"{activation}: {fitted.slope:.2f} [{fitted.low:.2f}, {fitted.high:.2f}]"
        ax.plot(widths, fitted.at(widths), color=colour, label=label)
    ax.set_yscale("log")
    mark_beyond(ax, found)
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** 0.45, high)  # room for the legend
    ax.legend(loc="lower left", title="slope in n [95 %]", title_fontsize=6.5)


def mark_beyond(ax: Axes, found: dict[str, pd.DataFrame]) -> None:
    """Networks far above others of their kind and width, whose f_lin diverged, as triangles at the upper edge, counted."""
    points = pd.concat(found, names=["kind"])
    edge = BEYOND * float(points.groupby(["kind", "width"])["value"].quantile(0.1).max())
    beyond = points[points["value"] > edge]
    if beyond.empty:
        return
    ax.set_ylim(0.5 * float(points["value"].min()), 2 * edge)
    ax.plot(beyond["width"], np.full(len(beyond), edge), "^", color="0.3", markersize=4)
    words = f"{len(beyond)} of {len(points)} networks\nhigher, to {beyond['value'].max():.0e}"
    ax.annotate(words, (0.98, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=6.5, color="0.3")
