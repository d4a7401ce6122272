"""Why a claim fails, as far as the notes know: `causes.toml`."""

import tomllib
from functools import cache
from importlib.resources import files

from ntkrun.settings.changes import Changes

UNKNOWN = "cause not known"


@cache
def causes() -> dict[str, dict[str, str]]:
    """scale -> claim -> cause."""
    return tomllib.loads(files("ntkrun.report").joinpath("causes.toml").read_text())


def cause_of(scale: str, claim: str, changed: Changes) -> str:
    """The cause of a failing claim in the shipped run of a scale; what fails elsewhere may have another."""
    if changed:
        return f"{UNKNOWN}: {', '.join(changed)} changed"
    return causes().get(scale, {}).get(claim, UNKNOWN)
