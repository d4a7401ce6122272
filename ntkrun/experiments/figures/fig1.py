"""Figure 1: weights, empirical NTK and empirical NNGP kernel move the less the wider the network.

Panels   (a) relative Frobenius change of Theta_hat against t, one line a width; (b) of each layer's weights, (c) of
         Theta_hat, (d) of K_hat against n with guides 1/sqrt n and 1/n; means and error bars over networks.
Setting  MNIST, ten one-hot outputs, N = 128, squared loss, full-batch gradient descent, eta = 1, T = 2^17, ReLU, L = 3,
         n = 2^4 .. 2^12, sigma_w^2 = 1, sigma_b^2 = 0, NTK parameterization.
Theory   Theorem 2.1: sup_t ||theta_t - theta_0|| / sqrt n and sup_t ||Theta_hat_t - Theta_hat_0||_F are O(n^-1/2).
Here     sigma_w^2, sigma_b^2, the scaling of the images (`global`) and the loss averaged over the ten outputs are
         recovered from the curves (docs/figure1.md); the images enter in a basis of their span, which is exact.
"""

import pandas as pd
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.width_changes import COLUMNS, Net, draw_row, slope, worst_octaves
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Claim
from ntkrun.experiments.runs import WIDTH_CHANGES
from ntkrun.experiments.style import panel_letter
from ntkrun.experiments.titles import ACTIVATION, CLASSES, DATA, DEPTH
from ntkrun.settings.runs import WidthChangeSettings

NET = Net("relu", 3)


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    axes = figure.subplots(1, 4)
    draw_row(axes, table, "fig1")
    for letter, ax in zip("abcd", axes, strict=True):
        panel_letter(ax, letter)


LAYER_SLOPES = (
    ("input", 0, "-1/2 (Figure 1: -.518 for n >= 256 at t = 2^17)", -0.65, -0.35),
    ("layer2", 1, "-1 (Figure 1: -1.023)", -1.15, -0.85),
    ("layer3", 2, "-1 (Figure 1: -1.036)", -1.15, -0.85),
    ("output", 3, "-1/2 (Figure 1: -.555)", -0.65, -0.35),
)
SLOPE_WHY = (
    "theory +- .15: over the 4 octaves from n = 256 a single network a width, 10 % off, moves the slope by .03, the next "
    "order in 1/n by .05 (the paper's own curves); -1/2 and -1 stay three such errors apart"
)
CLAIMS = (
    *(
        Claim(
            id=f"fig1.slope_{name}",
            sentence=f"The relative change of the {name} weights falls with the width like n^{expected.split(' ')[0]}.",
            source="Section 3.1: input and output weights change like n^-1/2, inner ones like n^-1",
            kind="stated",
            measure=slope(NET, curves.WEIGHT_CHANGE, index),
            expected=expected,
            band=(low, high),
            why=SLOPE_WHY,
        )
        for name, index, expected, low, high in LAYER_SLOPES
    ),
    *(
        Claim(
            id=f"fig1.slope_{what}",
            sentence=f"The relative change of {kernel} falls with the width at least like n^-1/2, closer to n^-1.",
            source=f"Section 3.1: the change of {kernel} is at most n^-1/2, closer to n^-1",
            kind="stated",
            measure=slope(NET, quantity),
            expected=expected,
            band=(-1.1, -0.5),
            why=(
                "between the bound -1/2 and the -1 that the text names, with the sampling error .1 of a change of kernels "
                "that single networks scatter by 15 %"
            ),
        )
        for what, quantity, kernel, expected in (
            ("ntk", curves.NTK_CHANGE, "Theta_hat", "-.79 at t = 2^10, -.80 at 2^17, n >= 256"),
            ("nngp", curves.NNGP_CHANGE, "K_hat", "-.82 at t = 2^17, n >= 256"),
        )
    ),
    *(
        Claim(
            id=f"fig1.ntk_change_t{time}",
            sentence=f"At t = {time} Theta_hat has changed by as much as in the paper, at every width.",
            source=f"Figure 1, change of Theta_hat over time, t = {time}",
            kind="read_off",
            reference=("fig1/ntk_change_vs_time/*",),
            measure=worst_octaves(NET, "fig1", "ntk_change_vs_time", float(time)),
            expected="0 octaves between ours and the paper's, for every width",
            band=(0.0, 0.4),
            why=(
                "set for a scatter of .25 octaves a network early (its first outputs are one Gaussian draw for all images); "
                "measured since: .7 at n = 16, .3 at n = 128, t = 1, so narrow widths average 10 to 20 networks; other images "
                "move it by .1, another sigma_w^2, loss or scaling by .6 to 2"
            ),
        )
        for time in (1, 16, 256, 1024)
    ),
)

EXPERIMENT = Experiment(
    name="fig1",
    title="Figure 1: change of weights and kernels against width and time (MNIST, ReLU, L = 3)",
    title_names={"MNIST": DATA, "ReLU": ACTIVATION, "L = 3": DEPTH},
    problem={"all classes": CLASSES},
    run=WIDTH_CHANGES,
    draw=draw,
    size=(13.5, 3.8),
    shown=("width",),
    claims=CLAIMS,
    settings=WidthChangeSettings,
    columns=COLUMNS,
    version=2,  # the basis of the inputs' span is another one since: other draws of the same networks
)
