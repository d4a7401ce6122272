"""Power laws y = C x^s: straight lines through log y against log x, with the interval their scatter leaves; averages,
extremes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import SupportsFloat

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ntkrun.errors import UserError


@dataclass(frozen=True)
class PowerLaw:
    """y = prefactor x^slope; [low, high] holds the slope with the confidence asked for, `stderr` is its standard error,
    estimated with `freedom` degrees of freedom.

    All are nan where no line is determined (fewer than two different x, or an x or y that is not positive and finite), so
    that a claim measured by one fails; two points leave no scatter to judge by, and the interval is the whole axis.
    """

    slope: float
    prefactor: float
    stderr: float
    freedom: int
    confidence: float

    @cached_property
    def _reach(self) -> float:
        from scipy.special import stdtrit  # a third of a second to import, for those who ask for the interval

        return self.stderr * float(stdtrit(self.freedom, (1 + self.confidence) / 2)) if self.freedom > 0 else math.inf

    @property
    def low(self) -> float:
        return self.slope - self._reach

    @property
    def high(self) -> float:
        return self.slope + self._reach

    def at(self, x: np.ndarray) -> np.ndarray:
        """The fitted line at x, both (points,)."""
        return self.prefactor * np.asarray(x, np.float64) ** self.slope


NONE = PowerLaw(math.nan, math.nan, math.nan, 0, math.nan)


def power_law(x: Iterable[SupportsFloat], y: Iterable[SupportsFloat], confidence: float = 0.95) -> PowerLaw:
    """Least squares of log y on log x, every point with the same weight: right for an error that is a share of y.

    The interval is Student's with (points - 2) degrees of freedom.  It holds for points that scatter independently:
    average over seeds that share nothing, not over times of one run.  Where no line is determined (fewer than two different
    x, or an x or y that is not positive and finite) all numbers of the result are nan.  Raises `UserError` for what are no
    numbers, unless there are as many of x as of y, and for a confidence that does not lie between 0 and 1.
    """
    try:
        abscissa, ordinate = (np.asarray(list(values), np.float64) for values in (x, y))
    except (TypeError, ValueError) as error:
        raise UserError(f"a power law is fitted to numbers x and y, not to {str(x)[:30]} and {str(y)[:30]}") from error
    if abscissa.shape != ordinate.shape or abscissa.ndim != 1:
        raise UserError(f"x has the shape {abscissa.shape} and y {ordinate.shape}: give one y for each x")
    if not (isinstance(confidence, int | float | np.number) and 0 < confidence < 1):
        raise UserError(f"confidence = {confidence!r}: it must be a number between 0 and 1, 0.95, say")
    usable = all(np.all(np.isfinite(values) & (values > 0)) for values in (abscissa, ordinate))
    if not usable or len(np.unique(abscissa)) < 2:
        return NONE
    u, v = np.log(abscissa), np.log(ordinate)
    from_mean = u - u.mean()
    square, freedom = float(from_mean @ from_mean), len(u) - 2
    slope = float(from_mean @ v) / square
    intercept = float(v.mean() - slope * u.mean())
    residuals = v - intercept - slope * u
    stderr = math.sqrt(float(residuals @ residuals) / freedom / square) if freedom > 0 else 0.0
    return PowerLaw(slope, math.exp(intercept), stderr, freedom, confidence)


# Of nothing, and of values of which one is nan, these are nan, so that a claim measured by them fails.


def average(values: ArrayLike) -> float:
    """The mean."""
    found = np.asarray(values, np.float64)
    return float(np.mean(found)) if found.size else math.nan


def largest(values: ArrayLike) -> float:
    """The maximum."""
    found = np.asarray(values, np.float64)
    return float(np.max(found)) if found.size else math.nan


def smallest(values: ArrayLike) -> float:
    """The minimum."""
    return -largest(-np.asarray(values, np.float64))


def vertex(curve: pd.Series, place: int) -> tuple[float, float]:
    """Abscissa and height of the parabola through a point of a positive curve and its two neighbours, logarithms on both axes."""
    near = curve.iloc[place - 1 : place + 2]
    a, b, c = np.polyfit(np.log(near.index / near.index[1]), np.log(near.to_numpy()), 2)
    return float(near.index[1] * np.exp(-b / (2 * a))), float(np.exp(c - b**2 / (4 * a)))
