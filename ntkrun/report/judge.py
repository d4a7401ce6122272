"""Tables -> verdicts: claims.json and the table that is printed."""

import fnmatch
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import STAND_IN, Claim, Verdict, judge
from ntkrun.experiments.combinations import combinations
from ntkrun.report.causes import cause_of
from ntkrun.report.counts import Counts
from ntkrun.settings.changes import Changes


def judge_all(
    experiment: Experiment,
    table: pd.DataFrame,
    *,
    scale: str,
    stand_in: bool,
    changed: Changes,
    incomplete: bool = False,
    fitted: Collection[str] = (),
) -> list[Verdict]:
    """Every claim of the experiment, for each combination of what is swept.

    changed     the settings that are other than the shipped ones of this scale
    incomplete  cells that it asks for are not stored yet
    fitted      patterns of the paper's curves that settings of the run were fitted to
    """
    how: dict[str, Any] = {"scale": scale, "stand_in": stand_in, "changed": changed, "incomplete": incomplete}
    how["fitted"] = fitted
    verdicts = [
        replace(judge(claim, experiment.name, part.table, **how), combination=part.label)
        for claim in experiment.claims
        for part in combinations(_rows_of(claim, table), experiment.shown)
    ]
    labels = list(dict.fromkeys(verdict.combination for verdict in verdicts))
    verdicts.sort(key=lambda verdict: labels.index(verdict.combination))  # a whole combination after the other
    return [replace(v, reason=cause_of(scale, v.id, changed)) if v.verdict == "fail" else v for v in verdicts]


def _rows_of(claim: Claim, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the parts that the claim is about: what other parts sweep makes no combinations of it."""
    if not claim.parts or "part" not in table.columns:
        return table
    there = [str(part) for part in table["part"].unique()]
    about = [part for part in there if any(fnmatch.fnmatchcase(part, pattern) for pattern in claim.parts)]
    return table[table["part"].isin(about)] if about else table


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
    """The verdicts as lines of text, measured beside expected, and a count.

    Each claim's sentence stands once, below its verdict; where several combinations are judged, above theirs.
    """
    header = ("claim", "verdict", "measured", "band", "paper / theory")
    blocks = [[v for v in verdicts if v.id == name] for name in dict.fromkeys(v.id for v in verdicts)]
    lines = [header, *(_row(v, len(block) > 1) for block in blocks for v in block)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text, *rows = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    text, below = [text], iter(rows)
    for block in blocks:
        said = textwrap.fill(_said(block), 120, initial_indent="    ", subsequent_indent="    ")
        shown = [next(below) for _ in block]
        text += [*shown, said] if len(block) == 1 else [block[0].id, said, *shown]
    text += [textwrap.fill(line, 120, subsequent_indent="    ") for line in reasons(verdicts)]
    return "\n".join([*text, str(Counts.of(as_records(verdicts)))])


def _said(block: Sequence[Verdict]) -> str:
    """The sentence of a claim; where no combination is what it speaks of, it is not said of this run."""
    others = [v.reason.endswith("changed") or v.reason == STAND_IN for v in block if v.verdict == "not_judged"]
    return (
        f"Of the paper's run, not of this one: {block[0].sentence}"
        if len(others) == len(block) and all(others)
        else block[0].sentence
    )


def _row(verdict: Verdict, one_of_several: bool) -> tuple[str, ...]:
    name = f"  [{verdict.combination}]" if one_of_several else named(verdict)
    decided = verdict.verdict + (", fitted" if verdict.fitted_to and verdict.verdict != "not_judged" else "")
    return name, decided, number(verdict.measured), band(verdict), verdict.expected


def reasons(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Why claims fail, one by one; why others are not judged or no test, together where the reason is the same."""
    yield from (f"{named(v)} fails: {v.reason}" for v in verdicts if v.verdict == "fail")
    left = [v for v in verdicts if v.verdict == "not_judged"]
    for reason in dict.fromkeys(v.reason for v in left):
        yield f"not judged ({reason}): {_listed([v for v in left if v.reason == reason], verdicts)}"
    if fitted := [v for v in verdicts if v.fitted_to and v.verdict != "not_judged"]:
        yield f"fitted (a setting was chosen by the very curves, docs/origins.md): {_listed(fitted, verdicts)}"


def _listed(some: Sequence[Verdict], verdicts: Sequence[Verdict]) -> str:
    """Their names; those of all combinations of a claim as one."""
    counts = {count: Counter(v.id for v in group) for count, group in (("some", some), ("all", verdicts))}
    whole = {name for name, count in counts["some"].items() if count == counts["all"][name]}
    return ", ".join(dict.fromkeys(v.id if v.id in whole else named(v) for v in some))
