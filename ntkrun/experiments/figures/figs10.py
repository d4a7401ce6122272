"""Figure S10: Monte Carlo averages of the kernels of one-hidden-layer networks against the number of draws.

Panels   relative Frobenius error of K_hat (top) and Theta_hat (bottom): (a, c) against the number of draws M, one curve
         per width n = 1, 2, ..., 4096, with the guide M^-1/2; (b, d) as a heat map over M and n.
Setting  ReLU, L = 1, the inputs and constants of Figure S9, whose L = 1 panels are the same run at fewer n and M.
Theory   (S24)-(S29).  An estimate is an average over n M independent units: error ~ (n M)^-1/2 in both directions, and
         the heat map is constant along n M = const.
Here     every width has draws of its own, as in the paper: one run of n M units could serve the whole grid, but its
         curves would then not be independent, and their agreement would show nothing (docs/figure_s9_s10.md).
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.kernel_estimates import (
    COLUMNS,
    NAMES,
    Panel,
    draw_curve,
    factor_claim,
    grid,
    grids,
    look_entries,
    paper_distance,
    slope_claims,
)
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Claim
from ntkrun.experiments.runs import KERNEL_ESTIMATES
from ntkrun.experiments.style import legend, panel_letter, seeds_band, seeds_entry, shades
from ntkrun.experiments.titles import ACTIVATION, DEPTH
from ntkrun.settings.runs import MonteCarloSettings


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    axes = figure.subplots(2, 2)
    (depth,) = table["model.depth"].unique()
    panels = {kernel: Panel(kernel, int(depth)) for kernel in NAMES}
    errors = {kernel: grid(table, shown) for kernel, shown in panels.items()}
    both = np.concatenate([found.to_numpy().ravel() for found in errors.values()])
    colours = LogNorm(np.nanmin(both), np.nanmax(both))  # one scale: the two maps can be held against each other
    for row, (kernel, shown) in enumerate(panels.items()):
        curves_panel(axes[row, 0], errors[kernel], grids(table, shown), kernel)
        mesh = heat_panel(axes[row, 1], errors[kernel], colours)
        figure.colorbar(mesh, ax=axes[row, 1], label="relative Frobenius error")
        axes[row, 0].set_title(f"${NAMES[kernel]}$")
        axes[row, 1].set_title(f"${NAMES[kernel]}$, ours")
    for letter, ax in zip("abcd", axes.flat, strict=True):
        panel_letter(ax, letter)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    looks = look_entries(figure) | {r"$M^{-1/2}$": {"color": "0.4", "linestyle": ":"}}
    legend(axes[1, 0], looks | seeds_entry(table), loc="lower left")


def curves_panel(ax: Axes, errors: pd.DataFrame, spread: pd.DataFrame, kernel: str) -> None:
    for colour, n in zip(shades(len(errors.index)), errors.index, strict=True):
        seeds_band(ax, spread.loc[[n]].droplevel("width"), colour)
        draw_curve(ax, errors.loc[n], ("figs10", kernel, f"n{n}"), colour, f"n = {n}")
    counts = errors.columns.to_numpy(float)
    ax.plot(counts, 2 * errors.to_numpy().max() * counts**-0.5, color="0.4", linestyle=":", gid=r"$M^{-1/2}$")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set(xlabel="draws M", ylabel="relative Frobenius error")


def heat_panel(ax: Axes, errors: pd.DataFrame, colours: LogNorm):
    """log2 M to the right, log2 n upwards; every grid point is the middle of its square."""
    mesh = ax.pcolormesh(
        np.log2(errors.columns.to_numpy(float)), np.log2(errors.index.to_numpy(float)), errors.to_numpy(),
        norm=colours, cmap="viridis", shading="nearest", rasterized=True,
    )  # fmt: skip
    ax.set(xlabel=r"$\log_2 M$", ylabel=r"$\log_2 n$")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False)
    return mesh


WHY_SLOPE = "an error scatters by a fifth, which leaves .02 to a mean slope over 11 widths; the paper's own is -.495"
WHY_FACTOR = "an error scatters by a fifth and the grid holds some 40 independent ones: 3 %, 5 % between two runs"
PAPER_FACTORS = {curves.NNGP: 2.52, curves.NTK: 2.34}


def claims_of(kernel: str) -> list[Claim]:
    panel = Panel(kernel, 1)
    return [
        *slope_claims("figs10", kernel, panel, 0.05, WHY_SLOPE),
        factor_claim("figs10", kernel, panel, PAPER_FACTORS[kernel], 1.12, WHY_FACTOR),
        Claim(
            id=f"figs10.{kernel}_paper_points",
            sentence=f"The errors of {kernel} are the paper's at every n and M.",
            source=f"Figure S10, {kernel}: rms of log2(ours / paper's) over the grid points of both",
            kind="read_off",
            reference=(f"figs10/{kernel}/*",),
            measure=lambda table: paper_distance(table, panel, "figs10", kernel),
            expected="two independent runs",
            band=(0.0, 0.49),
            why=(
                "two errors that scatter by a fifth each differ by .28, .4 in log2, which the rms of 40 independent points has "
                "to .045: two of these; a width or count wrong by 2 is 1/2"
            ),
            real_data=False,
        ),
    ]


CLAIMS = tuple(claim for kernel in PAPER_FACTORS for claim in claims_of(kernel))

EXPERIMENT = Experiment(
    name="figs10",
    title="Figure S10: Monte Carlo kernels against the number of draws (ReLU, L = 1)",
    title_names={"ReLU": ACTIVATION, "L = 1": DEPTH},
    run=KERNEL_ESTIMATES,
    draw=draw,
    size=(10.2, 6.6),
    shown=("width",),
    claims=CLAIMS,
    settings=MonteCarloSettings,
    columns=COLUMNS,
    version=2,  # inputs in another basis of their span: other draws of the same kernels
)
