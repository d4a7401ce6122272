"""From a composed configuration to cells: what a run consists of, and which numbers each part depends on.

A list where the settings expect a single value is a sweep; every combination of swept values is one cell.
A mapping of widths, {16: 3, 1024: 1}, is a rule: the value of the largest key that is not above the cell's model.width.
`parts` lists runs of different settings that make one figure (`ntkrun.settings.parts`).
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ntkrun import NUMERICS_VERSION
from ntkrun.errors import UserError
from ntkrun.runner.other_settings import whose
from ntkrun.settings.base import SETTINGS_OF_STAGE, CommonSettings
from ntkrun.settings.descents import SupremaSettings
from ntkrun.settings.parts import Setting, is_rule, leaves, parts_of, replaced
from ntkrun.settings.runs import EnsembleSettings, FreeSettings, MonteCarloSettings, RunSettings
from ntkrun.settings.schema import list_settings, local_settings, typed_names
from ntkrun.settings.validation import validated

if TYPE_CHECKING:  # importing an experiment takes seconds, finding a wrong setting does not
    from ntkrun.experiments.base import Experiment

S = TypeVar("S", bound=CommonSettings)

OF_ONE_STAGE = {name for names in SETTINGS_OF_STAGE.values() for name in names}


@dataclass(frozen=True)
class Cell:
    """The smallest unit that runs by itself.

    name         the part and the swept values, e.g. "width=512,seed=0" ("seed=0" when nothing is swept), each cell's its own
    config_hash  of everything that determines the numbers except the images themselves
    part         the part of the experiment that it belongs to, "" where there are none
    swept        dotted names of the settings that its part sweeps
    """

    name: str
    settings: CommonSettings
    config_hash: str
    part: str = ""
    swept: tuple[str, ...] = ()


def _at_width(raw: dict[str, Any]) -> dict[str, Any]:
    """The settings of one cell with every rule replaced by its value at the cell's width."""
    rules = [(path, rule) for path, rule in leaves(raw) if is_rule(rule)]
    model = raw.get("model", {})
    width = (model.get("args") or {}).get("width", model.get("width"))
    for path, rule in rules:
        name = ".".join(path)
        if not isinstance(width, int):
            raise UserError(f"{name} depends on the width, but model.width={width} is none")
        if width < min(rule):
            raise UserError(f"{name} says nothing for widths below {min(rule)}: add a key for model.width={width}")
        raw = replaced(raw, path, rule[max(key for key in rule if key <= width)])
    return raw


def check_shared_settings(raw: dict[str, Any]) -> None:
    """UserError for a wrong value of what experiments have in common; what is an experiment's own is let pass.

    For an answer before the experiment is imported: `make_cells` checks everything.
    """
    kinds = (EnsembleSettings, FreeSettings, RunSettings, MonteCarloSettings, CommonSettings)  # the most specific first
    for part in parts_of(raw).values():
        present = {key for key, value in part.items() if value is not None}
        kind = next(kind for kind in kinds if typed_names(kind) - OF_ONE_STAGE <= present or kind is CommonSettings)
        shared = {key: value for key, value in part.items() if key in typed_names(kind)}
        for _ in _combinations(kind, shared):
            pass


def make_cells(experiment: "Experiment", raw: dict[str, Any]) -> list[Cell]:
    """All cells of a run, validated; UserError in one line for a wrong, missing or unknown setting."""
    cells = [cell for name, part in parts_of(raw).items() for cell in _swept_cells(experiment, part, name)]
    if not cells:
        raise UserError("every one of the parts is null: nothing to run")
    _check_seeds(cells)
    if "parts" in raw:
        first: dict[str, Cell] = {}
        for cell in cells:
            if cell is not (other := first.setdefault(cell.config_hash, cell)):
                raise UserError(
                    f"two parts have a cell of equal settings, {other.name} and {cell.name}: drop it from one of them, "
                    "or leave a part out with parts.NAME=null"
                )
    return cells


