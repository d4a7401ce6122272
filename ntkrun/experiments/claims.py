"""What the paper says, as numbers that a table can be held against.

A claim's band [low, high] and its reason are written before the run; a failing claim stays visible.
"""

import fnmatch
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ntkrun.reference import curves_named
from ntkrun.settings.changes import Changes
from ntkrun.settings.origins import origin_of, setting

Kind = Literal["stated", "theory", "read_off"]
ALL_SCALES = ("smoke", "cpu", "paper")
REGIME = ("cpu", "paper")  # where networks are wide and train long enough for what the paper says of them
# scale=gpu has the paper's widths, networks and times, in other steps of them: what is judged there is judged here
STANDS_FOR = {"gpu": "paper"}
STAND_IN = "stand-in images"  # why a claim is not judged
ANY_SETTING: tuple[str, ...] = ()  # what a claim depends on that theory makes of every network, rate and set of images
# how much is run and looked at: scales differ in these, and a claim that is judged at several of them holds for all
SIZES = ("model.width", "networks", "rates", "draws", "alphas", "data.n_test", "record")
COLUMNS = {"model.width": "width"}  # settings that a table has under another name
MOVES = ("optimizer",)  # what says how far a run goes
NEARLY = 0.9  # of the paper's time: a sixth of an octave, while the records of a curve are a sixth of one to a whole one apart


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One checkable sentence.

    id        unique, "<figure>.<what>"          source    where the paper (or theory) says it
    sentence  what it says, for a person to read
    kind      stated | theory | read_off (from the digitised curves)
    measure   table -> number (tables only, no computation with models)
    expected  the paper's number, as text        band      (lowest, highest), inclusive
    why       why the band has this width
    scales    scales at which it means something; elsewhere the verdict is not_judged
    real_data whether it is about the paper's data set, so that stand-in images cannot decide it
    depends_on  dotted names of the settings that it speaks about, "optimizer" for all of that section: a run that changed one
                cannot decide it.  None: those of the figure that are printed or recovered, except SIZES where it is
                judged at several of the scales
    parts     of a figure that is made of parts: those that it is about, as patterns; (): all
    until     where the measure is taken at the end of the run: the time at which the paper's ends.  A run whose steps, rates
              or time were changed so that it ends well before has not the number that this is about
    reference  the paper's curves that it is judged against, as patterns of `ntkrun.reference`: where a setting of the run was
               fitted to one of these the claim is no test of it, and is counted apart.  (): a property that the text or the
               theory states, whatever the curves say
    """

    id: str
    sentence: str
    source: str
    kind: Kind
    measure: Callable[[pd.DataFrame], float]
    expected: str
    band: tuple[float, float]
    why: str
    scales: tuple[str, ...] = REGIME
    real_data: bool = True
    depends_on: tuple[str, ...] | None = None
    parts: tuple[str, ...] = ()
    until: float | None = None
    reference: tuple[str, ...] = ()

    @property
    def of_any_data(self) -> bool:
        """Whether it holds whatever the examples are, those of a file of the user's too."""
        return self.depends_on == ANY_SETTING and not self.real_data


@dataclass(frozen=True)
class Verdict:
    """One line of claims.json.

    combination  values of what is swept beyond what the figure shows apart, "n = 32, phi = tanh"; "" where nothing is
    reason  why it was not judged; why it fails, as far as that is known; "" where it passes
    fitted_to  the paper's curves that it is judged against and that a setting of the run was fitted to
    """

    id: str
    figure: str
    source: str
    kind: Kind
    expected: str
    low: float | None
    high: float | None
    measured: float | None
    verdict: Literal["pass", "fail", "not_judged"]
    why: str
    sentence: str = ""
    reason: str = ""
    combination: str = ""
    fitted_to: Sequence[str] = ()


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def changed_for(claim: Claim, figure: str, changed: Changes, table: pd.DataFrame) -> list[str]:
    """Of the changed settings, those that the claim depends on and that are changed in this table.

    A setting that is swept is not changed in the rows that have its shipped value.
    """
    return [name for name in _changed_here(claim, changed, table) if _depends(claim, figure, name)]


def _unmeasured_for(claim: Claim, figure: str, changed: Changes, table: pd.DataFrame) -> list[str]:
    """The changed settings that may have left the claim without a number: what it speaks of, SIZES among it; if none of
    that is changed, whatever is changed in this table."""
    here = _changed_here(claim, changed, table)
    return [name for name in here if _speaks_of(claim, figure, name)] or here or list(changed)


