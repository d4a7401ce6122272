"""From a composed configuration to cells: what a run consists of, and which numbers each part depends on.

A list where the settings expect a single value is a sweep; every combination of swept values is one cell.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ntkrun import NUMERICS_VERSION
from ntkrun.errors import UserError
from ntkrun.experiments.base import Experiment
from ntkrun.settings import LOCAL, CommonSettings, validated

# Fields that are lists by nature.
LIST_FIELDS = {("data", "classes"), ("optimizer", "schedule", "boundaries"), ("optimizer", "schedule", "factors")}
# Fields that say where and how to run: one run has one value.
UNSWEPT = {"experiment"} | {name for name, whole in LOCAL.items() if whole is True}


@dataclass(frozen=True)
class Cell:
    """The smallest unit that runs by itself.

    name         the swept values, e.g. "width=512,seed=0" ("seed=0" when nothing is swept)
    config_hash  of everything that determines the numbers except the images themselves
    """

    name: str
    settings: CommonSettings
    config_hash: str


def _leaves(raw: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in raw.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _replaced(raw: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    head, *rest = path
    return raw | {head: _replaced(raw[head], tuple(rest), value) if rest else value}


def make_cells(experiment: Experiment, raw: dict[str, Any]) -> list[Cell]:
    """All cells of a run, validated; UserError in one line for a wrong, missing or unknown setting."""
    swept = {path: value for path, value in _leaves(raw) if isinstance(value, list) and path not in LIST_FIELDS}
    for path, values in swept.items():
        if path[0] in UNSWEPT:
            raise UserError(f"{'.'.join(path)} takes one value, not a list")
        if not values or len({json.dumps(value) for value in values}) != len(values):
            raise UserError(f"{'.'.join(path)} is swept over an empty list or a list with repeated values")
    cells = []
    for combination in itertools.product(*swept.values()):
        single = raw
        for path, value in zip(swept, combination, strict=True):
            single = _replaced(single, path, value)
        settings = validated(experiment.settings, single)
        parts = {path[-1]: value for path, value in zip(swept, combination, strict=True)} or {"seed": settings.seed}
        name = ",".join(f"{key}={value}" for key, value in parts.items())
        cells.append(Cell(name, settings, config_hash(experiment, settings)))
    return cells


def config_hash(experiment: Experiment, settings: CommonSettings) -> str:
    """16 hex digits over the settings that determine numbers and the versions of the code that makes them."""
    numbers = settings.model_dump(mode="json", exclude=LOCAL)
    identity = json.dumps([numbers, experiment.name, experiment.version, NUMERICS_VERSION], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def shard_of(cells: list[Cell], shard: int, shards: int) -> list[Cell]:
    """The cells of one shard: every shards-th, so that costs spread evenly."""
    return cells[shard::shards]
