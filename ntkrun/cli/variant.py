"""Which run of its experiment a command line asks for: what it changes, its name, and the command that makes it again."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntkrun.cli.hydra.shipped import beside_chosen
from ntkrun.settings.changes import Changes, own_values
from ntkrun.settings.custom_source import source_hash
from ntkrun.settings.own_data import content_of
from ntkrun.settings.parts import leaves
from ntkrun.settings.runs import LOCAL_NAMES
from ntkrun.settings.variant import FILES, OwnWord, Variant, name_of

# settings that change no number and yet the report
OF_THE_REPORT = {"scale", "name", "style", "data.source"}


def variant_of(settings: dict[str, Any], differs: Changes, typed: Sequence[str]) -> Variant:
    """The run of these settings.

    settings  composed, with the scale that `scale=auto` stands for
    differs   which of them are other than the shipped ones
    typed     the command line
    """
    changed = _with_contents(own_values(differs))
    return Variant(_name(settings, differs), changed, command_of(typed, settings["scale"]))


def _name(settings: dict[str, Any], differs: Changes) -> str:
    """The one that was typed, else one that says what is changed."""
    if settings["name"] is not None:
        return str(settings["name"])
    known = [".".join(map(str, path)) for path, _ in leaves(settings)]
    return name_of(_named(_with_contents(own_values(beside_chosen(settings, differs)))), known)


def _with_contents(changed: dict[str, Any]) -> dict[str, Any]:
    """With what the user's files hold: an edited module is another network."""
    held = dict(changed)
    for name, path in changed.items():
        for section, content in FILES.items() if path is not None else ():
            if name.endswith(f"{section}.path"):
                hashes = [HASH[section](one)[:8] for one in _listed(path)]
                held[f"{name.removesuffix('path')}{content}"] = _one_or_all(hashes) if section == "model" else hashes
    return held


def _named(changed: dict[str, Any]) -> dict[str, Any]:
    """What is changed, in the words of a folder's name: first the user's own networks and data, by class or file and content,
    wherever the file lies."""
    own, others = {}, dict(changed)
    for section, content in FILES.items():
        for name in [name for name in changed if name.endswith(f"{section}.{content}")]:
            start = name.removesuffix(content)
            pairs = zip(_listed(changed[f"{start}path"]), _listed(changed[name]), strict=True)
            kind = "own-network" if section == "model" else "own-data"
            own[f"{start.removesuffix(f'{section}.')}{kind}"] = [
                OwnWord(WORD[section](str(one)), known_by) for one, known_by in pairs
            ]
            for setting in ("name", "path", content):
                others.pop(f"{start}{setting}", None)
    return own | others


def _class(path: str) -> str:
    return path.rpartition(":")[2]


def _stem(path: str) -> str:
    return Path(path).stem


WORD = {"model": _class, "data": _stem}  # of the user's file, in a name
HASH = {"model": source_hash, "data": content_of}


def _one_or_all(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def command_of(typed: Sequence[str], scale: str) -> str:
    """The command that makes the report again: without what says where and how it was run, but for the user's consent."""
    left_out = LOCAL_NAMES - OF_THE_REPORT - {"allow_custom"} | {"scale"}
    kept = [item for item in typed if item.partition("=")[0].lstrip("+") not in left_out]
    return shlex.join(["ntkrun", *kept, f"scale={scale}"])
