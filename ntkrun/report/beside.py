"""What differs between the runs of one experiment: settings, images, and what was measured of every claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ABSENT = "-"  # in place of a setting or a claim that a run does not have


@dataclass(frozen=True)
class Differences:
    """(name, one value a run) of all that is not the same in every run.

    claims  each value is (measured, verdict)
    """

    settings: list[tuple[str, list[str]]]
    claims: list[tuple[str, list[tuple[str, str]]]]


def differences(settings: Sequence[dict[str, str]], claims: Sequence[dict[str, tuple[str, str]]]) -> Differences:
    """Of the settings of every run by name, and of (measured, verdict) of its claims by id."""
    return Differences(_differing(settings, ABSENT), _differing(claims, (ABSENT, "")))


def _differing(runs: Sequence[dict[str, Any]], absent: Any) -> list[tuple[str, list[Any]]]:
    names = dict.fromkeys(name for run in runs for name in run)
    rows = [(name, [run.get(name, absent) for run in runs]) for name in names]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]
