"""How far networks of many widths move, held against the width: what is measured on the tables of `runs.width_changes`, and
its panels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import PowerLaw, average, largest, power_law
from ntkrun.experiments.curves import Quantity
from ntkrun.experiments.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PAPER_MARK,
    PURPLE,
    VERMILION,
    legend,
    panel_letters,
    paper_curve,
    room_below,
    shades,
)
from ntkrun.experiments.titles import data_set, hidden_layers
from ntkrun.reference import panel_points

# Fits leave out narrower networks: there the next order of 1/n bends the curve (the paper's own slopes differ by .05).
WIDE = 256
COLUMNS = ("model.activation", "model.depth")  # settings that tell the kinds of networks of a table apart
DATA = "data.name"
OF_ROWS = (*COLUMNS, DATA)  # where the networks of a figure see several sets of images


@dataclass(frozen=True)
class Net:
    """One kind of network: its activation, its hidden layers L and its images ("": any)."""

    activation: str
    depth: int
    data: str = ""

    def __str__(self) -> str:
        return f"{self.activation}{self.depth}"

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of networks of this kind."""
        found = table[(table["model.activation"] == self.activation) & (table["model.depth"] == self.depth)]
        return found[found[DATA] == self.data] if self.data else found


def nets(table: pd.DataFrame) -> list[Net]:
    """The kinds of networks of a table, in its order."""
    kinds = table[list(OF_ROWS)].drop_duplicates()
    return [Net(activation, int(depth), data) for activation, depth, data in kinds.itertuples(index=False)]


def by_width(part: pd.DataFrame, quantity: Quantity, time: float, index: int = -1) -> pd.DataFrame:
    """Mean, sd and count over the networks of each width at one recorded time; rows by width."""
    curve = quantity.of(curves.NETWORK)
    chosen = part[(part["curve"] == curve) & (part["index"] == index) & np.isclose(part["time"], time, rtol=1e-6)]
    return chosen.groupby("width")["value"].agg(["mean", "std", "count"]).sort_index()


def common_end(part: pd.DataFrame) -> float:
    """The latest time that every width has reached: changes at different times cannot be held against the width."""
    part = part[part["curve"] == curves.NTK_CHANGE.of(curves.NETWORK)]
    if part.empty:
        return float("nan")
    return float(max(set.intersection(*(set(times) for _, times in part.groupby("width")["time"])), default=np.nan))


def layers(part: pd.DataFrame) -> list[int]:
    """0 .. L for the layers 1 .. L+1."""
    curve = curves.WEIGHT_CHANGE.of(curves.NETWORK)
    return sorted(int(index) for index in part.loc[part["curve"] == curve, "index"].unique())


def slope(net: Net, quantity: Quantity, index: int = -1) -> Callable[[pd.DataFrame], float]:
    """Measure: d log change / d log n over the widths from WIDE on, at the latest common time."""

    def measure(table: pd.DataFrame) -> float:
        part = net.of(table)
        return fit(by_width(part, quantity, common_end(part), index)).slope

    return measure


def fit(points: pd.DataFrame) -> PowerLaw:
    wide = points[points.index >= WIDE]
    return power_law(wide.index, wide["mean"])


def octaves_by_width(part: pd.DataFrame, figure: str, panel: str, time: float) -> np.ndarray:
    """log2(ours / the paper's) of the kernel's change at one time, over the paper's widths up to our widest (a scale is
    cut from the top); nan where ours has none.
    """
    ours = by_width(part, curves.NTK_CHANGE, time)["mean"]
    paper = {}
    for curve, points in panel_points(figure, panel).items():
        at_time = points.loc[np.isclose(points["x"], time), "y"]
        paper[int(curve.removeprefix("n"))] = float(at_time.iloc[0])
    widest = part["width"].max()
    widths = [width for width in sorted(paper) if width <= widest]
    return np.log2(ours.reindex(widths).to_numpy() / np.array([paper[width] for width in widths]))


def worst_octaves(net: Net, figure: str, panel: str, time: float) -> Callable[[pd.DataFrame], float]:
    """Measure: the largest |octaves_by_width|; nan, a fail, when a width is missing or has not come so far."""

    def measure(table: pd.DataFrame) -> float:
        return largest(np.abs(octaves_by_width(net.of(table), figure, panel, time)))

    return measure


LAYER_COLOURS = (BLUE, GREEN, ORANGE, VERMILION)  # the input layer's first, the output layer's last
# by quantity: the kernel's symbol and colour
KERNELS = {curves.NTK_CHANGE: (r"$\hat\Theta$", PURPLE), curves.NNGP_CHANGE: (r"$\hat K$", BLACK)}
CHANGE = "relative change"  # in the Frobenius norm, since the start
GUIDES: dict[str, tuple[float, Any]] = {r"$1/\sqrt{n}$": (-0.5, (0, (5, 3))), "$1/n$": (-1.0, (0, (1, 2)))}


