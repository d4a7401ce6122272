"""Relative errors of Monte Carlo kernels over a grid of widths n and draws M: what Figures S9 and S10 share.

error(n, M) = ||<K_hat>_M - K||_F / ||K||_F over the inputs, and the same for Theta.  For one hidden layer the estimate
is an average over n M independent units, so that error^2 has the mean V/(n M): both slopes are -1/2, and err sqrt(n M)
has one value for the whole grid.  Every width has its own draws; along M a draw serves all larger M.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from ntkrun import tables
from ntkrun.claims import Claim
from ntkrun.data.basis import span_coordinates
from ntkrun.experiments.base import CellResult, cell_key, shared_key
from ntkrun.fits import power_law
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.kernels.monte_carlo import sampled_kernels
from ntkrun.models import build_model
from ntkrun.plotting import paper_curve
from ntkrun.progress import Progress
from ntkrun.reference import paper_panel
from ntkrun.settings import MonteCarloSettings

NAMES = {"nngp": r"\hat{\mathcal{K}}", "ntk": r"\hat{\Theta}"}


def estimate(settings: MonteCarloSettings, cell: str, progress: Progress) -> CellResult:
    """Run one cell: draw M networks of one width, and record the errors of their running averages at M = 1, 2, 4, ..."""
    fields = settings.model.model_dump()
    model = build_model(fields.pop("name"), n_outputs=1, **fields)
    shape = (settings.inputs, settings.input_dim)
    x = np.asarray(jax.random.normal(shared_key(settings, "inputs"), shape, jnp.float64))
    kept = ("depth", "activation", "sigma_w2", "sigma_b2", "parameterization")
    tiles, width = settings.theory.tile_bytes, settings.model.width
    exact = analytic_kernels(x, **{name: fields[name] for name in kept}, width=width, tile_bytes=tiles)
    drawn = sampled_kernels(model, span_coordinates(x)[0], cell_key(settings, "networks"), settings.draws)
    progress.start(f"{settings.experiment} {cell}", settings.draws)
    counts, errors = [], []
    for count, kernels in drawn:
        progress.advance(count - (counts[-1] if counts else 0))
        counts.append(count)
        errors.append([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(kernels, exact, strict=True)])
    depth, times = settings.model.depth, [float(count) for count in counts]
    rows = [
        tables.rows(f"error/{kernel}_l{depth}", "", counts, times, np.asarray(errors)[:, column])
        for column, kernel in enumerate(exact._fields)
    ]
    return CellResult(tables.tidy(rows, figure=settings.experiment, cell=cell, seed=settings.seed, width=width))


def grid(table: pd.DataFrame, panel: str) -> pd.DataFrame:
    """Errors of one kernel and depth ("nngp_l1"): rows n, columns M; the mean over seeds."""
    chosen = table[table["curve"] == f"error/{panel}"]
    return chosen.pivot_table(index="width", columns="step", values="value")


def slope_in_width(table: pd.DataFrame, panel: str) -> float:
    """d log error / d log n, the mean over M."""
    errors = grid(table, panel)
    return float(np.mean([power_law(errors.index.to_numpy(float), errors[m]).slope for m in errors.columns]))


def slope_in_draws(table: pd.DataFrame, panel: str) -> float:
    """d log error / d log M, the mean over n."""
    errors = grid(table, panel)
    return float(np.mean([power_law(errors.columns.to_numpy(float), errors.loc[n]).slope for n in errors.index]))


def prefactor(table: pd.DataFrame, panel: str) -> float:
    """Geometric mean of error sqrt(n M) over the grid."""
    errors = grid(table, panel)
    units = np.outer(errors.index.to_numpy(float), errors.columns.to_numpy(float))
    return float(np.exp(np.mean(np.log(errors.to_numpy() * np.sqrt(units)))))


def draw_curve(ax: Axes, curve: pd.Series, paper: tuple[str, str, str], colour: str, label: str) -> None:
    """One line of errors over the paper's points (figure, panel, curve)."""
    figure, panel, name = paper
    points = paper_panel(figure, panel).get(name)
    if points is not None:
        paper_curve(ax, points, (panel, name), curve, color=colour)
    ax.plot(curve.index, curve.to_numpy(), color=colour, label=label)


def paper_distance(table: pd.DataFrame, panel: str, figure: str, paper: str) -> float:
    """Root mean square of log2(ours / paper's) over the (n, M) that both have; the paper's curves are named n<n>."""
    errors, curves = grid(table, panel), paper_panel(figure, paper)
    logs = [
        np.log2(errors.loc[n, m] / y)
        for n in errors.index
        for m, y in curves.get(f"n{n}", pd.DataFrame({"x": [], "y": []}))[["x", "y"]].to_numpy()
        if m in errors.columns
    ]
    return float(np.sqrt(np.mean(np.square(logs)))) if logs else float("nan")


def shades(count: int) -> list[str]:
    """Colours in order, dark to light."""
    return [to_hex(colormaps["viridis"](value)) for value in np.linspace(0.0, 0.88, count)]


REGIME = ("cpu", "paper")


def slope_claims(figure: str, name: str, panel: str, reach: float, why: str) -> list[Claim]:
    """Both mean slopes are -1/2 to within `reach`; `name` is the panel's in the claims' ids."""
    measures = {"n": slope_in_width, "M": slope_in_draws}
    return [
        Claim(
            f"{figure}.{name}_slope_in_{letter}",
            f"{figure}, {name}: mean slope of log error in log {letter}",
            "theory",
            lambda table, measure=measure: measure(table, panel),
            "-1/2",
            -0.5 - reach,
            -0.5 + reach,
            REGIME,
            why,
            real_data=False,
        )
        for letter, measure in measures.items()
    ]


def factor_claim(figure: str, name: str, panel: str, paper: float, ratio: float, why: str) -> Claim:
    """The geometric mean of error sqrt(n M) is the paper's to within a factor `ratio`."""
    return Claim(
        f"{figure}.{name}_factor",
        f"{figure}, {name}: geometric mean of error sqrt(n M)",
        "read_off",
        lambda table: prefactor(table, panel),
        str(paper),
        paper / ratio,
        paper * ratio,
        REGIME,
        why,
        real_data=False,
    )
