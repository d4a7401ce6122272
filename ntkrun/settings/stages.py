"""Command lines that are carried out in one call for all figures: what moves or compares results, or has a limit of minutes."""

from ntkrun.settings.base import WITHOUT_MINUTES
from ntkrun.settings.choices import STAGES


def has_time(arguments: list[str]) -> bool:
    """Whether a command line limits a run to a number of minutes."""
    return any(item.startswith("minutes=") and item != "minutes=null" for item in arguments)


def drawing(arguments: list[str]) -> list[str]:
    """The command line that draws and judges what one with a limit of time has computed."""
    of_computing = (*WITHOUT_MINUTES, "stage", "retry", "log")
    return [item for item in arguments if item.partition("=")[0] not in of_computing] + ["stage=report"]


def lists(arguments: list[str]) -> bool:
    """Whether a command line names a stage that lists runs."""
    return any(f"stage={name}" in arguments for name, stage in STAGES.items() if stage.lists)


def asks_any_run(arguments: list[str]) -> bool:
    """Whether a command line names a stage that needs no experiment to be named."""
    return any(f"stage={name}" in arguments for name, stage in STAGES.items() if stage.any_run or stage.lists)


def stages_at_once() -> list[str]:
    """The stages that move or compare results, in one call for all figures."""
    return [name for name, stage in STAGES.items() if stage.at_once]


def asked_for(arguments: list[str]) -> bool:
    """Whether a command line names one of these stages."""
    return any(f"stage={stage}" in arguments for stage in stages_at_once())
