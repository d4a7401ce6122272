"""What a command line asks of one experiment, found out once and handed to whatever stage carries it out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntkrun.settings.changes import Changes
from ntkrun.settings.variant import Variant

if TYPE_CHECKING:
    from ntkrun.experiments.base import Experiment
    from ntkrun.runner.plan import Cell
    from ntkrun.runner.store import Store
    from ntkrun.settings.base import CommonSettings


@dataclass(frozen=True)
class Asked:
    """One experiment with the settings of one command line.

    experiment  whose picture and claims are asked for
    source      the experiment that computes its cells: itself, or the one whose cells it shows again
    settings    as they were composed; `cells` has one of each combination that they sweep
    changed     those that are other than the shipped ones of their scale
    variant     which run of the experiment they make
    command     what to type to go on after an interruption
    """

    experiment: "Experiment"
    source: "Experiment"
    settings: dict[str, Any]
    cells: "list[Cell]"
    store: "Store"
    changed: Changes
    variant: Variant
    command: str

    @property
    def first(self) -> "CommonSettings":
        """The settings of the first cell, for what all cells share: stage, scale, folders."""
        return self.cells[0].settings
