"""Every setting of an experiment, changed alone at tiny sizes: does the table change, is it refused, is it ignored?

Which settings there are, and which other values they could have, is read off the settings' types.
"""

import atexit
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd
from test_identity import BASES, SCHEDULES, leaves
from told import Told, check_told

from ntkrun.cli.hydra.compose import compose
from ntkrun.errors import UserError
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.figures import load_experiment
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells
from ntkrun.settings.parts import replaced
from ntkrun.settings.schema import Described, alternatives
from ntkrun.settings.validation import validated

# Settings that may leave every number as it is: they are no part of what is computed.
NO_NUMBER = {
    "experiment": "names the settings",
    "theory.tile_mb": "memory in which analytic kernels are computed",
    "record.chunk": "images evaluated at a time; a result depends on it under batch normalisation alone",
}

# Smaller than scale=smoke, where a run has the setting and uses it.
TINY: dict[str, Any] = {
    "data.source": "stand_in", "optimizer.batch_size": 3, "data.n_train": 6, "data.n_test": 4, "model.width": 4,
    "optimizer.steps": 8, "networks": 2, "rates": 2, "inputs": 3, "input_dim": 5, "draws": 2, "alphas": 6,
    "times": (0, 8), "descent.max_steps": 8, "record.train_examples": 5, "record.first_time": 0.1,
}  # fmt: skip
# An accuracy is a count: many images and rates tell two apart, most of all rates that nearly destroy a network, at which
# 24 steps make as much of the rounding to 10 bits as takes eight images of a thousand to other classes.
RATES: dict[str, Any] = {
    "data.n_test": 1000, "data.n_train": 12, "model.width": 8, "optimizer.steps": 24,
    "rates": 24, "lowest_rate": 0.3, "highest_rate": 3.0,
}  # fmt: skip

FOLDER = TemporaryDirectory()
atexit.register(FOLDER.cleanup)


def small_images() -> str:
    """A file of images of 8x8 pixels: kernels of convolutions of 32x32 take 20 seconds, of these a quarter of one."""
    path, rng = Path(FOLDER.name, "small.npz"), np.random.default_rng(0)
    if not path.exists():
        x_train, x_test = (rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8) for n in (24, 12))
        np.savez(path, x_train=x_train, y_train=np.arange(24) % 3, x_test=x_test, y_test=np.arange(12) % 3)
    return str(path)


# The runs of which settings are changed, the quickest to compile first, so that a setting is tried where it costs least.
TYPED = {name: typed for name, typed in BASES.items() if name != "model=own"}
# reached at step 5: between two looks once an octave, at one of those twice an octave
TYPED["until converged"] = ("fig2", "converged=1.1", "optimizer.steps=8")
TYPED["by the solver"] = ("lockstep", "loss=cross_entropy", "theory.flow.by_solver=true")
TYPED["optimizer=adam"] = ("lockstep", "optimizer=adam", "record.first_time=.001")  # its time is eta i, .008 at the end
TYPED["batches"] = ("lockstep", "optimizer.batch_size=3")
TYPED |= {
    name: (*BASES[name], "data=own", f"data.path={small_images()}") for name in ("model=cnn", "model=wide_resnet")
}
# what only some networks, optimizers and schedules have, where that compiles in a second
TYPED |= {f"fig1, {name}": ("fig1", f"optimizer.schedule.name={name}", *rest) for name, rest in SCHEDULES.items()}
TYPED["fig1, adam"] = ("fig1", "optimizer=adam")
TYPED["figs5, cnn"] = ("figs5", "parts.L1=null", "parts.D32=null")
TYPED["figs7, wide_resnet"] = ("figs7", "model=wide_resnet", "model.depth=10")
# convolutions of 32x32: fewer images and rates than other runs of rates have
TYPED["figs7, wide_resnet"] += ("data.n_test=100", "rates=6", "model.width=4", "optimizer.steps=8")
ON_FIG1 = tuple(name for name in TYPED if name.startswith("fig1, "))
QUICKEST = ("figs10", "figs7", "fig1", *ON_FIG1, "figs4", "figs5", "theorem21", "fig2", "until converged")
QUICKEST += ("figs5, cnn", "figs7, wide_resnet", "by the solver")
ORDER = (*QUICKEST, *(name for name in TYPED if name not in QUICKEST))


