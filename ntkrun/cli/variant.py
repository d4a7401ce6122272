"""Which run of its experiment a command line asks for: what it changes, its name, and the command that makes it again."""

import shlex
from collections.abc import Sequence
from typing import Any

from ntkrun.cli.hydra.compose import compose_here
from ntkrun.settings.custom_source import source_hash
from ntkrun.settings.parts import leaves
from ntkrun.settings.runs import LOCAL_NAMES
from ntkrun.settings.variant import Variant, changes, name_of

# settings that change no number and yet the report
OF_THE_REPORT = {"scale", "name", "style", "data.source"}


def variant_of(settings: dict[str, Any], typed: Sequence[str]) -> Variant:
    """To be called inside `config_files` or `hydra.main`.

    settings  composed, with the scale that `scale=auto` stands for
    typed     the command line
    """
    base = compose_here([f"experiment={settings['experiment']}", f"scale={settings['scale']}"]).settings
    changed = changes(settings, base, LOCAL_NAMES | {"experiment"})
    for name, path in [*changed.items()]:
        if name.endswith("model.path") and isinstance(path, str):  # an edited module is another network
            changed[f"{name.removesuffix('path')}source"] = source_hash(path)[:8]
    known = [".".join(map(str, path)) for raw in (settings, base) for path, _ in leaves(raw)]
    name = name_of(changed, known) if settings["name"] is None else str(settings["name"])
    return Variant(name, changed, command_of(typed, settings["scale"]))


def command_of(typed: Sequence[str], scale: str) -> str:
    """The command that makes the report again: without what says where and how it was run."""
    kept = [item for item in typed if item.partition("=")[0].lstrip("+") not in LOCAL_NAMES - OF_THE_REPORT | {"scale"}]
    return shlex.join(["ntkrun", *kept, f"scale={scale}"])
