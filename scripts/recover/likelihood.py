"""How well a hypothesis about the settings explains numbers that were read from a figure.

A hypothesis is simulated: `draws` are the same numbers for settings it names and random images, initial outputs and
networks.  Their distribution is taken as Gaussian,

    log p(observed | hypothesis) = log N(observed; mean, C + diag(nugget^2)),

with the mean and the covariance C of the draws (Ledoit and Wolf's shrunk estimate: there are not many more draws than
numbers).  The nugget is what no draw contains: widths that are finite where the theory's are not, and steps where it has
flow.  Without it two neighbouring points of one loss curve, which all draws bind together to a per cent, would decide
alone.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf

from ntkrun.types import Float64, NumpyArray


@dataclass(frozen=True)
class Fit:
    """Log-likelihood (natural), and the share of the hypothesis's own draws that lie at least as far out: its p-value."""

    log_likelihood: float
    p_value: float


def fit(
    draws: Float64[NumpyArray, "draws numbers"],
    observed: Float64[NumpyArray, " numbers"],
    nugget: Float64[NumpyArray, " numbers"],
) -> Fit:
    """The numbers read from the paper, under one hypothesis.

    A p-value near 0 says that the hypothesis is wrong whatever it is compared with; log-likelihoods compare hypotheses.
    Its smallest value is 1/(draws + 1).  The draws whose distance is measured are those that made the covariance, so
    that with few of them it is a little too small.
    """
    sd = np.maximum(draws.std(axis=0), nugget)
    scaled, _ = ledoit_wolf((draws - draws.mean(axis=0)) / sd)  # shrinks to a multiple of 1: all numbers on one scale
    covariance = scaled * np.outer(sd, sd) + np.diag(nugget**2)
    root = np.linalg.cholesky(covariance)
    rng = np.random.default_rng(0)
    noisy = draws + nugget * rng.standard_normal(draws.shape)

    def squared_distance(values: NumpyArray) -> NumpyArray:
        return (np.linalg.solve(root, np.atleast_2d(values - draws.mean(axis=0)).T) ** 2).sum(axis=0)

    far = squared_distance(observed)[0]
    log_volume = np.log(np.diag(root)).sum() + len(observed) / 2 * np.log(2 * np.pi)
    return Fit(float(-far / 2 - log_volume), float((1 + (squared_distance(noisy) >= far).sum()) / (1 + len(draws))))


def averaged(log_likelihoods: Float64[NumpyArray, " values"]) -> float:
    """log of the mean likelihood over values of a setting that the hypothesis leaves open, all alike before."""
    top = np.max(log_likelihoods)
    return float(top + np.log(np.mean(np.exp(log_likelihoods - top))))
