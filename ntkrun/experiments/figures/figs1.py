"""Figure S1: Figure 2 with every one of the 100 functions.

Panels   as Figure 2, and the outputs of the single networks in grey.
Setting, theory, departures: as Figure 2, whose cells it draws again (docs/figure2.md).
"""

import numpy as np
import pandas as pd
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.output_ensemble import (
    COLUMNS,
    all_layers,
    band_panels,
    curve,
    drawn,
    functions,
    grid,
    of_networks,
    size,
)
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import ANY_SETTING, Claim
from ntkrun.experiments.probes import probes
from ntkrun.experiments.runs import OUTPUT_ENSEMBLE
from ntkrun.experiments.titles import ACTIVATION, CLASS_PAIR, DATA, DEPTH, NETWORKS, PAIR
from ntkrun.settings.runs import OutputEnsembleSettings


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    band_panels(figure, drawn(table), "figs1", members=True)


@of_networks
def inside(table: pd.DataFrame) -> float:
    """Share of (network, probe alpha) pairs within 2 sd of (14), (15) at the end."""
    at = probes(grid(table))
    mean, variance = (curve(table, what.of(curves.NTK), 65536)[at] for what in (curves.MEAN, curves.VARIANCE))
    beyond = np.abs(functions(table, 65536)[:, at] - mean) - 2 * np.sqrt(variance)
    return float(np.mean(np.where(np.isnan(beyond), np.nan, beyond < 0)))


CLAIMS = (
    Claim(
        id="figs1.inside_2_sd",
        sentence="The share of trained functions within two standard deviations is that of a Gaussian with (14), (15).",
        depends_on=ANY_SETTING,
        source="Figure S1, last panel: single functions against the 2 sd band of (14), (15)",
        kind="theory",
        measure=lambda table: inside(all_layers(table)),
        expected=".954 for a Gaussian",
        band=(0.89, 0.993),
        why=(
            "100 functions, of which the values at two or three alphas are independent: sd .013, of which 3, and below .02 "
            "more for an O(1/n) excess of the variance by a tenth"
        ),
        real_data=False,
    ),
)

EXPERIMENT = Experiment(
    name="figs1",
    title="Figure S1: the functions of 100 trained networks and their distribution at infinite width (tanh, L = 3)",
    title_names={"100": NETWORKS, "tanh": ACTIVATION, "L = 3": DEPTH},
    problem={"CIFAR-10": DATA, PAIR: CLASS_PAIR},
    run=OUTPUT_ENSEMBLE,
    draw=draw,
    size=size,
    shown=COLUMNS,
    claims=CLAIMS,
    settings=OutputEnsembleSettings,
    columns=COLUMNS,
    cells_of="fig2",
)
