"""What a run changes of its experiment's settings, and the name of the folder that its report goes to.

    ntkrun experiment=fig1 'model.width=[32,128]'       width-32-128
    ntkrun experiment=fig1 name=narrow model.width=32   narrow

Composed settings are compared, not what was typed; settings that change no number do not count.
"""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from ntkrun.settings.parts import leaves, without_unused

DEFAULT = "default"  # of the run that changes nothing
STAND_IN = "-stand-in"  # behind the name of a run whose images stand in for the real ones
LONGEST = 60  # characters of a name that is made up
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


def _run_name(value: Any) -> Any:
    """3 on the command line is a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        raise ValueError("use up to 100 letters, digits, . _ and -, the first one no . or -")
    if name.lower() in (DEFAULT, "cells") or name.lower().endswith(STAND_IN):
        raise ValueError(f"{DEFAULT}, cells and names that end in {STAND_IN} are taken: choose another")
    return name


RunName = Annotated[str, BeforeValidator(_run_name), AfterValidator(_checked)]


def changes(settings: dict[str, Any], base: dict[str, Any], local: frozenset[str]) -> dict[str, Any]:
    """Dotted name -> value of every setting that is not as in `base`, but for the `local` ones.

    A sweep over one value is that value, and 1.0 is 1.
    """
    ours, theirs = (
        {".".join(map(str, path)): _canonical(value) for path, value in leaves(without_unused(raw))}
        for raw in (settings, base)
    )
    return {
        name: value
        for name, value in ours.items()
        if re.sub(r"^parts\.[^.]*\.", "", name) not in local and (name not in theirs or theirs[name] != value)
    }


def _canonical(value: Any) -> Any:
    if isinstance(value, list):
        return _canonical(value[0]) if len(value) == 1 else [_canonical(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _canonical(one) for key, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def name_of(changed: dict[str, Any], known: list[str]) -> str:
    """A folder's name that no other changes have.  known: dotted names of all settings, so that a short one is unique."""
    if not changed:
        return DEFAULT
    once = Counter(_shortest(name) for name in dict.fromkeys([*map(_of_part, known), *map(_of_part, changed)]))
    kinds_first = sorted(changed.items(), key=lambda item: not item[0].endswith(".name"))
    items, exact = [], True
    for name, value in kinds_first:
        inner = _of_part(name)
        short = _shortest(inner) if once[_shortest(inner)] == 1 else inner
        part = name.removesuffix(inner).removeprefix("parts.")
        values = [_word(one) for one in (value if isinstance(value, list) else [value])]
        exact &= bool(values) and all(map(PLAIN.fullmatch, values)) and bool(re.fullmatch(r"[\w.]*", part))
        items.append(re.sub(r"[^A-Za-z0-9._]+", "-", part + short) + "-" + "-".join(values))
    text = re.sub(r"[^A-Za-z0-9._]+", "-", "_".join(items))
    if exact and len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{text[: LONGEST - 9].rstrip('-._')}-{digest}"


def _of_part(name: str) -> str:
    """The name of a setting inside its part."""
    return re.sub(r"^parts\.[^.]*\.", "", name)


def _shortest(name: str) -> str:
    """model.width -> width, model.name -> model."""
    path = name.split(".")
    return path[-2] if path[-1] == "name" and len(path) > 1 else path[-1]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
