"""The folder that the report of a run goes to, named after what the run changes of its experiment's settings.

    ntkrun experiment=fig1 'model.width=[32,128]'       width-32-128
    ntkrun experiment=fig1 name=narrow model.width=32   narrow

Composed settings are compared (`settings.changes`), not what was typed; settings that change no number do not count.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator

DEFAULT = "default"  # of the run that changes nothing
SHIPPED = "shipped"  # of the run whose report is among the shipped results
DEMO = "demo"  # of a run whose images stand in for the real ones, behind its name where it has one
# section whose `path` names a file of the user's -> what a run calls the hash of its content, beside that path
FILES = {"model": "source", "data": "content"}
LONGEST = 60  # characters of a name that is made up
LONGEST_WORD = 20  # of them, for a file or class of the user's
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*|\d[\d.]*(e-?\d+)?")  # a value that stands in a name as it is


@dataclass(frozen=True)
class Variant:
    """One way to run an experiment.

    name      of the folder of its report
    changed   dotted name -> value of every setting that differs from the experiment's at this scale
    command   that makes it again
    """

    name: str = DEFAULT
    changed: dict[str, Any] = field(default_factory=dict)
    command: str = ""


class OwnWord(NamedTuple):
    """Something of the user's: the word that a name shows of it, and what tells it from others of this word."""

    word: str
    known_by: str


def _run_name(value: Any) -> Any:
    """3 on the command line is a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        raise ValueError("use up to 100 letters, digits, . _ and -, the first one no . or -")
    if name.lower() in (DEFAULT, DEMO, SHIPPED, "cells", "log") or name.lower().endswith(f"-{DEMO}"):
        raise ValueError(
            f"{DEFAULT}, cells, log, {SHIPPED}, {DEMO} and names that end in -{DEMO} are taken: choose another"
        )
    return name


def typed(runs: Sequence[str]) -> str:
    """Several runs as they are typed: "[default,wider]"."""
    return f"[{','.join(runs)}]"


def _listed(runs: Any) -> Any:
    """One name that is typed without brackets is a list of one."""
    return [runs] if isinstance(runs, str | int | float) else runs


def _several(runs: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(runs)) < len(runs):
        raise ValueError("a run is named twice: name each once")
    if len(runs) < 2:
        raise ValueError("name two runs or more, runs=[default,wider]")
    return runs


RunName = Annotated[str, BeforeValidator(_run_name), AfterValidator(_checked)]
ComparedRuns = Annotated[
    tuple[Annotated[str, BeforeValidator(_run_name)], ...], BeforeValidator(_listed), AfterValidator(_several)
]


def demo_of(run: str) -> str:
    """The name of the same run on stand-in images."""
    return DEMO if run == DEFAULT else f"{run}-{DEMO}"


def name_of(changed: dict[str, Any], known: list[str]) -> str:
    """A folder's name that no other changes have: what is the user's own, kinds, then all else.

    known  dotted names of all settings, so that a short one is unique
    """
    if not changed:
        return DEFAULT
    once = Counter(_shortest(name) for name in dict.fromkeys([*map(_of_part, known), *map(_of_part, changed)]))
    items, exact = [], True
    for name, value in sorted(changed.items(), key=_rank):
        inner = _of_part(name)
        short = _shortest(inner) if once[_shortest(inner)] == 1 else inner
        part = name.removesuffix(inner).removeprefix("parts.")
        values = [_word(one) for one in (value if isinstance(value, list) else [value])]
        exact &= (
            bool(values)
            and not _is_own(value)
            and all(map(PLAIN.fullmatch, values))
            and bool(re.fullmatch(r"[\w.]*", part))
        )
        items.append(re.sub(r"[^A-Za-z0-9._]+", "-", part + short) + "-" + "-".join(values))
    text = re.sub(r"[^A-Za-z0-9._]+", "-", "_".join(items))
    if exact and len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{text[: LONGEST - 9].rstrip('-._')}-{digest}"


def _rank(change: tuple[str, Any]) -> int:
    """A name is cut behind: what tells most comes first."""
    name, value = change
    return 0 if _is_own(value) else 1 if name.endswith(".name") else 2


def _is_own(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, OwnWord) for one in value)


def _of_part(name: str) -> str:
    """The name of a setting inside its part."""
    return re.sub(r"^parts\.[^.]*\.", "", name)


def _shortest(name: str) -> str:
    """model.width -> width, model.name -> model."""
    path = name.split(".")
    return path[-2] if path[-1] == "name" and len(path) > 1 else path[-1]


def _word(value: Any) -> str:
    if isinstance(value, OwnWord):
        return value.word[:LONGEST_WORD]
    return value if isinstance(value, str) else json.dumps(value, default=str)