@dataclass(frozen=True)
class Setting:
    """A setting of a run as its type describes it, and the value that it has there."""

    described: Described
    value: Any

    @property
    def name(self) -> str:
        return ".".join(self.described.path)

    @property
    def declared(self) -> tuple[type, str]:
        """The class that has it first, and its name there."""
        kinds, name = reversed(self.described.section.__mro__), self.described.name
        return next(kind for kind in kinds if name in vars(kind).get("__annotations__", {})), name

    @property
    def others(self) -> list[Any]:
        """Other values to try, near and far; none where the type leaves no choice."""
        kinds = alternatives(self.described.field.annotation)
        found: list[Any] = [*self.described.choices]
        if isinstance(self.value, bool):
            found += [not self.value]
        elif isinstance(self.value, int):
            near = [self.value + 1, 2 * self.value, self.value - 1]
            found += [1, *near] if self.value > 1000 else [*near, 1]  # a limit shows once it is reached
        elif isinstance(self.value, float):
            found += [self.value * 1.3, self.value / 1.3, self.value + 0.1, self.value * 100]
        elif isinstance(self.value, tuple):
            numbers = all(isinstance(one, int | float) for one in self.value)
            found += [tuple(one + 1 for one in self.value) if numbers else (0, 2), self.value[:-1]]
        elif self.value is None:
            found += [one for kind in kinds for one in {float: (0.25, 4.0), int: (2,)}.get(kind, ())]
            found += [(0, 2)] if self.described.is_list else []
        found += [None] if type(None) in kinds else []  # at last: all images of a set may be more than memory holds
        return [one for one in found if one != self.value]

    @property
    def is_word(self) -> bool:
        """Whether it is one word of a closed list, each of which has to differ from this one: `auto` stands for another."""
        return self.described.is_closed and "auto" not in self.described.choices


def settings_of(settings: Any) -> Iterator[Setting]:
    """Those that enter what a cell is found by; the others are marked as saying where and how it runs."""
    return (Setting(one, value) for one, value in leaves(settings) if not one.local)


def as_typed(settings: Any) -> dict[str, Any]:
    return settings.model_dump(mode="json", by_alias=True) | {"from": None}


@dataclass(frozen=True)
class Base:
    """A run of which one setting is changed at a time."""

    experiment: Experiment
    settings: Any

    @classmethod
    def of(cls, name: str) -> "Base":
        experiment, *typed = TYPED[name]
        found = load_experiment(experiment)
        first = make_cells(found, compose([f"experiment={experiment}", "scale=smoke", *typed]).settings)[0].settings
        there = {".".join(one.path): value for one, value in leaves(first)}
        kept = {setting.partition("=")[0] for setting in typed}
        for setting, value in (TINY | (RATES if "rates" in there else {})).items():
            if isinstance(there.get(setting), type(value)) and setting not in kept:
                if setting == "record.first_time":
                    value = min(value, there[setting])  # a run of eight small steps reaches it
                with suppress(UserError):  # where the run does not use it
                    first = validated(type(first), replaced(as_typed(first), tuple(setting.split(".")), value))
        return cls(found, first)

    def table(self, settings: Any) -> pd.DataFrame:
        """What a cell computes; what it tells on the way is the same."""
        progress = Silent()
        progress.log = told = Told()
        table = self.experiment.run.compute(settings, "cell", progress).table
        check_told(told, table, settings)
        return table

    @cached_property
    def before(self) -> pd.DataFrame:
        return self.table(self.settings)

    def with_value(self, one: Setting, value: Any) -> Any:
        """The settings with another value of one of them; UserError where it is refused."""
        return validated(type(self.settings), replaced(as_typed(self.settings), one.described.path, value))

    def takes_another(self, one: Setting) -> bool:
        """Whether it may be changed at all."""
        for value in one.others:
            with suppress(UserError):
                self.with_value(one, value)
                return True
        return False

    def outcome(self, one: Setting, value: Any) -> Literal["refused", "used", "ignored"]:
        """With this value of the setting: no run, another table, or the same table."""
        try:
            settings = self.with_value(one, value)
        except UserError:
            return "refused"
        try:
            return "ignored" if self.table(settings).equals(self.before) else "used"
        except UserError:  # a limit that is too low, a point that is not there
            return "used"

    def ignored(self, one: Setting, thorough: bool) -> list[Any]:
        """The values that are taken and change nothing, of a setting that may not do so.

        One value that changes the table shows that a number is used; where `thorough`, every word of a closed list has to.
        """
        found = []
        for value in one.others:
            outcome = self.outcome(one, value)
            if outcome == "used" and not (thorough and one.is_word):
                return []
            found += [value] if outcome == "ignored" else []
        # `auto` is another name for one of the words
        return [] if one.value == "auto" and len(found) == 1 else found
