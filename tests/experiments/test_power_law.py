"""Power laws: exact where there is no scatter, calibrated where there is."""

import math

import numpy as np
import pytest

from ntkrun.experiments.analysis.power_law import average, largest, power_law, smallest

WIDTHS = 2.0 ** np.arange(4, 10)


def test_an_exact_power_law_is_found():
    fit = power_law(WIDTHS, 3 * WIDTHS**-0.5)
    np.testing.assert_allclose([fit.slope, fit.prefactor, fit.low, fit.high], [-0.5, 3, -0.5, -0.5], rtol=1e-12)
    np.testing.assert_allclose(fit.at(np.array([16.0, 64.0])), [0.75, 0.375], rtol=1e-12)


def test_the_interval_holds_the_slope_as_often_as_it_says():
    rng = np.random.default_rng(0)
    draws = 2000
    noise = np.exp(0.1 * rng.standard_normal((draws, len(WIDTHS))))
    fits = [power_law(WIDTHS, WIDTHS**-0.5 * factor, confidence=0.9) for factor in noise]
    held = np.mean([fit.low <= -0.5 <= fit.high for fit in fits])
    assert abs(held - 0.9) < 4 * math.sqrt(0.09 / draws)  # four standard errors of the share
    spread = np.std([fit.slope for fit in fits])
    # the mean of stderr (4 degrees of freedom) lies 6 % below the true one, and the spread is known to 2 %
    assert abs(np.mean([fit.stderr for fit in fits]) / spread - 0.94) < 0.06


def test_two_points_fix_a_line_and_no_interval():
    fit = power_law([1, 4], [8, 2])
    assert fit.slope == pytest.approx(-1) and fit.low == -math.inf and fit.high == math.inf


@pytest.mark.parametrize("y", [[1.0], [1.0, 0.0, 2.0], [1.0, math.nan, 2.0], [1.0, math.inf, 2.0]])
def test_what_has_no_slope_is_nan(y):
    assert math.isnan(power_law(WIDTHS[: len(y)], y).slope)


def test_equal_abscissae_have_no_slope():
    assert math.isnan(power_law([2, 2, 2], [1, 2, 3]).slope)


def test_an_average_of_nothing_is_nan_and_no_warning():
    assert (average([1, 4]), largest([1, 4]), smallest([1, 4])) == (2.5, 4.0, 1.0)
    for extreme in (largest, smallest):
        assert math.isnan(extreme([])) and math.isnan(extreme([1.0, math.nan])) and math.isnan(extreme([math.nan, 1.0]))
    assert math.isnan(average([])) and math.isnan(average([1.0, math.nan]))
