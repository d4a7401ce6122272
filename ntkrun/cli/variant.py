"""Which run of its experiment a command line asks for: what it changes, its name, and the command that makes it again."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntkrun.settings.changes import Changes, own_values
from ntkrun.settings.custom_source import source_hash
from ntkrun.settings.own_data import content_of
from ntkrun.settings.parts import leaves
from ntkrun.settings.runs import LOCAL_NAMES
from ntkrun.settings.variant import OwnWord, Variant, name_of

# settings that change no number and yet the report
OF_THE_REPORT = {"scale", "name", "style", "data.source"}


def variant_of(settings: dict[str, Any], differs: Changes, typed: Sequence[str]) -> Variant:
    """The run of these settings.

    settings  composed, with the scale that `scale=auto` stands for
    differs   which of them are other than the shipped ones
    typed     the command line
    """
    changed = own_values(differs)
    for name, path in [*changed.items()]:
        if name.endswith("model.path") and path is not None:  # an edited module is another network
            changed[f"{name.removesuffix('path')}source"] = _one_or_all([source_hash(one)[:8] for one in _listed(path)])
        if name.endswith("data.path") and path is not None:
            changed[f"{name.removesuffix('path')}content"] = [content_of(one)[:8] for one in _listed(path)]
    known = [".".join(map(str, path)) for path, _ in leaves(settings)]
    name = name_of(_named(changed), known) if settings["name"] is None else str(settings["name"])
    return Variant(name, changed, command_of(typed, settings["scale"]))


def _named(changed: dict[str, Any]) -> dict[str, Any]:
    """What is changed, in the words of a folder's name: first the user's own networks and data, by class or file and content,
    wherever the file lies."""
    own, others = {}, dict(changed)
    for section, content, words in (("model", "source", _class), ("data", "content", _stem)):
        for name in [name for name in changed if name.endswith(f"{section}.{content}")]:
            start = name.removesuffix(content)
            pairs = zip(_listed(changed[f"{start}path"]), _listed(changed[name]), strict=True)
            kind = "own-network" if section == "model" else "own-data"
            own[f"{start.removesuffix(f'{section}.')}{kind}"] = [
                OwnWord(words(str(one)), known_by) for one, known_by in pairs
            ]
            for setting in ("name", "path", content):
                others.pop(f"{start}{setting}", None)
    return own | others


def _class(path: str) -> str:
    return path.rpartition(":")[2]


def _stem(path: str) -> str:
    return Path(path).stem


def _one_or_all(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def command_of(typed: Sequence[str], scale: str) -> str:
    """The command that makes the report again: without what says where and how it was run, but for the user's consent."""
    left_out = LOCAL_NAMES - OF_THE_REPORT - {"allow_custom"} | {"scale"}
    kept = [item for item in typed if item.partition("=")[0].lstrip("+") not in left_out]
    return shlex.join(["ntkrun", *kept, f"scale={scale}"])
