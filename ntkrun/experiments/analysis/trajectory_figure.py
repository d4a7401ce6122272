"""A figure of single runs: its panels where the settings are one combination, else all combinations in each panel.

Of several combinations losses, accuracies and distances share panels, a colour each; single outputs and weights, of which
every combination has many, have a row of panels for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol, runtime_checkable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.trajectories import (
    DOTS,
    WEIGHTS,
    Average,
    Compared,
    Distance,
    Followed,
    distance_axis,
    draw_spread,
    outputs,
    time_axis,
)
from ntkrun.experiments.blocks import TITLE, named, tell_left_out
from ntkrun.experiments.combinations import Combination, combinations
from ntkrun.experiments.style import (
    LINEAR,
    NETWORK,
    PAPER_MARK,
    colours,
    legend,
    panel_letters,
    paper_curve,
    seeds_entry,
)
from ntkrun.reference import panel_points
from ntkrun.tables import over_seeds


@runtime_checkable
class Panel(Protocol):
    """What a figure of one run has besides single outputs: its lines, and which of them several runs are compared by."""

    def draw(self, ax: Axes, table: pd.DataFrame, paper: str | None) -> None: ...

    def compared(self) -> list[Compared]: ...


LINES = (NETWORK, LINEAR, (0, (1, 1.5)))  # of the curves of one panel, in their order
MARKS = (DOTS[curves.NETWORK], DOTS[curves.LINEAR])  # of the paper's
ROWS = 8  # combinations whose single outputs are drawn
HIGH, WIDE, KEY = 2.9, 3.2, 2.4  # inches: of a panel, and of the key beside the first row
IN_WORDS = (r"$\hat\Theta_t$", "Theta_hat")
KEY_ROWS = 14  # entries of the key below one another


@dataclass(frozen=True)
class RunFigure:
    """The panels of a figure of single runs, and their rows and inches where there is one combination.

    paper  the figure whose digitised curves are drawn too, None where the paper has none
    """

    paper: str | None
    panels: tuple[Followed | Panel, ...]
    rows: int
    inches: tuple[float, float]

    def size(self, table: pd.DataFrame) -> tuple[float, float]:
        count = len(combinations(table))
        if count == 1:
            return self.inches
        rows = min(count, ROWS) if self._followed else 0
        columns = -(-count // KEY_ROWS)
        return WIDE * len(self._compared) + KEY * columns, HIGH + TITLE + rows * (HIGH + TITLE)

    def draw(self, figure: FigureBase, table: pd.DataFrame) -> None:
        found = combinations(table)
        if len(found) > 1:
            self._draw_several(figure, found, table)
            return
        axes = list(figure.subplots(self.rows, len(self.panels) // self.rows).flat)
        for ax, panel in zip(axes, self.panels, strict=True):
            panel.draw(ax, table, self.paper)
        panel_letters(axes)

    def told(self, table: pd.DataFrame) -> str:
        """The panels of several combinations in words; "" of one, whose panels are those of the figure's docstring."""
        found = combinations(table)
        if len(found) == 1:
            return ""
        letters = zip("abcdefghijklmnopqrstuvwxyz", self._compared, strict=False)
        shared = ", ".join(f"({letter}) {panel.title.replace(*IN_WORDS)}" for letter, panel in letters)
        text = f"{shared}: each of all {len(found)} combinations, a colour each, and of several seeds the mean"
        if self._followed:
            rows = "each" if len(found) <= ROWS else f"the first {ROWS}"
            text += f"; below, a row for {rows} of them: {', '.join(panel.title for panel in self._followed)}"
        return f"{text}. All against t."

    @property
    def _followed(self) -> list[Followed]:
        return [panel for panel in self.panels if isinstance(panel, Followed)]

    @property
    def _compared(self) -> list[Compared]:
        return [one for panel in self.panels if not isinstance(panel, Followed) for one in panel.compared()]

    def _draw_several(self, figure: FigureBase, found: Sequence[Combination], table: pd.DataFrame) -> None:
        rows = found[:ROWS] if self._followed else []
        heights = [HIGH, len(rows) * (HIGH + TITLE)]
        parts = list(figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]) if rows else [figure]
        axes = parts[0].subplots(1, len(self._compared), squeeze=False)[0]
        for ax, panel in zip(axes, self._compared, strict=True):
            _compare(ax, found, panel, self.paper)
        panel_letters(axes)
        looks = zip(found, colours(len(found)), strict=True)
        key: dict[str, dict[str, Any]] = {one.label: {"color": colour} for one, colour in looks}
        columns = -(-len(found) // KEY_ROWS)
        legend(parts[0], key | seeds_entry(table), loc="outside right center", ncols=columns)
        if not rows:
            return
        for block, one in zip(named(parts[1], rows, [1.0] * len(rows)), rows, strict=True):
            for ax, panel in zip(block.subplots(1, len(self._followed), squeeze=False)[0], self._followed, strict=True):
                panel.draw(ax, one.table, self.paper)
        if len(rows) < len(found):
            tell_left_out(figure, f"all combinations, and the single outputs of the first {len(rows)} of {len(found)},")


def _compare(ax: Axes, found: Sequence[Combination], panel: Compared, paper: str | None) -> None:
    """One quantity of all combinations: a colour each, and a line style for each of its curves."""
    entries: dict[str, dict[str, Any]] = {}
    for line, mark, (curve, (label, (paper_name, name))) in zip(
        cycle(LINES), cycle(MARKS), panel.curves.items(), strict=False
    ):
        spreads = {one.label: over_seeds(one.table, curve, panel.split) for one in found}
        for (one, spread), colour in zip(spreads.items(), colours(len(found)), strict=True):
            draw_spread(ax, spread, color=colour, linestyle=line, gid=one, label=f"{one}: {label}")
        if all(spread.empty for spread in spreads.values()):
            continue
        entries[label] = {"color": "0.3", "linestyle": line}
        points = panel_points(paper, paper_name).get(name) if paper else None
        if points is not None:
            ours = {label: spread["mean"][spread.index > 0] for label, spread in spreads.items()}
            paper_curve(ax, points, (paper_name, name), ours, **mark, color="0.3")
            entries[f"paper, {label}"] = PAPER_MARK | mark | {"color": "0.3"}
    time_axis(ax, pd.concat([one.table for one in found]))
    if panel.log:
        distance_axis(ax, entries)
    else:
        legend(ax, entries, loc="best")
    ax.set(title=panel.title, ylabel=panel.value)


def six_panels(paper: str | None, rivals: dict[str, tuple[str, str]], stem: str = "sample") -> RunFigure:
    """Train output, test output, weight change / loss, accuracy, RMSE: the layout of Figures S2, S3 and S8."""
    followed = (outputs("train", stem), outputs("test", stem), WEIGHTS)
    averages = (Average(curves.LOSS), Average(curves.ACCURACY), Distance(rivals))
    return RunFigure(paper, (*followed, *averages), rows=2, inches=(10.5, 6.4))
