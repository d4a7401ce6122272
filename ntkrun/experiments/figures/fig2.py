"""Figure 2: outputs of an ensemble of trained networks are distributed as the theory of infinite width says.

Panels   outputs along a line of inputs, against alpha, at t = 0, 16, 256, 65536: mean and 2 sd of 100 networks, of
         eqs (14), (15) (all layers trained) and of (S22), (S23) (readout trained: the NNGP posterior in the end).
         Not drawn: 100 networks of which the readout alone is trained, for the claims about (13) (part `readout`).
Setting  N = 128 images of two classes, squared loss, full-batch gradient descent, tanh, L = 3, n = 8192,
         sigma_w^2 = 1.5, sigma_b^2 = 0; x(alpha) = alpha x_1 + (1 - alpha) x_2 of two training inputs, re-normalised.
Theory   eqs (14), (15), (S22), (S23) in discrete time, for the very steps that the networks take.
Here     centred CIFAR airplane/horse, and the printed eta = .5 is 1 under our loss: docs/figure2.md.  Inputs stand in an
         orthonormal basis of their span, which is exact (`data.span`).
"""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import FigureBase

from ntkrun.experiments.analysis.output_ensemble import (
    COLUMNS,
    all_layers,
    band_panels,
    calibrated,
    data_point_sd,
    drawn,
    flatness,
    mean_z,
    nngp_distance,
    readout_only,
    sd_at_minus_2,
    size,
    variance_z,
)
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import ANY_SETTING, Claim
from ntkrun.experiments.runs import OUTPUT_ENSEMBLE
from ntkrun.experiments.titles import ACTIVATION, CLASS_PAIR, DATA, DEPTH, NETWORKS, PAIR
from ntkrun.settings.runs import OutputEnsembleSettings

TIMES = (0, 16, 256, 65536)
# what the NNGP kernel of inputs on the sphere depends on
OF_K = ("model.name", "model.activation", "model.depth", "model.sigma_w2", "model.sigma_b2", "data.preprocess")
PAPER_SD = {0: 0.642, 16: 0.448, 256: 0.279, 65536: 0.272}  # NTK band at alpha = -2


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    band_panels(figure, drawn(table), "fig2")


def _posterior(what: str, measure: Callable[[pd.DataFrame, float], float], low: float, high: float) -> Claim:
    return Claim(
        id=f"fig2.readout_{what}_z",
        sentence=f"Networks of which the readout alone is trained end with the {what} of the NNGP posterior.",
        parts=("readout",),
        depends_on=ANY_SETTING,
        source=f"(13): networks whose readout alone is trained end at the NNGP posterior's {what}",
        kind="theory",
        measure=lambda table: measure(readout_only(table), TIMES[-1]),
        expected="0 +- 1, as above; N = 8 training points",
        band=(low, high),
        why="1 in 1000, as above; K_hat is off K by n^-1/2, which adds about N/n, 3 % at n = 256, to the variance: z of .5",
        real_data=False,
    )


def _sd(time: int) -> Claim:
    expected = PAPER_SD[time]
    return Claim(
        id=f"fig2.sd_t{time}",
        sentence=f"At t = {time} the NTK band has the paper's width at alpha = -2.",
        parts=("all",),
        source="Figure 2, NTK band at alpha = -2",
        kind="read_off",
        reference=(f"fig2/t{time}/ntk_*",),
        measure=lambda table: sd_at_minus_2(all_layers(table), time),
        expected=f"{expected}",
        band=(0.75 * expected, 1.25 * expected),
        why="100 networks give 7 %, of which 3; the pair of images was chosen among many by the bands, the time unit not",
    )


CLAIMS = (
    *(claim for time in TIMES for claim in calibrated("fig2", time)),
    *(_sd(time) for time in TIMES),
    _posterior("mean", mean_z, -1.51, 4.9),
    _posterior("variance", variance_z, -3.3, 3.3),
    Claim(
        id="fig2.nngp_differs",
        sentence="Training all layers leads to another distribution than the NNGP posterior.",
        parts=("all",),
        source="Section 3 and Figure 2: the NNGP posterior differs visibly from networks with all layers trained",
        kind="stated",
        reference=("fig2/t65536/ntk_*", "fig2/t65536/nngp_*"),
        measure=lambda table: nngp_distance(all_layers(table), TIMES[-1]),
        expected="the paper's means differ by .17 at alpha = -2: 6 of its standard errors",
        band=(3.0, 12.0),
        why="3 standard errors is visible (the largest of 8 independent alphas under equality: 2.5); 12 is twice the paper's 6",
    ),
    Claim(
        id="fig2.data_point_sd",
        sentence="In the end every network goes through the two training points.",
        parts=("all",),
        source="Figure 2, last panel, at the training points",
        kind="read_off",
        reference=("fig2/t65536/nn_*",),
        measure=lambda table: data_point_sd(all_layers(table), TIMES[-1]),
        expected=".006 to .008 at the grid points nearest to them, 0 on them",
        band=(0.0, 0.01),
        why="our grid hits them, where every network has reached its target to `converged`, 1e-4",
    ),
    Claim(
        id="fig2.flat_start",
        sentence="At t = 0 the band is equally wide for all alpha.",
        parts=("all",),
        source="Figure 2, first panel: the band is flat in alpha",
        kind="read_off",
        reference=("fig2/t0/ntk_*",),
        measure=lambda table: flatness(all_layers(table)),
        expected="2 sd = 1.27 to 1.29",
        depends_on=OF_K,
        band=(0.0, 0.01),
        scales=("smoke", "cpu", "paper"),
        why="K of tanh at ||x||^2 = n_0 gives 1.279; without re-normalising, 2 sd varies by several tenths",
        real_data=False,
    ),
)


EXPERIMENT = Experiment(
    name="fig2",
    title="Figure 2: outputs of 100 trained networks and their distribution at infinite width (tanh, L = 3)",
    title_names={"100": NETWORKS, "tanh": ACTIVATION, "L = 3": DEPTH},
    problem={"CIFAR-10": DATA, PAIR: CLASS_PAIR},
    run=OUTPUT_ENSEMBLE,
    draw=draw,
    size=size,
    shown=COLUMNS,
    claims=CLAIMS,
    settings=OutputEnsembleSettings,
    columns=COLUMNS,
)
