"""The figures, one a file.  This folder is their registry: a file defines `EXPERIMENT`, and `experiment=` has its name."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ntkrun.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from ntkrun.experiments.base import Experiment


def in_the_papers_order(names: Iterable[str]) -> list[str]:
    """1 ... 4, S1 ... S10, then what is no figure of the paper."""

    def place(name: str) -> tuple[str, int]:
        letters = name.rstrip("0123456789")
        return letters, int(name[len(letters) :] or 0)

    return sorted(names, key=place)


def figure_names() -> list[str]:
    """What `experiment=all` runs, in the paper's order: all that the paper has."""
    return in_the_papers_order(name for name in experiment_names() if load_experiment(name).of_the_paper)


def experiment_names() -> list[str]:
    """Names of all experiments that are there, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_experiment(name: str) -> "Experiment":
    """The experiment of that name; UserError listing the names when there is none."""
    if name not in experiment_names():
        known = experiment_names()
        hint = did_you_mean(name, known) or ";"
        raise UserError(f"experiment={name} is not known{hint} choose one of {', '.join(known)}")
    return importlib.import_module(f"{__name__}.{name}").EXPERIMENT


def computing(experiment: "Experiment") -> "Experiment":
    """The experiment that computes the cells of this one: itself, or the one that it draws again."""
    return load_experiment(experiment.cells_of) if experiment.cells_of else experiment
