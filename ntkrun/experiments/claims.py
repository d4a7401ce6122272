"""What the paper says, as numbers that a table can be held against.

A claim's band [low, high] and its reason are written before the run; a failing claim stays visible.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Kind = Literal["stated", "theory", "read_off"]
ALL_SCALES = ("smoke", "cpu", "paper")
REGIME = ("cpu", "paper")  # where networks are wide and train long enough for what the paper says of them
# scale=gpu has the paper's widths, networks and times, in other steps of them: what is judged there is judged here
STANDS_FOR = {"gpu": "paper"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One checkable sentence.

    id        unique, "<figure>.<what>"          source    where the paper (or theory) says it
    kind      stated | theory | read_off (from the digitised curves)
    measure   table -> number (tables only, no computation with models)
    expected  the paper's number, as text        band      (lowest, highest), inclusive
    why       why the band has this width
    scales    scales at which it means something; elsewhere the verdict is not_judged
    real_data whether it is about the paper's data set, so that stand-in images cannot decide it
    """

    id: str
    source: str
    kind: Kind
    measure: Callable[[pd.DataFrame], float]
    expected: str
    band: tuple[float, float]
    why: str
    scales: tuple[str, ...] = REGIME
    real_data: bool = True


@dataclass(frozen=True)
class Verdict:
    """One line of claims.json.

    combination  values of what is swept beyond what the figure shows apart, "n = 32, phi = tanh"; "" where nothing is
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
    combination: str = ""


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def judge(
    claim: Claim, figure: str, table: pd.DataFrame, *, scale: str, stand_in: bool, incomplete: bool = False
) -> Verdict:
    """Measure and compare; a claim that means nothing here (scale, stand-in data) is measured but not judged.

    A measure that is nan where the claim does apply is a fail: the run did not produce what the claim is about.  Unless cells
    are still missing (`incomplete`): then it is not judged.
    """
    measured = float(claim.measure(table)) if len(table) else math.nan
    applies = STANDS_FOR.get(scale, scale) in claim.scales and not (claim.real_data and stand_in) and len(table) > 0
    applies = applies and not (incomplete and math.isnan(measured))
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
        verdict=("pass" if low <= measured <= high else "fail") if applies else "not_judged",
        why=claim.why,
    )
