"""Where the settings that --cfg job shows come from, as comments of YAML below them."""

from collections.abc import Sequence

from ntkrun.cli.hydra.compose import compose
from ntkrun.settings.changes import values_of
from ntkrun.settings.origins import origin_of

WITH_FILES = ("--config-dir", "-cd", "--package", "-p")  # other files than the shipped ones, or a section alone


def asks_for_settings(arguments: Sequence[str]) -> bool:
    """Whether the whole settings of a run are shown, of shipped files."""
    shown = any(flag in arguments and "job" in arguments for flag in ("--cfg", "-c"))
    shown = shown or bool({"--cfg=job", "-c=job"} & set(arguments))
    return shown and not any(item.partition("=")[0] in WITH_FILES for item in arguments)


def origins_text(arguments: Sequence[str]) -> str:
    """A line for each setting that determines numbers, in each part of a figure where parts differ."""
    settings = compose([item for item in arguments if "=" in item and not item.startswith("-")]).settings
    told: dict[tuple[str, str], list[str]] = {}
    parts = values_of(settings)
    for part, values in parts.items():
        for name in values:
            origin = origin_of(settings["experiment"], f"parts.{part}.{name}" if part else name)
            if origin:
                told.setdefault((name, str(origin)), []).append(part)
    lines = ["# where they come from (docs/origins.md):"]
    for (name, origin), having in told.items():
        where = "" if len(having) == len(parts) else f" ({', '.join(having)})"
        lines.append(f"#   {name}{where}: {origin}")
    return "\n".join(lines)
