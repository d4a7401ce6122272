"""One picture of several combinations of settings: a block of panels for each, under its name.

n = 32   +-----++-----++-----+
         +-----++-----++-----+
n = 128  +-----++-----++-----+
         +-----++-----++-----+
"""

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib import rcParams
from matplotlib.figure import Figure, FigureBase

from ntkrun.experiments.combinations import Combination
from ntkrun.experiments.style import ALARM

Draw = Callable[[FigureBase, pd.DataFrame], None]
Size = tuple[float, float] | Callable[[pd.DataFrame], tuple[float, float]]  # inches, of a table where it depends on one
MOST = 12  # blocks of one picture: it becomes a metre high, and its pixels fill 300 MB
TITLE = 0.3  # inches, of the name of a block


def size_of(size: Size, table: pd.DataFrame) -> tuple[float, float]:
    return size(table) if callable(size) else size


def one_block(draw: Draw, size: Size, table: pd.DataFrame) -> Figure:
    """The panels of one table."""
    figure = Figure(figsize=size_of(size, table), layout="constrained")
    draw(figure, table)
    return figure


def blocks(draw: Draw, size: Size, found: Sequence[Combination]) -> Figure:
    """The panels of every combination below one another; of very many the first ones, which the picture then says."""
    drawn = found[:MOST]
    sizes = [size_of(size, combination.table) for combination in drawn]
    heights = [height + TITLE for _, height in sizes]
    figure = Figure(figsize=(max(width for width, _ in sizes), sum(heights)), layout="constrained")
    for block, combination in zip(named(figure, drawn, heights), drawn, strict=True):
        draw(block, combination.table)
    if len(found) > len(drawn):
        tell_left_out(figure, f"the first {len(drawn)} of {len(found)} combinations")
    return figure


def named(figure: FigureBase, found: Sequence[Combination], heights: Sequence[float]) -> list[FigureBase]:
    """A part of the figure for each combination, below one another, under its name."""
    parts = list(figure.subfigures(len(found), 1, squeeze=False, height_ratios=heights)[:, 0])
    for part, combination in zip(parts, found, strict=True):
        part.suptitle(combination.label, fontsize=rcParams["axes.titlesize"], fontweight="bold")
        part.set_label(combination.label)  # what the report calls it where it measures the distance from the paper
    return parts


def tell_left_out(figure: FigureBase, drawn: str) -> None:
    """Say on the figure that it shows less than what ran."""
    text = f"{drawn} are drawn: table.parquet has all of them, claims.json judges all"
    figure.suptitle(text, color=ALARM, fontsize=rcParams["axes.titlesize"])
