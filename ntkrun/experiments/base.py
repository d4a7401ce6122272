"""What an experiment is, and the registry of all of them.

A figure's module defines `EXPERIMENT`: its settings type, its kind of run (one cell -> one tidy table, no files, no drawing),
`plot` (table -> figure, no training) and its claims.  Cells come from the settings: a list where a single value is
expected is swept, and every combination is one cell (`ntkrun.runner.plan`).
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from ntkrun.experiments.claims import Claim
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

    `run` computes cells whose settings are of the type `settings`.  `version` is raised when its own numbers change
    meaning.  `columns`: settings, by their dotted names, that its table has as columns even where nothing sweeps them.
    `of_the_paper`: whether the paper has it, so that `experiment=all` runs it and its settings are held against the paper's.
    `cells_of` names the experiment whose cells this figure draws, where it shows again what another one
    computes: at equal settings each is computed once.
    """

    name: str
    title: str
    run: Run
    plot: Callable[[pd.DataFrame], Figure]
    claims: tuple[Claim, ...] = ()
    settings: type[CommonSettings] = RunSettings
    version: int = 1
    columns: tuple[str, ...] = ()
    cells_of: str = ""
    of_the_paper: bool = True
