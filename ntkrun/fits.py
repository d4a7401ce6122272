"""Power laws y = C x^s: straight lines through log y against log x, with the interval their scatter leaves."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np
from scipy import stats

from ntkrun.types import AnyArray, Float


@dataclass(frozen=True)
class PowerLaw:
    """y = prefactor x^slope; [low, high] holds the slope with the confidence asked for, `stderr` is its standard error.

    All are nan where no line is determined (fewer than two different x, or a value that is not positive and finite), so
    that a claim measured by one fails; two points leave no scatter to judge by, and the interval is the whole axis.
    """

    slope: float
    prefactor: float
    stderr: float
    low: float
    high: float

    def at(self, x: Float[AnyArray, " points"]) -> Float[AnyArray, " points"]:
        """The fitted line at x."""
        return self.prefactor * np.asarray(x, np.float64) ** self.slope


NONE = PowerLaw(math.nan, math.nan, math.nan, math.nan, math.nan)


def power_law(x: Iterable[SupportsFloat], y: Iterable[SupportsFloat], confidence: float = 0.95) -> PowerLaw:
    """Least squares of log y on log x, every point with the same weight: right for an error that is a share of y.

    The interval is Student's with (points - 2) degrees of freedom.  It holds for points that scatter independently:
    average over seeds that share nothing, not over times of one run.
    """
    abscissa, ordinate = (np.asarray(list(values), np.float64) for values in (x, y))
    usable = np.all(np.isfinite(ordinate) & (ordinate > 0)) and np.all(abscissa > 0)
    if not usable or len(np.unique(abscissa)) < 2:
        return NONE
    line: Any = stats.linregress(np.log(abscissa), np.log(ordinate))
    slope, stderr = float(line.slope), float(line.stderr)
    freedom = len(abscissa) - 2
    reach = stderr * float(stats.t.ppf((1 + confidence) / 2, freedom)) if freedom > 0 else math.inf
    return PowerLaw(slope, math.exp(line.intercept), stderr, slope - reach, slope + reach)
