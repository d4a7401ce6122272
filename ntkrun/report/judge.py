"""Tables -> verdicts: claims.json and the table that is printed."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Verdict, judge
from ntkrun.experiments.combinations import combinations
from ntkrun.report.causes import cause_of


def judge_all(
    experiment: Experiment, table: pd.DataFrame, *, scale: str, stand_in: bool, incomplete: bool = False
) -> list[Verdict]:
    """Every claim of the experiment, for each combination of what is swept; `incomplete`: cells that it asks for are not
    stored yet.
    """
    how: dict[str, Any] = {"scale": scale, "stand_in": stand_in, "incomplete": incomplete}
    return [
        replace(judge(claim, experiment.name, part.table, **how), combination=part.label)
        for part in combinations(table, experiment.shown)
        for claim in experiment.claims
    ]


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


def claims_table(verdicts: Sequence[Verdict], scale: str) -> str:
    """The verdicts as lines of text, measured beside expected, why those fail that do, and a count."""
    header = ("claim", "verdict", "measured", "band", "paper / theory")
    lines = [(named(v), v.verdict, number(v.measured), band(v), v.expected) for v in verdicts]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, *lines]
    ]
    failing = (f"{named(v)} fails: {cause_of(scale, v.id)}" for v in verdicts if v.verdict == "fail")
    text += [textwrap.fill(line, 120, subsequent_indent="    ") for line in failing]
    count = {kind: sum(v.verdict == kind for v in verdicts) for kind in ("pass", "fail", "not_judged")}
    text.append(f"{count['pass']} passed, {count['fail']} failed, {count['not_judged']} not judged")
    return "\n".join(text)