def _changed_here(claim: Claim, changed: Changes, table: pd.DataFrame) -> list[str]:
    """The changed settings less those of other parts and those that have the shipped value in this table."""
    return [
        name
        for name, (shipped, _) in changed.items()
        if _is_about(claim, name) and not _has_only(table, setting(name), shipped)
    ]


def _depends(claim: Claim, figure: str, name: str) -> bool:
    of_all_scales = claim.depends_on is None and "cpu" in claim.scales and _among(setting(name), SIZES)
    return not of_all_scales and _speaks_of(claim, figure, name)


def _speaks_of(claim: Claim, figure: str, name: str) -> bool:
    if claim.depends_on is not None:
        return _among(setting(name), claim.depends_on)
    origin = origin_of(figure, name)
    return origin is None or origin.of_the_paper


def _is_about(claim: Claim, name: str) -> bool:
    """Whether a setting is not one of a part that the claim does not speak of."""
    part = name.split(".")[1] if name.startswith("parts.") else ""
    return not (claim.parts and part) or any(fnmatch.fnmatchcase(part, pattern) for pattern in claim.parts)


def _among(name: str, listed: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in listed)


def _has_only(table: pd.DataFrame, name: str, value: object) -> bool:
    column = COLUMNS.get(name, name)
    return column in table.columns and not isinstance(value, list) and bool((table[column] == value).all())


def why_not(claim: Claim, figure: str, table: pd.DataFrame, *, scale: str, stand_in: bool, changed: Changes) -> str:
    """Why a run cannot decide a claim; "" where it can."""
    if not len(table):
        return "nothing is stored"
    if STANDS_FOR.get(scale, scale) not in claim.scales:
        return f"it is about scale={' and '.join(claim.scales)}"
    if claim.real_data and stand_in:
        return STAND_IN
    if not claim.of_any_data and (
        own := [name for name in changed if setting(name) == "data.path" and _is_about(claim, name)]
    ):
        return f"{', '.join(own)} changed"
    names = changed_for(claim, figure, changed, table)
    if not names:
        return ""
    ended = (
        f"the run ends at t = {_end_of(table):.4g}, not at {claim.until:g}: "
        if _cut_short(claim, changed, table)
        else ""
    )
    return f"{ended}{', '.join(names)} changed"


def _cut_short(claim: Claim, changed: Changes, table: pd.DataFrame) -> bool:
    """Whether changed settings have it end well before the time that the claim is about."""
    if claim.until is None or not any(_among(setting(name), MOVES) for name in _changed_here(claim, changed, table)):
        return False
    return _end_of(table) < NEARLY * claim.until


def _end_of(table: pd.DataFrame) -> float:
    """The last time of the cell that ends first."""
    return float(table.groupby("cell")["time"].max().min())


def judge(
    claim: Claim,
    figure: str,
    table: pd.DataFrame,
    *,
    scale: str,
    stand_in: bool,
    changed: Changes,
    incomplete: bool = False,
    fitted: Collection[str] = (),
) -> Verdict:
    """Measure and compare; a claim that means nothing here (scale, stand-in data, settings) is measured but not judged.

    changed     the settings that are other than the shipped ones of this scale
    incomplete  cells are still missing
    fitted      patterns of the paper's curves that settings of the run were fitted to

    A run that was cut short is not measured where the claim is about its end.
    A measure that is nan where the claim does apply is a fail: the run did not produce what the claim is about.  Unless cells
    are missing or settings are changed, the usual cause of it: then it is not judged.
    """
    measured = math.nan if not len(table) or _cut_short(claim, changed, table) else float(claim.measure(table))
    reason = why_not(claim, figure, table, scale=scale, stand_in=stand_in, changed=changed)
    if not reason and math.isnan(measured):
        if incomplete:
            reason = "cells are missing"
        elif changed:
            reason = f"it cannot be measured: {', '.join(_unmeasured_for(claim, figure, changed, table))} changed"
    low, high = claim.band
    return Verdict(
        id=claim.id,
        figure=figure,
        source=claim.source,
        kind=claim.kind,
        expected=claim.expected,
        low=_finite(low),
        high=_finite(high),
        measured=_finite(measured),
        verdict="not_judged" if reason else "pass" if low <= measured <= high else "fail",
        why=claim.why,
        sentence=claim.sentence,
        reason=reason,
        fitted_to=sorted(curves_named(claim.reference) & curves_named(fitted)),
    )
