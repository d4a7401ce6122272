"""What an experiment is, and the registry of all of them.

A figure's module defines `EXPERIMENT`: its settings type, `run` (one cell -> one tidy table, no files, no drawing),
`plot` (table -> figure, no training) and its claims.  Cells come from the settings: a list where a single value is
expected is swept, and every combination is one cell (`ntkrun.runner.plan`).

What computes brings JAX, which takes seconds to import: a figure names it (`later`) and is drawn and judged without.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from ntkrun.claims import Claim
from ntkrun.errors import UserError
from ntkrun.experiments import experiment_names
from ntkrun.progress import Progress
from ntkrun.settings import CommonSettings, RunSettings

if TYPE_CHECKING:
    from ntkrun.experiments.work import Work


@dataclass(frozen=True)
class CellResult:
    """The tidy table of a cell and the facts behind it (eta_critical, images used, ...), which go to the provenance."""

    table: pd.DataFrame
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One figure (or the free combination `lockstep`).

    `version` is raised when its own numbers change meaning.  `cells_of` names the experiment whose cells this figure
    draws, where it shows again what another one computes: at equal settings each is computed once.
    """

    name: str
    title: str
    run: Callable[[Any, str, Progress], CellResult]  # (settings of the type below, cell name, progress)
    plot: Callable[[pd.DataFrame], Figure]
    claims: tuple[Claim, ...] = ()
    settings: type[CommonSettings] = RunSettings
    # (settings, bytes of a block of a kernel) -> what `run` will do; None: one training run (`work.training_work`)
    work: "Callable[[Any, int], Work] | None" = None
    version: int = 1
    cells_of: str = ""


def later(name: str) -> Callable[..., Any]:
    """The function "module.name" of `ntkrun.experiments`, whose module is imported when it is called first."""
    module, _, function = name.rpartition(".")

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(f"ntkrun.experiments.{module}"), function)(*arguments)

    call.__qualname__ = name
    return call


def load_experiment(name: str) -> Experiment:
    """The experiment of that name; UserError listing the names when there is none."""
    if name not in experiment_names():
        raise UserError(f"experiment={name} is not known; choose one of {', '.join(experiment_names())}")
    return importlib.import_module(f"ntkrun.experiments.{name}").EXPERIMENT


def computing(experiment: Experiment) -> Experiment:
    """The experiment that computes the cells of this one: itself, or the one that it draws again."""
    return load_experiment(experiment.cells_of) if experiment.cells_of else experiment
