"""Figure S4: logits under cross-entropy grow without end, and leave those of the linearised model the later the wider.

Panels   one a width: the first logit of five test images against t; network drawn through, f_lin dashed, f_lin by the ODE
         as black dots, the paper's five logits (other images) as light dots.
Setting  CIFAR-10, two classes, cross-entropy, full-batch gradient descent, tanh, L = 4, n = 2^5 .. 2^12, NTK
         parameterization, t = .1 .. 79433.
Theory   f_lin by function space, c_{i+1} = c_i - eta dL/df (the same steps), and by (S10), c' = -dL/df (an ODE solver).
Here     eta = .1 is recovered: the digitised times are .1 floor(10^(k/20)).  N, sigma_w^2, sigma_b^2 are ours, see
         configs/experiment/figs4.yaml and docs/figure_s4.md; at cpu scale eta grows with t (configs/sizes/cpu/figs4.yaml).
"""

import pandas as pd
from matplotlib.figure import FigureBase

from ntkrun.experiments.analysis.flow_routes import (
    draw_logits,
    end_slope,
    largest_route_distance,
    logits_size,
    octaves_at_end,
    onset_slope,
    shift_at_end,
    smallest_late_growth,
)
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import ANY_SETTING, Claim
from ntkrun.experiments.runs import FLOW_ROUTES
from ntkrun.experiments.titles import ACTIVATION, CLASS_PAIR, DATA, DEPTH, PAIR
from ntkrun.settings.runs import FlowRoutesSettings

WIDTHS = tuple(2**j for j in range(5, 13))


def size(table: pd.DataFrame) -> tuple[float, float]:
    return logits_size(table, WIDTHS)


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    draw_logits(figure, table, "figs4", WIDTHS)


CLAIMS = (
    Claim(
        id="figs4.routes_agree",
        sentence="The linearization is the same by function space and by the ODE (S10).",
        depends_on=ANY_SETTING,
        source="(S10): f_lin by function space and by the ODE",
        kind="theory",
        measure=largest_route_distance,
        expected="0",
        band=(0.0, 0.05),
        why=(
            "a step dt = .03 t shifts the clock by .015 of it, where a logit moves by about 1 an e-fold: .015, and more where "
            "the fast mode overshoots at t = 1 to 10"
        ),
    ),
    Claim(
        id="figs4.deviates_later",
        sentence="Under cross-entropy wider networks leave their linearization later.",
        source="Figure S4: wider networks leave f_lin later",
        kind="stated",
        reference=("figs4/*",),
        measure=onset_slope,
        expected="above 0; the paper's first t with an rms above .1: 17.7 at n = 32 to 1000 at n = 4096, slope .70",
        band=(0.3, 1.5),
        why=(
            "the distance falls like n^-1/2 to n^-1 and grows like a power of t between 1/2 and 1; 5 points scatter by a "
            "factor 2 in t, .15 in the slope over 7 octaves"
        ),
    ),
    Claim(
        id="figs4.late_growth",
        sentence="Under cross-entropy logits diverge from the linearization late in training.",
        source="Section 3.2.1, Figure S4: logits diverge late",
        kind="stated",
        reference=("figs4/*",),
        measure=smallest_late_growth,
        until=79433.0,
        expected="rms at the end over that at t = 100: 7.4 to 45, of which the smallest",
        band=(3.7, 14.9),
        why="a factor 2 either way: the rms over five points scatters by .5 octaves, at either time",
    ),
    Claim(
        id="figs4.end_slope",
        sentence="The final distance of the logits falls with the width.",
        source="Theorem 2.1 (n^-1/2) and Figure S4",
        kind="read_off",
        reference=("figs4/*",),
        measure=end_slope,
        until=79433.0,
        expected="-.61 over all widths",
        band=(-0.92, -0.3),
        why=(
            "one network a width scatters by a factor 1.5: .11 in the slope over 6 octaves, .155 between two runs; twice that "
            "around -.61, which holds the bound -1/2 and leaves out the n^-1 of a run that only the next order moves"
        ),
    ),
    Claim(
        id="figs4.end_values",
        sentence="The final distances of the logits are the paper's, width by width.",
        source="Figure S4, rms of network minus f_lin over the five points at the end",
        kind="read_off",
        reference=("figs4/*",),
        measure=octaves_at_end,
        until=79433.0,
        expected="0 octaves",
        band=(0.0, 0.89),
        why="the rms over five points scatters by .5 octaves: two runs are .56 apart in the mean, .16 its error over 7 widths: two",
    ),
    Claim(
        id="figs4.end_shift",
        sentence="The final distances of the logits are the paper's on average over the widths.",
        source="Figure S4, rms of network minus f_lin over the five points at the end, log2 of ours over the paper's",
        kind="read_off",
        reference=("figs4/*",),
        measure=shift_at_end,
        until=79433.0,
        expected="0 octaves",
        band=(-0.5, 0.5),
        why="one network a width scatters by .5 octaves: .71 between two, .27 over 7 widths, of which two; a width off by 2 is .6",
    ),
)

EXPERIMENT = Experiment(
    name="figs4",
    title="Figure S4: logits of network and linearization under cross-entropy, by width",
    problem={"CIFAR-10": DATA, PAIR: CLASS_PAIR, "tanh": ACTIVATION, "L = 4": DEPTH},
    run=FLOW_ROUTES,
    draw=draw,
    size=size,
    shown=("width",),
    claims=CLAIMS,
    settings=FlowRoutesSettings,
)
