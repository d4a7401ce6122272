"""Legends that fit their panel: long entries are broken into lines until the legend is as wide as the panel at most."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text


def fit_legends(figure: Figure) -> None:
    """Break the entries of legends within a panel that are wider than it, of a figure that is laid out already.

    A word, and mathematics between dollars, stays whole: what has no other place to break stays as wide as it is.
    """
    for ax in figure.get_axes():
        legend = ax.get_legend()
        if legend is not None and _within(ax, legend):
            _fit(ax, legend)


def _within(ax: Axes, legend: Legend) -> bool:
    return legend.get_bbox_to_anchor().bounds == ax.bbox.bounds


def _fit(ax: Axes, legend: Legend) -> None:
    while legend.get_window_extent().width > ax.bbox.width:
        widest = sorted(legend.get_texts(), key=lambda text: text.get_window_extent().width, reverse=True)
        if not any(_broken(text) for text in widest):
            return


def _broken(text: Text) -> bool:
    """Break the longest line of the text at the space nearest its middle; False where there is none."""
    lines = text.get_text().split("\n")
    longest = max(range(len(lines)), key=lambda i: len(lines[i]))
    line = lines[longest]
    spaces = list(_spaces(line))
    if not spaces:
        return False
    at = min(spaces, key=lambda space: abs(2 * space - len(line)))
    text.set_text("\n".join([*lines[:longest], line[:at], line[at + 1 :], *lines[longest + 1 :]]))
    return True


def _spaces(line: str) -> Iterator[int]:
    """Where a line may be broken: not within mathematics."""
    return (at for at, letter in enumerate(line) if letter == " " and line.count("$", 0, at) % 2 == 0)