def rows_size(table: pd.DataFrame) -> tuple[float, float]:
    """Of `draw_rows`, inches."""
    return 13.5, 3.8 * len(nets(table))


def draw_rows(figure: FigureBase, table: pd.DataFrame, name: str, papers: Sequence[Net]) -> None:
    """A row for each kind of network, the paper's first; `name`: of its figure, whose curves go with these rows alone."""
    there = nets(table)
    there = [*(net for net in papers if net in there), *(net for net in there if net not in papers)]
    axes = figure.subplots(len(there), 4, squeeze=False)
    for row, net in zip(axes, there, strict=True):
        draw_row(row, net.of(table), name if net in papers else "", f"{net}_")
        row[0].set_ylabel(f"{hidden_layers(net.activation, net.depth)}, {data_set(net.data)}\n{row[0].get_ylabel()}")
    panel_letters(axes.flat)


def draw_row(axes: Iterable[Axes], part: pd.DataFrame, figure: str, stem: str = "") -> None:
    """The four panels of one kind of network; `stem` leads the names of the panels of the paper's figure ("": none)."""
    end = common_end(part)
    over_time, weights, *kernels = axes
    time_panel(over_time, part, figure, f"{stem}ntk_change_vs_time")
    weights_panel(weights, part, end, panel_points(figure, f"{stem}weight_change_vs_width"), figure, stem)
    for ax, quantity in zip(kernels, KERNELS, strict=True):
        kernel_panel(ax, part, end, quantity, figure, stem)


def octave(time: float) -> str:
    """2^j where the time is a power of two."""
    power = np.log2(time) if time > 0 else np.nan
    return f"2^{{{power:.0f}}}" if np.isclose(power, np.round(power)) else f"{time:.4g}"


def time_panel(ax: Axes, part: pd.DataFrame, figure: str, panel: str) -> None:
    """Change of Theta_hat against t, one line a width."""
    part = part[(part["curve"] == curves.NTK_CHANGE.of(curves.NETWORK)) & (part["time"] > 0)]
    widths = sorted(int(width) for width in part["width"].unique())
    paper = {
        curve: points
        for width in widths
        if (points := panel_points(figure, panel).get(curve := f"n{width}")) is not None
    }
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.92, len(widths)))
    for width, colour in zip(widths, colours, strict=True):
        over = part[part["width"] == width].groupby("time")["value"].agg(["mean", "sem"])
        ax.errorbar(over.index, over["mean"], over["sem"], color=colour, label=f"n = {width}", elinewidth=0.7)
        points = paper.get(f"n{width}")
        if points is not None:
            paper_curve(ax, points, (panel, f"n{width}"), over["mean"], color=colour)
    if paper:
        ax.plot([], [], color="0.3", label="paper", **PAPER_MARK)
    ax.set(xscale="log", yscale="log", xlabel="time t", ylabel=CHANGE, title=r"change of $\hat\Theta$ over time")
    ax.set_xscale("log", base=2)
    # Below the lowest curve, which falls with the width, there is room for the legend.
    low, high = part["value"].min(), part["value"].max()
    ax.set_ylim(low * (low / high) ** 0.55, high * 2)
    ax.legend(loc="lower right", ncols=3, columnspacing=0.8, handlelength=1.2)


def _times(ours: float, theirs: float) -> str:
    return "" if np.isclose(ours, theirs) else f"ours at t = {ours:g}, the paper's at {theirs:g}"


def _widths_axis(ax: Axes, title: str) -> None:
    ax.set_yscale("log")
    ax.set_xscale("log", base=2)
    ax.set(xlabel="width n", ylabel=CHANGE, title=title)


def _against_width(ax: Axes, points: pd.DataFrame, colour: str, label: str) -> None:
    look = {"color": colour, "marker": ".", "elinewidth": 0.9, "capsize": 1.5}
    ax.errorbar(points.index, points["mean"], points["std"], label=label, **look)


def _guides(ax: Axes, widths: Sequence[int], height: float) -> None:
    """Both guides through `height` at the narrowest width; of one width there are none."""
    n = np.asarray(widths, float)
    for label, (power, line) in GUIDES.items() if len(n) > 1 else ():
        ax.plot(n, height * (n / n[0]) ** power, color="0.55", linestyle=line, linewidth=0.9, zorder=0, label=label)


def _legend(ax: Axes, entries: dict[str, dict[str, Any]], paper: str) -> None:
    look, drawn = {"color": "0.55", "linewidth": 0.9}, {line.get_label() for line in ax.lines}
    entries |= {label: look | {"linestyle": line} for label, (_, line) in GUIDES.items() if label in drawn}
    entries |= {paper: PAPER_MARK | {"color": "0.3"}} if paper else {}
    room_below(ax, len(entries))
    legend(ax, entries, loc="lower left")


