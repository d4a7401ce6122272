"""Ensembles of networks against theory: what is measured on the tables of `runs.output_ensemble`, and its panels."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import largest
from ntkrun.experiments.claims import ANY_SETTING, Claim
from ntkrun.experiments.probes import probes
from ntkrun.experiments.style import BLUE, GREEN, PAPER_MARK, VERMILION, has_points, legend, paper_curve
from ntkrun.reference import panel_points

OUTPUTS = curves.OUTPUT.of(curves.NETWORK)
COLUMNS = ("trained",)  # the setting that tells the networks of a table apart


def readout_only(table: pd.DataFrame) -> pd.DataFrame:
    """The networks of which only the last layer is trained."""
    return table[table["trained"] == "readout"]


def all_layers(table: pd.DataFrame) -> pd.DataFrame:
    """The networks of which all layers are trained."""
    return table[table["trained"] == "all"]


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """The networks of the panels: those of which all layers are trained, the others where there are no such."""
    return chosen if len(chosen := all_layers(table)) else table


def grid(table: pd.DataFrame) -> np.ndarray:
    """The alphas, (m,)."""
    return table[table["curve"] == curves.ALPHA].groupby("index")["value"].first().to_numpy()


def curve(table: pd.DataFrame, name: str, time: float | int) -> np.ndarray:
    """A curve of the theory at that time, by index; nan where that is not recorded."""
    chosen = table[table["curve"] == name]
    values = chosen[_at(chosen, time)].drop_duplicates("index").set_index("index")["value"]
    return values.reindex(np.unique(chosen["index"])).to_numpy()


def _at(chosen: pd.DataFrame, time: float | int) -> np.ndarray:
    """Which rows are of that time."""
    return np.isclose(chosen["time"], time, rtol=1e-6, atol=0.0)


def functions(table: pd.DataFrame, time: float | int) -> np.ndarray:
    """Outputs of every network at that time, (S, m); nan where that is not recorded."""
    chosen = table[table["curve"] == OUTPUTS]
    values = chosen[_at(chosen, time)].groupby(["seed", "index"])["value"].first().unstack("index")
    return values.reindex(index=np.unique(chosen["seed"]), columns=np.unique(chosen["index"])).to_numpy()


def sampled_sd(f: np.ndarray) -> np.ndarray:
    """Standard deviation over networks of (S, m), estimated; nan for one network."""
    return f.std(axis=0, ddof=1) if len(f) > 1 else np.full(f.shape[1:], np.nan)


Measure = Callable[..., float]


def of_networks(measure: Measure) -> Measure:
    """The measure; nan for a table without networks, whose part did not run."""

    @wraps(measure)
    def measured(table: pd.DataFrame, *time: float | int) -> float:
        return measure(table, *time) if (table["curve"] == OUTPUTS).any() else float("nan")

    return measured


def whitened(table: pd.DataFrame, time: float | int) -> np.ndarray:
    """L^-1 (f - mu) at the probes, L L^T = Sigma of (15): (S, p) independent N(0, 1) if the theory holds."""
    at = probes(grid(table))
    sigma = curve(table, curves.COVARIANCE.of(curves.NTK), time).reshape(len(at), len(at))
    error = functions(table, time)[:, at] - curve(table, curves.MEAN.of(curves.NTK), time)[at]
    return np.linalg.solve(np.linalg.cholesky(sigma), error.T).T


@of_networks
def mean_z(table: pd.DataFrame, time: float | int) -> float:
    """S |mean of whitened|^2 is chi^2 with p degrees of freedom: its distance from p in units of sqrt(2 p)."""
    u = whitened(table, time)
    return float((len(u) * np.sum(u.mean(axis=0) ** 2) - u.shape[1]) / np.sqrt(2 * u.shape[1]))


@of_networks
def variance_z(table: pd.DataFrame, time: float | int) -> float:
    """The sum of squares about the mean is chi^2 with p (S - 1) degrees of freedom: likewise; nan for one network."""
    u = whitened(table, time)
    freedom = u.shape[1] * (len(u) - 1)
    if not freedom:
        return float("nan")
    return float((np.sum((u - u.mean(axis=0)) ** 2) - freedom) / np.sqrt(2 * freedom))


COLOURS = {"nn": BLUE, curves.NTK: VERMILION, curves.NNGP: GREEN}  # by the names of the paper's curves
LABELS = {"nn": "networks", curves.NTK: "NTK: all layers, (14, 15)", curves.NNGP: "NNGP: readout, (S22, S23)"}
EDGES = {"lower": -2, "mean": 0, "upper": 2}  # of a band, in sd
DOT_SPACING = 0.2  # of the paper's curves, which hold 200 points or a few corners


def times_of(table: pd.DataFrame) -> list[float]:
    """The recorded times."""
    return sorted(float(time) for time in table.loc[table["curve"] == OUTPUTS, "time"].unique())


def size(table: pd.DataFrame) -> tuple[float, float]:
    """Of `band_panels`, inches."""
    return 3.0 * len(times_of(drawn(table))) + 0.6, 3.6


def band_panels(figure: FigureBase, table: pd.DataFrame, paper: str, members: bool = False) -> None:
    """One panel a recorded time; `members`: the single functions too."""
    times = times_of(table)
    axes = figure.subplots(1, len(times), sharey=True, squeeze=False)[0]
    for ax, time in zip(axes, times, strict=True):
        _over_paper(ax, paper, time, _bands(ax, table, time, members))
        ax.set_title(f"t = {time:g}")
        ax.set_xlabel(r"input $\alpha$")
        ax.set_ylim(-3.0, 3.0)
    axes[0].set_ylabel("output f(x)" if len(all_layers(table)) else "output f(x), readout trained")
    entries: dict[str, dict[str, Any]] = {LABELS[name]: {"color": colour} for name, colour in COLOURS.items()}
    entries |= {"2 sd": {"color": "0.3", "linestyle": "--"}}
    entries |= {"paper": PAPER_MARK | {"color": "0.3"}} if has_points(figure) else {}
    entries |= {"training points": {"color": "black", "linestyle": "none", "marker": "o", "markersize": 4}}
    legend(axes[0], entries, loc="lower center", ncols=2)


def _bands(ax: Axes, table: pd.DataFrame, time: float, members: bool) -> dict[str, pd.Series]:
    """Draw them; the curves by the paper's names, "nn_mean" and so on."""
    alphas, f = grid(table), functions(table, time)
    if members:
        ax.plot(alphas, f.T, color="0.55", linewidth=0.3, alpha=0.5, zorder=0.5, label="single network")
    bands = {"nn": (f.mean(axis=0), f.std(axis=0))}
    for name in (curves.NTK, curves.NNGP):
        # where the true variance is 0 rounding may leave -1e-16
        variance = np.maximum(curve(table, curves.VARIANCE.of(name), time), 0.0)
        bands[name] = (curve(table, curves.MEAN.of(name), time), np.sqrt(variance))
    drawn = {}
    for name, (mean, sd) in bands.items():
        for place, sign in EDGES.items():
            drawn[f"{name}_{place}"] = line = pd.Series(mean + sign * sd, index=alphas)
            look = {"linestyle": "--", "linewidth": 0.9} if sign else {}
            ax.plot(line.index, line, color=COLOURS[name], label=f"{LABELS[name]}, {place}", **look)
    ax.fill_between(alphas, *(bands["nn"][0] + sign * bands["nn"][1] for sign in (-2, 2)), color=BLUE, alpha=0.12)
    ax.plot(
        [1.0, 0.0],
        curve(table, curves.TARGET, 0.0),
        color="black",
        linestyle="none",
        marker="o",
        markersize=4,
        zorder=5,
        label="training points",
    )
    return drawn


