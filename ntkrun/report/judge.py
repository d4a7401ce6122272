"""Tables -> verdicts: claims.json and the table that is printed."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Verdict, judge
from ntkrun.experiments.combinations import combinations
from ntkrun.report.causes import cause_of
from ntkrun.settings.changes import Changes


def judge_all(
    experiment: Experiment,
    table: pd.DataFrame,
    *,
    scale: str,
    stand_in: bool,
    changed: Changes,
    incomplete: bool = False,
) -> list[Verdict]:
    """Every claim of the experiment, for each combination of what is swept.

    changed     the settings that are other than the shipped ones of this scale
    incomplete  cells that it asks for are not stored yet
    """
    how: dict[str, Any] = {"scale": scale, "stand_in": stand_in, "changed": changed, "incomplete": incomplete}
    verdicts = [
        replace(judge(claim, experiment.name, part.table, **how), combination=part.label)
        for part in combinations(table, experiment.shown)
        for claim in experiment.claims
    ]
    return [replace(v, reason=cause_of(scale, v.id, changed)) if v.verdict == "fail" else v for v in verdicts]


def as_records(verdicts: Sequence[Verdict]) -> list[dict]:
    return [asdict(verdict) for verdict in verdicts]


def number(value: float | None) -> str:
    """Four digits, - for what could not be measured."""
    return "-" if value is None else f"{value:.4g}"


def band(verdict: Verdict) -> str:
    """The band as an inequality of the measured x."""
    low = "" if verdict.low is None else f"{number(verdict.low)} <= "
    high = "" if verdict.high is None else f" <= {number(verdict.high)}"
    return f"{low}x{high}"


def named(verdict: Verdict) -> str:
    """The claim and, where several are judged, of which combination."""
    return f"{verdict.id} [{verdict.combination}]" if verdict.combination else verdict.id


def claims_table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as lines of text, measured beside expected, each claim's sentence below it, the reasons, and a count."""
    header = ("claim", "verdict", "measured", "band", "paper / theory")
    lines = [(named(v), v.verdict, number(v.measured), band(v), v.expected) for v in verdicts]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    text, *rows = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, *lines]
    ]
    text = [text]
    for row, verdict in zip(rows, verdicts, strict=True):
        text += [row, textwrap.fill(verdict.sentence, 120, initial_indent="    ", subsequent_indent="    ")]
    text += [textwrap.fill(line, 120, subsequent_indent="    ") for line in reasons(verdicts)]
    count = {kind: sum(v.verdict == kind for v in verdicts) for kind in ("pass", "fail", "not_judged")}
    text.append(f"{count['pass']} passed, {count['fail']} failed, {count['not_judged']} not judged")
    return "\n".join(text)


def reasons(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Why claims fail, one by one, and why others are not judged, together where the reason is the same."""
    yield from (f"{named(v)} fails: {v.reason}" for v in verdicts if v.verdict == "fail")
    left = [v for v in verdicts if v.verdict == "not_judged"]
    for reason in dict.fromkeys(v.reason for v in left):
        yield f"not judged ({reason}): {', '.join(named(v) for v in left if v.reason == reason)}"
