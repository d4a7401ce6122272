"""Ensembles of networks against theory: the settings of `output_ensemble`, and what is measured on its tables."""

import numpy as np
import pandas as pd
from pydantic import model_validator

from ntkrun.sections import Count, Index, NonNegative, Positive
from ntkrun.settings import EnsembleSettings

# Far apart, so that the outputs there are not nearly one number; away from the training points, where variances vanish.
PROBES = (-2.0, -1.0, 0.5, 2.0, 3.0)


class OutputEnsembleSettings(EnsembleSettings):
    """Networks trained by full-batch gradient descent, for which (14), (15) hold in discrete time."""

    alphas: Count  # grid points of alpha in [-2, 3]
    points: tuple[Index, Index]  # x_1 (alpha = 1) and x_2 (alpha = 0): which training inputs
    times: tuple[NonNegative, ...]  # of the panels, on the axis of optimizer.time_per_eta
    converged: Positive | None  # training ends when no output is farther than this from its target; null: never

    @model_validator(mode="after")
    def _theory_holds(self) -> "OutputEnsembleSettings":
        plain = self.optimizer.name == "gd" and self.optimizer.batch_size is None and self.loss == "mse"
        if not plain or self.model.parameterization != "ntk":
            raise ValueError("the theory here is for optimizer=gd, full batches, loss=mse, model.parameterization=ntk")
        return self


def probes(alphas: np.ndarray) -> np.ndarray:
    """Indices of the grid points nearest to PROBES."""
    return np.abs(alphas[:, None] - np.array(PROBES)).argmin(axis=0)


def readout_part(table: pd.DataFrame) -> pd.DataFrame:
    """The cells of part `readout`, in which only the last layer is trained."""
    return table[_is_readout(table)]


def all_layers(table: pd.DataFrame) -> pd.DataFrame:
    """The cells in which all layers are trained."""
    return table[~_is_readout(table)]


def _is_readout(table: pd.DataFrame) -> pd.Series:
    return table["cell"].str.startswith("part=readout")


def grid(table: pd.DataFrame) -> np.ndarray:
    """The alphas, (m,)."""
    return table[table["curve"] == "alpha"].groupby("index")["value"].first().to_numpy()


def curve(table: pd.DataFrame, name: str, time: float | int) -> np.ndarray:
    """A curve of the theory at the recorded time nearest to `time`, by index."""
    chosen = table[table["curve"] == name]
    nearest = chosen["time"].iloc[(chosen["time"] - time).abs().argmin()]
    return chosen[chosen["time"] == nearest].groupby("index")["value"].first().to_numpy()


def functions(table: pd.DataFrame, time: float | int) -> np.ndarray:
    """Outputs of every network at that time, (S, m)."""
    chosen = table[table["curve"] == "output/network"]
    nearest = chosen["time"].iloc[(chosen["time"] - time).abs().argmin()]
    return chosen[chosen["time"] == nearest].pivot_table(index="seed", columns="index", values="value").to_numpy()


def whitened(table: pd.DataFrame, time: float | int) -> np.ndarray:
    """L^-1 (f - mu) at the probes, L L^T = Sigma of (15): (S, p) independent N(0, 1) if the theory holds."""
    at = probes(grid(table))
    sigma = curve(table, "covariance/ntk", time).reshape(len(at), len(at))
    error = functions(table, time)[:, at] - curve(table, "mean/ntk", time)[at]
    return np.linalg.solve(np.linalg.cholesky(sigma), error.T).T


def mean_z(table: pd.DataFrame, time: float | int) -> float:
    """S |mean of whitened|^2 is chi^2 with p degrees of freedom: its distance from p in units of sqrt(2 p)."""
    u = whitened(table, time)
    return float((len(u) * np.sum(u.mean(axis=0) ** 2) - u.shape[1]) / np.sqrt(2 * u.shape[1]))


def variance_z(table: pd.DataFrame, time: float | int) -> float:
    """The sum of squares about the mean is chi^2 with p (S - 1) degrees of freedom: likewise."""
    u = whitened(table, time)
    freedom = u.shape[1] * (len(u) - 1)
    return float((np.sum((u - u.mean(axis=0)) ** 2) - freedom) / np.sqrt(2 * freedom))
