"""Which run of its experiment a command line asks for: what it changes, its name, and the command that makes it again."""

import shlex
from collections.abc import Sequence
from typing import Any

from ntkrun.settings.changes import Changes, own_values
from ntkrun.settings.custom_source import source_hash
from ntkrun.settings.parts import leaves
from ntkrun.settings.runs import LOCAL_NAMES
from ntkrun.settings.variant import Variant, name_of

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
        if name.endswith("model.path") and isinstance(path, str):  # an edited module is another network
            changed[f"{name.removesuffix('path')}source"] = source_hash(path)[:8]
    known = [".".join(map(str, path)) for path, _ in leaves(settings)]
    name = name_of(changed, known) if settings["name"] is None else str(settings["name"])
    return Variant(name, changed, command_of(typed, settings["scale"]))


def command_of(typed: Sequence[str], scale: str) -> str:
    """The command that makes the report again: without what says where and how it was run."""
    kept = [item for item in typed if item.partition("=")[0].lstrip("+") not in LOCAL_NAMES - OF_THE_REPORT | {"scale"}]
    return shlex.join(["ntkrun", *kept, f"scale={scale}"])
