"""One look for all figures: sizes, fonts, and the same colour for the same thing everywhere (colour-blind safe)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from string import ascii_lowercase
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.scale import LogTransform
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, StrMethodFormatter

# Okabe and Ito's palette, safe for the common kinds of colour blindness.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
SPLIT_COLOURS = {"train": BLUE, "test": VERMILION}
KERNEL_COLOURS = {"empirical": PURPLE, "analytic": GREEN}
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
ALARM = "#B00020"  # what must not be overlooked
ANOTHER = "0.45"  # the paper's points of another image, weight or draw than ours: no colour of ours pairs with them
NETWORK, LINEAR = "-", (0, (4, 2))  # line styles: the network is drawn through, its linearization dashed
PAPER_MARK: dict[str, Any] = dict(linestyle="none", marker="o", markersize=3.4, alpha=0.35, markeredgewidth=0, zorder=1)

PAPER_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "lines.linewidth": 1.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    # where no corner is free of curves, they show faintly through
    "legend.frameon": True,
    "legend.framealpha": 0.8,
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "figure.dpi": 72,  # as PDF measures, so that the texts measured for the layout need not be measured again
    "savefig.dpi": 300,
    "axes.titley": 1.0,  # no search for what lies above a panel, which costs a tenth of a picture's time
}
SLIDES_STYLE = PAPER_STYLE | {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.labelsize": 11,
    "legend.fontsize": 9,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "lines.linewidth": 2.0,
}
STYLES = {"paper": PAPER_STYLE, "slides": SLIDES_STYLE}
ENLARGED = {"paper": 1.0, "slides": 1.15}  # less than their text, which is larger by 1.4, but legends want some room


class PaperCurve(Line2D):
    """A digitised curve of the paper as light markers, and `ours`, the curves by x that it is held against.

    ours          by the label of the combination of settings, "" where there is one
    panel, curve  its names in `ntkrun.reference`
    note          what else sets the two apart: another image, another time
    """

    def __init__(
        self, points: pd.DataFrame, panel: str, curve: str, ours: dict[str, pd.Series], note: str, **look: Any
    ) -> None:
        super().__init__(points["x"].to_numpy(), points["y"].to_numpy(), **PAPER_MARK | look)
        self.panel, self.curve, self.note, self.ours = panel, curve, note, ours


def paper_curve(
    ax: Axes,
    points: pd.DataFrame,
    named: tuple[str, str],
    ours: pd.Series | dict[str, pd.Series] | None,
    note: str = "",
    **look: Any,
) -> None:
    """Draw the paper's points (x, y) of the curve `named` (panel, curve); the report measures how far `ours` is off."""
    held = ours if isinstance(ours, dict) else {"": pd.Series(dtype=float) if ours is None else ours}
    ax.add_line(PaperCurve(points, *named, held, note, **look))
    ax.autoscale_view()


def has_points(artist: Axes | FigureBase) -> bool:
    """Whether any of the paper's points are drawn in it."""
    return bool(artist.findobj(PaperCurve))


def near_zero(ax: Axes) -> str:
    """Where the paper's points are too small to be told from 0 in this panel: ", below 0.006"; else nothing."""
    theirs = [np.abs(np.asarray(line.get_ydata())).max() for line in ax.lines if isinstance(line, PaperCurve)]
    low, high = ax.get_ylim()
    size = max(theirs, default=np.inf)
    return f", below {size:.1g}" if size < 0.02 * (high - low) else ""


@contextmanager
def style(name: str) -> Iterator[None]:
    """Draw with the named style; nothing global is left changed."""
    with matplotlib.rc_context(STYLES[name]):
        yield


def ticks_at_powers(figure: Figure) -> None:
    """Logarithmic axes over three decades and more: ticks at powers of the base alone, as 2⁷ or 10⁻³ in plain text.

    Minor ticks, too close to be read off there, and mathtext take a sixth of the time of a picture.  Of decimal axes over less
    than two decades 1, 2 and 5 are told, where matplotlib tells all digits, over each other; binary axes with fewer than
    three powers of two tell 3/2 of them too.
    """
    for axis in (axis for ax in figure.get_axes() for axis in (ax.xaxis, ax.yaxis)):
        low, high = axis.get_view_interval()
        if not isinstance(scale := axis.get_transform(), LogTransform):
            continue
        if high >= 1e3 * low:
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(partial(_power, float(scale.base))))
        elif scale.base == 10 and high < 100 * low:
            axis.set_minor_locator(NullLocator())
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        elif scale.base == 2 and np.floor(np.log2(high)) - np.ceil(np.log2(low)) < 2:
            axis.set_major_locator(LogLocator(base=2.0, subs=(1.0, 1.5)))
            axis.set_major_formatter(StrMethodFormatter("{x:.3g}"))


def _power(base: float, x: float, pos: int | None = None) -> str:
    exponent = round(np.log(x) / np.log(base))
    return f"{base:g}" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def panel_letters(axes: Iterable[Axes]) -> None:
    """(a), (b), ... as far as the alphabet goes."""
    for letter, ax in zip(ascii_lowercase, axes, strict=False):
        panel_letter(ax, letter)


def panel_letter(ax: Axes, letter: str) -> None:
    ax.text(-0.02, 1.04, f"({letter})", transform=ax.transAxes, ha="right", va="bottom", fontweight="bold")


def shades(count: int) -> list[str]:
    """Colours in order, dark to light."""
    return [to_hex(matplotlib.colormaps["viridis"](value)) for value in np.linspace(0.0, 0.88, count)]


def colours(count: int) -> list[str]:
    """Colours that are told apart at a glance; of more than there are, colours in order."""
    return list(SERIES[:count]) if count <= len(SERIES) else shades(count)


def seeds_band(ax: Axes, spread: pd.DataFrame, colour: Any) -> None:
    """Shade from the smallest to the largest of the seeds' values (`tables.over_seeds`)."""
    if (spread["low"] < spread["high"]).any():
        ax.fill_between(spread.index, spread["low"], spread["high"], color=colour, alpha=0.18, linewidth=0)


def seeds_entry(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What the legend says of seeds, where there are several."""
    count = table["seed"].nunique()
    shade: dict[str, Any] = {"color": "0.3", "alpha": 0.3, "linewidth": 5}
    return {f"mean of {count} seeds, min to max": shade} if count > 1 else {}


def room_below(ax: Axes, entries: int) -> None:
    """Lower a logarithmic y axis until a legend of so many rows, lower left, covers no point of a curve."""
    (left, right), (low, high) = np.log(ax.get_xlim()), np.log(ax.get_ylim())
    share = 0.04 + 0.068 * entries * rcParams["font.size"] / PAPER_STYLE["font.size"]
    beside = [
        np.log(y)
        for line in ax.lines
        if line.get_zorder() > 0  # guides are below
        for x, y in zip(np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float), strict=True)
        if y > 0 and x > 0 and (np.log(x) - left) < 0.45 * (right - left)
    ]
    lowest = min(beside, default=high)
    if lowest - low < share * (high - low) and share < 0.8:
        ax.set_ylim(np.exp((lowest - share * high) / (1 - share)), np.exp(high))


def legend(ax: Axes | FigureBase, entries: dict[str, dict], **options) -> None:
    """A legend of named line looks, independent of which lines were drawn first."""
    handles = [Line2D([], [], label=label, **look) for label, look in entries.items()]
    found = ax.legend(handles=handles, **options)
    if isinstance(ax, Axes) and "bbox_to_anchor" not in options:
        found.set_in_layout(False)  # within its panel it needs no room, and to measure it takes time
