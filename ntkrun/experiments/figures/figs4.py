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
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.flow_routes import POINTS, distance_by_width, end_slope, octaves_at_end, onset_slope
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import ANY_SETTING, Claim
from ntkrun.experiments.runs import FLOW_ROUTES
from ntkrun.experiments.style import BLACK, LINEAR, NETWORK, PAPER_MARK, SERIES, legend, panel_letter, paper_curve
from ntkrun.reference import paper_panel

WIDTHS = tuple(2**j for j in range(5, 13))
OTHER_IMAGE = "another image: which the paper shows is not known"


def draw(ax: Axes, table: pd.DataFrame, width: int) -> None:
    part = table[(table["width"] == width) & (table["time"] > 0)]
    for name, points in paper_panel("figs4", f"n{width}").items():
        index, rival = int(name[5]), name.split("_")[1]
        ours, size = tables.series(part, curves.LOGIT.of(rival), index=index), 2.4 if rival == curves.NETWORK else 1.2
        paper_curve(ax, points, (f"n{width}", name), ours, OTHER_IMAGE, color=SERIES[index], markersize=size)
    for index in range(POINTS):
        for rival, line in ((curves.NETWORK, NETWORK), (curves.LINEAR, LINEAR)):
            curve = tables.series(part, curves.LOGIT.of(rival), index=index)
            ax.plot(curve.index, curve, color=SERIES[index], linestyle=line)
        curve = tables.series(part, curves.LOGIT.of(curves.FLOW), index=index)[::3]
        ax.plot(curve.index, curve, color=BLACK, linestyle="none", marker=".", markersize=2.5)
    ax.set_xscale("log")
    ax.set(xlabel="t", title=f"n = {width}" if len(part) else f"n = {width} (not run: the paper's points only)")


def plot(table: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(13.0, 6.4), layout="constrained")
    axes = figure.subplots(2, 4)
    for letter, ax, width in zip("abcdefgh", axes.flat, WIDTHS, strict=True):
        draw(ax, table, width)
        panel_letter(ax, letter)
    for ax in axes[:, 0]:
        ax.set_ylabel("logit")
    entries = {"network": dict(color="0.3", linestyle=NETWORK), "linearised": dict(color="0.3", linestyle=LINEAR)}
    entries |= {"linearised, ODE": dict(color=BLACK, linestyle="none", marker=".", markersize=2.5)}
    entries |= {"paper: network": PAPER_MARK | {"color": "0.3", "markersize": 2.4}}
    entries |= {"paper: linearised": PAPER_MARK | {"color": "0.3", "markersize": 1.2}}
    legend(axes[0, 0], entries, loc="upper left")
    return figure


CLAIMS = (
    Claim(
        id="figs4.routes_agree",
        sentence="The linearization is the same by function space and by the ODE (S10).",
        depends_on=ANY_SETTING,
        source="(S10): f_lin by function space and by the ODE",
        kind="theory",
        measure=lambda table: tables.series(table, curves.RMS.of(curves.ROUTES)).max(),
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
        measure=onset_slope,
        expected="above 0; the paper's first t with an rms above .1: 17.7 at n = 32 to 1000 at n = 4096, slope .83",
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
        measure=lambda table: (distance_by_width(table) / distance_by_width(table, 100.0)).min(),
        expected="rms at the end over that at t = 100: 7 to 45",
        band=(3.0, float("inf")),
        why="half of the paper's smallest ratio: the narrowest network has left f_lin by t = 100 already",
    ),
    Claim(
        id="figs4.end_slope",
        sentence="The final distance of the logits falls with the width.",
        source="Theorem 2.1 (n^-1/2) and Figure S4",
        kind="read_off",
        measure=end_slope,
        expected="-.61 over all widths",
        band=(-1.0, -0.3),
        why=(
            "one network a width scatters by a factor 1.5: .1 in the slope over 6 octaves; twice that around -.61, wider "
            "towards the n^-1 of the next order"
        ),
    ),
    Claim(
        id="figs4.end_values",
        sentence="The final distances of the logits are the paper's, width by width.",
        source="Figure S4, rms of network minus f_lin over the five points at the end",
        kind="read_off",
        measure=octaves_at_end,
        expected="0 octaves",
        band=(0.0, 1.0),
        why="the rms over five points scatters by .5 octaves, and N, sigma_w^2, sigma_b^2 are ours",
    ),
)

EXPERIMENT = Experiment(
    name="figs4",
    title="Figure S4: logits of network and linearization under cross-entropy, by width",
    run=FLOW_ROUTES,
    plot=plot,
    claims=CLAIMS,
)
