"""What an experiment is, and the registry of all of them.

A figure's module defines `EXPERIMENT`: its settings type, its kind of run (one cell -> one tidy table, no files, no drawing),
`draw` (table -> panels, no training) and its claims.  Cells come from the settings: a list where a single value is
expected is swept, and every combination is one cell (`ntkrun.runner.plan`).
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from ntkrun.experiments.blocks import Draw, Size, blocks, one_block
from ntkrun.experiments.claims import Claim
from ntkrun.experiments.combinations import combinations
from ntkrun.experiments.divergence import cut_diverged
from ntkrun.experiments.paper_points import set_apart
from ntkrun.experiments.titles import DATA, Named, Ran, other_images, other_words, with_images
from ntkrun.settings.base import CommonSettings
from ntkrun.settings.runs import RunSettings

if TYPE_CHECKING:
    from ntkrun.experiments.runs.planned_work import PlannedWork
    from ntkrun.lockstep.progress import Progress


@dataclass(frozen=True)
class CellResult:
    """The tidy table of a cell and the facts behind it (eta_critical, images used, ...), which go to the provenance."""

    table: pd.DataFrame
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A kind of run: a module with the two functions of the same names, which is imported with the first call."""

    module: str

    def compute(self, settings: Any, cell: str, progress: "Progress") -> CellResult:
        """Compute one cell."""
        return self._module.compute(settings, cell, progress)

    def planned_work(self, settings: Any, block_bytes: int) -> "PlannedWork":
        """What `compute` will do, from shapes alone; block_bytes: of a block of a kernel."""
        return self._module.planned_work(settings, block_bytes)

    @property
    def _module(self) -> Any:
        return importlib.import_module(self.module)


@dataclass(frozen=True)
class Experiment:
    """One figure (or the free combination `lockstep`).

    `title` is that of the shipped settings, and `title_names` the settings that words of it name: `titled` says what was run.
    `problem` has more of what the paper's curves are of, in the same form: those of other problems are drawn apart.  It names
    the images where the title does not.
    `run` computes cells whose settings are of the type `settings`.  `draw` fills a figure of `size` inches with the panels of
    a table.  `version` is raised when its own numbers change meaning.  `columns`: settings, by their dotted names, that its
    table has as columns even where nothing sweeps them.
    `shown`: columns of settings whose values `draw` shows apart and the claims tell apart.  Whatever else is swept makes
    combinations: each is drawn in a block of its own and judged by itself, unless `overlays`: then `draw` is given the whole
    table and shows them all in each panel, and `overlays` says in words which panels these are, "" for those of the docstring.
    `of_the_paper`: whether the paper has it, so that `experiment=all` runs it and its settings are held against the paper's.
    `cells_of` names the experiment whose cells this figure draws, where it shows again what another one
    computes: at equal settings each is computed once.
    """

    name: str
    title: str
    run: Run
    draw: Draw
    size: Size
    claims: tuple[Claim, ...] = ()
    settings: type[CommonSettings] = RunSettings
    version: int = 1
    columns: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    overlays: Callable[[pd.DataFrame], str] | None = None
    cells_of: str = ""
    of_the_paper: bool = True
    title_names: Mapping[str, Named] = field(default_factory=dict)
    problem: Mapping[str, Named] = field(default_factory=dict)

    def titled(self, ran: Ran, stand_ins: bool = False) -> str:
        """The title of a run with these cells; `stand_ins`: on images that stand in for those that the settings name."""
        words = other_words(self.title_names, ran, stand_ins)
        told = any(named.setting == DATA.setting for named in self.title_names.values())
        return with_images(self.title, words, "" if told else other_images(self.problem, ran, stand_ins))

    def _other_problems(self, ran: Ran) -> Iterator[tuple[str, dict[str, str]]]:
        """What the paper's curves are of and these cells are not: for each part ("": all), the paper's words -> theirs."""
        names = {word: named for word, named in {**self.title_names, **self.problem}.items() if named.kind}
        for part in dict.fromkeys(named.part for named in names.values()):
            about = {
                word: named
                for word, named in names.items()
                if (named.part, named.setting in self.shown) == (part, False)
            }
            if cells := [cell for cell in ran if part in ("", cell[0])]:
                yield part, other_words(about, cells)

    def panels_of(self, table: pd.DataFrame) -> str:
        """The panels that `plot` draws, in words, where they are not those that the docstring tells, in a block or in several."""
        return self.overlays(table) if self.overlays else ""

    def plot(self, table: pd.DataFrame, ran: Mapping[str, tuple[str, Any]] = MappingProxyType({})) -> Figure:
        """The picture of a table, whatever it sweeps; ran: cell -> (part, settings), to tell other problems than the paper's."""
        found = combinations(table, self.shown)
        one = self.overlays is not None or len(found) == 1
        figure = one_block(self.draw, self.size, table) if one else blocks(self.draw, self.size, found)
        pictures = [(figure, table)] if one else zip(figure.subfigs, (part.table for part in found), strict=False)
        for picture, rows in pictures if ran else ():
            for part, others in self._other_problems([ran[cell] for cell in rows["cell"].unique()]):
                set_apart(picture, others, part)
        cut_diverged(figure)
        return figure