def _over_paper(ax: Axes, paper: str, time: float, ours: dict[str, pd.Series]) -> None:
    x = np.arange(-2.0, 3.0 + 1e-9, DOT_SPACING)
    for name, points in panel_points(paper, f"t{time:g}").items():
        if name in ours and len(points) > 1:
            dots = pd.DataFrame({"x": x, "y": np.interp(x, points["x"], points["y"])})
            look = {"color": COLOURS[name.split("_")[0]], "markersize": 2.6}
            paper_curve(ax, dots, (f"t{time:g}", name), ours[name], **look)


@of_networks
def sd_at_minus_2(table: pd.DataFrame, time: float | int) -> float:
    """The sd of the networks at alpha = -2, the first of the grid."""
    return float(sampled_sd(functions(table, time))[0])


@of_networks
def data_point_sd(table: pd.DataFrame, time: float | int) -> float:
    """The larger sd of the networks at the two training inputs."""
    end = functions(table, time)
    return float(max(sampled_sd(end)[np.abs(grid(table) - alpha).argmin()] for alpha in (0.0, 1.0)))


@of_networks
def flatness(table: pd.DataFrame) -> float:
    """Largest departure over alpha of 2 sd of eq. (15) at t = 0 from 1.28."""
    return float(np.abs(2 * np.sqrt(curve(table, curves.VARIANCE.of(curves.NTK), 0)) - 1.28).max())


@of_networks
def nngp_distance(table: pd.DataFrame, time: float | int) -> float:
    """Largest |mean of NNGP - ensemble mean| over alpha, in standard errors of the ensemble mean."""
    f = functions(table, time)
    sd = sampled_sd(f)
    gap = np.abs(curve(table, curves.MEAN.of(curves.NNGP), time) - f.mean(axis=0))
    inside = ~(sd <= 0.05)  # away from the training points; nan stays in
    return largest((gap / (sd / np.sqrt(len(f))))[inside])


def calibrated(figure: str, time: int) -> tuple[Claim, Claim]:
    """Mean and covariance of networks of which all layers are trained are those of the theory at that time."""
    return (
        Claim(
            id=f"{figure}.mean_z_t{time}",
            sentence=f"At t = {time} the mean of the trained networks is that of eq. (14).",
            depends_on=ANY_SETTING,
            parts=("all",),
            source="eq. (14) against the ensemble's mean, whitened by (15) at five alphas",
            kind="theory",
            measure=lambda table: mean_z(all_layers(table), time),
            expected="0 +- 1 (chi^2 with 5 degrees of freedom)",
            band=(-1.51, 4.9),
            why=(
                "chi^2 between its 1 in 1000 points .21 and 20.5; a bias O(1/n) of .04 at n = 256, against standard errors of "
                ".03 to .06, would add 1 to 2"
            ),
            real_data=False,
        ),
        Claim(
            id=f"{figure}.variance_z_t{time}",
            sentence=f"At t = {time} the covariance of the trained networks is that of eq. (15).",
            depends_on=ANY_SETTING,
            parts=("all",),
            source="eq. (15) against the ensemble's covariance at five alphas",
            kind="theory",
            measure=lambda table: variance_z(all_layers(table), time),
            expected="0 +- 1",
            band=(-3.3, 3.3),
            why="1 in 1000 of a standard normal; a relative bias of c/n in the variance adds 16 c/n, .6 at n = 256, c = 10",
            real_data=False,
        ),
    )