def _labelled(name: str, points: pd.DataFrame) -> str:
    slope = fit(points).slope
    return name if np.isnan(slope) else f"{name}: slope {slope:.2f}"


def weights_panel(
    ax: Axes, part: pd.DataFrame, end: float, paper: dict[str, pd.DataFrame], figure: str, stem: str
) -> None:
    """Relative change of each layer's weights against n."""
    entries: dict[str, dict[str, Any]] = {}
    indices = layers(part)
    names = {index: f"layer {index + 1}" for index in indices}
    names |= {indices[0]: "input layer", indices[-1]: "output layer"} if indices else {}
    few = (*LAYER_COLOURS[: len(indices) - 1], LAYER_COLOURS[-1])
    for index, colour in zip(indices, few if len(indices) <= len(few) else shades(len(indices)), strict=False):
        points = by_width(part, curves.WEIGHT_CHANGE, end, index)
        _against_width(ax, points, colour, names[index])
        entries[_labelled(names[index], points)] = {"color": colour}
        curve = next((name for name in paper if name.startswith(f"layer{index + 1}")), None)
        if curve is not None:
            named, note = (f"{stem}weight_change_vs_width", curve), _times(end, paper_end(figure, stem))
            paper_curve(ax, paper[curve], named, points["mean"], note, color=colour)
    if indices:
        first = by_width(part, curves.WEIGHT_CHANGE, end, indices[0])
        _guides(ax, list(first.index), 2.5 * float(first["mean"].iloc[0]))
    _widths_axis(ax, rf"change of the weights at $t = {octave(end)}$")
    _legend(ax, entries, f"paper, $t = {octave(paper_end(figure, stem))}$" if paper else "")


def paper_end(figure: str, stem: str) -> float:
    """The paper's last time; nan where it has no such networks."""
    panel = panel_points(figure, f"{stem}ntk_change_vs_time")
    return max((float(points["x"].max()) for points in panel.values()), default=float("nan"))


def paper_kernel_points(figure: str, stem: str, quantity: Quantity, time: float) -> tuple[pd.Series, float]:
    """The paper's change of a kernel by width, and its time: `time` where it shows that, else its end."""
    end = paper_end(figure, stem)
    if quantity == curves.NTK_CHANGE and time < end:
        over_time = panel_points(figure, f"{stem}ntk_change_vs_time")
        found = {
            int(curve.removeprefix("n")): points.loc[np.isclose(points["x"], time), "y"]
            for curve, points in over_time.items()
        }
        values = {width: float(y.iloc[0]) for width, y in found.items() if len(y)}
        if values:
            return pd.Series(values).sort_index(), time
    points = panel_points(figure, f"{stem}{quantity}_vs_width")["network"]
    return points.set_index("x")["y"], end


def kernel_panel(ax: Axes, part: pd.DataFrame, end: float, quantity: Quantity, figure: str, stem: str) -> None:
    """Relative change of a kernel against n."""
    symbol, colour = KERNELS[quantity]
    points = by_width(part, quantity, end)
    _against_width(ax, points, colour, symbol)
    label, panel = "", f"{stem}{quantity}_vs_width"
    if panel_points(figure, panel):
        theirs, their_time = paper_kernel_points(figure, stem, quantity, end)
        dots = pd.DataFrame({"x": theirs.index, "y": theirs.to_numpy()})
        paper_curve(ax, dots, (panel, "network"), points["mean"], _times(end, their_time), color=colour)
        label = f"paper, $t = {octave(their_time)}$"
    if len(points):
        _guides(ax, list(points.index), 1.6 * float(points["mean"].iloc[0]))
    _widths_axis(ax, rf"change of {symbol} at $t = {octave(end)}$")
    _legend(ax, {_labelled(symbol, points): {"color": colour}}, label)


def mean_octaves(net: Net, time: float) -> Callable[[pd.DataFrame], float]:
    """Measure: the mean over widths of log2(ours / the paper's), in which the scatter of single networks averages out."""

    def measure(table: pd.DataFrame) -> float:
        return average(octaves_by_width(net.of(table), "figs6", f"{net}_ntk_change_vs_time", time))

    return measure


def late_rise(part: pd.DataFrame) -> float:
    """Octaves that the change of Theta_hat still gains from t = 2^9 to 2^10; mean over n >= WIDE."""
    earlier, later = (by_width(part, curves.NTK_CHANGE, time)["mean"] for time in (512.0, 1024.0))
    wide = (later / earlier)[earlier.index >= WIDE]
    return average(np.log2(wide))
