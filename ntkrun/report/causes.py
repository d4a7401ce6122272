"""Why a claim fails, as far as the notes know: `causes.toml`."""

import tomllib
from functools import cache
from importlib.resources import files

UNKNOWN = "cause not known"


@cache
def causes() -> dict[str, dict[str, str]]:
    """scale -> claim -> cause."""
    return tomllib.loads(files("ntkrun.report").joinpath("causes.toml").read_text())


def cause_of(scale: str, claim: str) -> str:
    """The cause of a failing claim at a scale; what failed elsewhere may have another."""
    return causes().get(scale, {}).get(claim, UNKNOWN)