def _check_seeds(cells: list[Cell]) -> None:
    """UserError where two cells that differ in their seeds alone train the same network: it would count twice."""
    repeats: dict[str, list[int]] = {}
    for settings in (cell.settings for cell in cells):
        if isinstance(settings, EnsembleSettings | SupremaSettings):
            others = json.dumps(settings.model_copy(update={"seed": 0}).identity, sort_keys=True)
            repeats.setdefault(others, []).append(settings.seed)
            count, seeds = settings.networks, sorted(set(repeats[others]))
            for seed, later in itertools.pairwise(seeds):
                if later < seed + count:
                    apart = [seeds[0], seeds[0] + count, seeds[0] + 2 * count]
                    raise UserError(
                        f"seed={seed} and seed={later} share networks: a cell trains networks={count}, of seeds "
                        f"{seed} ... {seed + count - 1}; leave {count} between seeds, as in seed={json.dumps(apart)}"
                    )


def _swept_cells(experiment: "Experiment", raw: dict[str, Any], part: str) -> list[Cell]:
    cells = []
    for values, settings in _combinations(experiment.settings, raw):
        told = {word: values[path] for path, word in _words(values).items()} or {"seed": settings.seed}
        name = ",".join(f"{key}={value}" for key, value in (({"part": part} if part else {}) | told).items())
        swept = tuple(".".join(path) for path in values)
        cells.append(Cell(name, settings, config_hash(experiment, settings), part, swept))
    return cells


def _words(swept: Iterable[Setting]) -> dict[Setting, str]:
    """What a cell's name calls each swept setting: its last word, or all of it where that is another's, too."""
    last = [path[-1] for path in swept] + ["seed"]  # data.seed alone is not the seed
    return {path: path[-1] if len(path) == 1 or last.count(path[-1]) == 1 else ".".join(path) for path in swept}


def _combinations(kind: type[S], raw: dict[str, Any]) -> Iterator[tuple[dict[Setting, Any], S]]:
    """(swept values by path, settings) of every combination."""
    listed = {path: value for path, value in leaves(raw) if isinstance(value, list)}
    swept = {
        path: value for path, value in listed.items() if path not in list_settings(kind) or _is_of_lists(path, value)
    }
    one_value = {"experiment"} | local_settings(kind)  # where and how to run
    for path, values in swept.items():
        if path[0] in one_value:
            raise UserError(f"{'.'.join(path)} takes one value, not a list: run once for each of them")
        if not values or len({json.dumps(value) for value in values}) != len(values):
            raise UserError(
                f"{'.'.join(path)} is swept over an empty list or a list with repeated values: name each value once"
            )
    whose_setting = partial(whose, experiment=raw.get("experiment"))
    for combination in itertools.product(*swept.values()):
        single = raw
        for path, value in zip(swept, combination, strict=True):
            single = replaced(single, path, value)
        yield dict(zip(swept, combination, strict=True)), validated(kind, _at_width(single), whose_setting)


def _is_of_lists(path: Setting, value: list[Any]) -> bool:
    """Whether a setting that is a list by nature is swept: by a list of its values, [[3,8],[1,7]]."""
    lists = [isinstance(one, list) for one in value]
    if any(lists) and not all(lists):
        raise UserError(
            f"{'.'.join(path)}={json.dumps(value)}: one value is a list, [A,B], and a sweep a list of lists, [[A,B],[C,D]]"
        )
    return any(lists)


def config_hash(experiment: "Experiment", settings: CommonSettings) -> str:
    """16 hex digits over the settings that determine numbers and the versions of the code that makes them."""
    identity = json.dumps([settings.identity, experiment.name, experiment.version, NUMERICS_VERSION], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def shard_of(cells: list[Cell], shard: int, shards: int) -> list[Cell]:
    """The cells of one shard: every shards-th, so that costs spread evenly."""
    return cells[shard::shards]
