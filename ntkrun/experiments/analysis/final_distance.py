"""Final distance of network and linearization against width: what is measured on the tables of `runs.final_distance`, and its
panels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import average, power_law, smallest
from ntkrun.experiments.style import PAPER_MARK, legend, panel_letters, paper_curve, seeds_band, seeds_entry
from ntkrun.experiments.titles import Named, each, symbol
from ntkrun.reference import panel_points

LAYERS, SIZES = "model.depth", "data.n_train"
COLUMNS = ("model.name", LAYERS, SIZES)  # settings that tell the cells of a table apart
PHI = "tanh (ResNets: ReLU)"
_PHI_OF = {"fc": "tanh", "cnn": "tanh", "wide_resnet": "relu"}  # by model.name


def _nonlinearity(settings: Any) -> str:
    model = settings.model
    return PHI if model.activation == _PHI_OF.get(model.name) else symbol(model.activation)


NONLINEARITY = Named(each(_nonlinearity), "model.activation")


@dataclass(frozen=True)
class Panel:
    """One panel of the paper: networks of one kind, a curve for each value of `by`, the other setting held."""

    name: str
    title: str
    net: str  # model.name
    by: str  # one of COLUMNS
    held: tuple[str, int]  # another, and its value
    symbol: str

    def curves(self, table: pd.DataFrame) -> dict[int, pd.Series]:
        """Final test RMSE against width (geometric mean over seeds), by depth or size."""
        return {value: spread["mean"] for value, spread in self.spreads(table).items()}

    def spreads(self, table: pd.DataFrame) -> dict[int, pd.DataFrame]:
        """The same, and the smallest and largest of the seeds' values: columns mean, low, high."""
        wanted = (table["curve"] == curves.RMSE.of(curves.LINEAR)) & (table["split"] == "test")
        held, value = self.held
        part = table[wanted & (table["model.name"] == self.net) & (table[held] == value)]
        cells = part[part["step"] == part.groupby("cell")["step"].transform("max")]
        found: dict[int, pd.DataFrame] = {}
        for value in sorted(cells[self.by].unique()):
            by_width = cells[cells[self.by] == value].groupby("width")["value"]
            means = by_width.apply(lambda rmse: float(np.exp(np.log(rmse).mean())))
            found[int(value)] = by_width.agg(low="min", high="max").assign(mean=means)
        return found

    def paper(self) -> dict[int, pd.Series]:
        """The paper's points, by the same."""
        return {int(c[1:]): p.set_index("x")["y"].rename(c) for c, p in panel_points("figs5", self.name).items()}


def shown_in(panels: Sequence[Panel], table: pd.DataFrame) -> list[Panel]:
    """These panels, and by depth those networks that are in none of them."""
    drawn = pd.Series(False, table.index)
    for panel in panels:
        held, value = panel.held
        drawn |= (table["model.name"] == panel.net) & (table[held] == value)
    others = table.loc[~drawn, ["model.name", SIZES]].drop_duplicates().sort_values(["model.name", SIZES])
    return [*panels, *(Panel("", f"{net}, |D| = {n}", net, LAYERS, (SIZES, n), "L") for net, n in others.to_numpy())]


def panels_size(panels: Sequence[Panel], table: pd.DataFrame) -> tuple[float, float]:
    """Of `draw_panels`, inches."""
    return 12.5, 5.4 * -(-len(shown_in(panels, table)) // len(panels))


def draw_panels(figure: FigureBase, panels: Sequence[Panel], table: pd.DataFrame) -> None:
    """These panels in a row, and below them those of other networks."""
    shown = shown_in(panels, table)
    axes = figure.subplots(-(-len(shown) // len(panels)), len(panels), squeeze=False)
    for ax, panel in zip(axes.flat, shown, strict=False):
        draw_panel(ax, panel, table)
    panel_letters(axes.flat[: len(shown)])
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()


def draw_panel(ax: Axes, panel: Panel, table: pd.DataFrame) -> None:
    """Ours over the paper's points; the legend says where ours ends before the paper's."""
    spreads, paper = panel.spreads(table), panel.paper()
    ours = {value: spread["mean"] for value, spread in spreads.items()}
    entries: dict[str, dict[str, Any]] = {}
    values = sorted(paper.keys() | ours.keys())
    for value, colour in zip(values, matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(values))), strict=True):
        points, label = paper.get(value), f"{panel.symbol} = {value}"
        if points is not None:
            paper_curve(ax, points.rename("y").reset_index(), (panel.name, str(points.name)), ours.get(value), c=colour)
        if value in ours:
            seeds_band(ax, spreads[value], colour)
            ax.plot(ours[value].index, ours[value], color=colour, marker=".", markersize=3, label=label)
            cut = points is not None and ours[value].index.max() < points.index.max()
            entries[f"{label} (to n = {ours[value].index.max()})" if cut else label] = {"color": colour}
        else:
            entries[f"{label} (not run)"] = PAPER_MARK | {"color": colour}
    entries |= seeds_entry(table) | ({"paper": PAPER_MARK | {"color": "0.3"}} if paper else {})
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xlabel("width n" if panel.net == "fc" else "channels n")
    ax.set_ylabel("final test RMSE, network to linearised")
    ax.set_title(panel.title if ours else f"{panel.title}\n(not run: the paper's points only)")
    legend(ax, entries, loc="upper left", bbox_to_anchor=(0.0, -0.14))


def slopes(table: pd.DataFrame, panel: Panel) -> list[float]:
    """d log RMSE / d log n of every depth at which three widths ran."""
    return [power_law(curve.index, curve).slope for curve in panel.curves(table).values() if len(curve) > 2]


def slope_in(table: pd.DataFrame, panel: Panel) -> float:
    """The smallest d log RMSE / d log `panel.by` of any width at which three of its values ran."""
    found = panel.curves(table)
    by_width = [
        {v: curve[n] for v, curve in found.items() if n in curve} for n in {n for c in found.values() for n in c.index}
    ]
    powers = [power_law(ran, ran.values()).slope for ran in by_width if len(ran) > 2]
    return smallest(powers)


def octaves(table: pd.DataFrame, panel: Panel, within: Callable[[int], bool]) -> float:
    """The mean of |log2(ours / the paper's)| over the points that both have, for the curves `within`; nan where none is."""
    ours, paper = panel.curves(table), panel.paper()
    pairs = [(ours[v], paper[v]) for v in ours.keys() & paper.keys() if within(v)]
    apart = [(a / b)[a.index.intersection(b.index)].to_numpy() for a, b in pairs]
    return average(np.abs(np.log2(np.concatenate([[], *apart]))))
