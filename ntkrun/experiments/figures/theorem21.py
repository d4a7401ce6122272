"""Theorem 2.1: how its three suprema fall with the width, for six kinds of networks.  The paper has no such figure.

Panels   (a)-(c) NTK, (d)-(f) standard parameterization: sup_t of the distance of f_t and f_lin_t, of theta_t and theta_0,
         of Theta_hat_t and Theta_hat_0, against n; every network a dot (the activations side by side around their n),
         power laws with 95 % intervals.
Setting  two CIFAR-10 classes, squared loss, full-batch gradient descent at half of eta_critical(Theta), L = 2.
Theory   all three are O(n^-1/2).  theta_t - theta_0 = J^T c has the norm sqrt(c^T Theta c) = O(1) in the NTK
         parameterization, so that its rate is -1/2 exactly.  Smooth phi: Theta_hat and f - f_lin move by O(1/n) (Dyer and
         Gur-Ari 2020), -1.  ReLU: of n units about sqrt(n) change sign at an input, each changes Theta_hat by 1/n, and
         signs that do not agree leave n^(1/4)/n: a part of rate -3/4 beside that of -1.
Here     the sup is over recorded steps until f_lin has fitted; in the standard parameterization theta itself is smaller by
         sqrt n and its norm is not divided (Theorem G.1).  Images enter in a basis of their span (docs/theorem21.md).
"""

import itertools

import pandas as pd
from matplotlib.figure import FigureBase

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import largest
from ntkrun.experiments.analysis.suprema import ACTIVATIONS, COLUMNS, law, of_kind, panel
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import ANY_SETTING, Claim
from ntkrun.experiments.curves import Quantity
from ntkrun.experiments.runs import SUPREMA
from ntkrun.experiments.style import panel_letter
from ntkrun.experiments.titles import DATA
from ntkrun.settings.descents import SupremaSettings

PARAMETERIZATIONS = ("ntk", "standard")
QUANTITIES = {
    curves.OUTPUT_DISTANCE: r"$\sup_t\,\mathrm{rms}_x |f_t(x) - f^{lin}_t(x)|$",
    curves.THETA_DISTANCE: r"$\sup_t\,\|\theta_t - \theta_0\|_2$",
    curves.NTK_DISTANCE: r"$\sup_t\,\|\hat\Theta_t - \hat\Theta_0\|_F$",
}
SHORT = {
    curves.OUTPUT_DISTANCE: "outputs, network to linearised",
    curves.THETA_DISTANCE: "change of parameters",
    curves.NTK_DISTANCE: "change of the kernel",
}


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    axes = figure.subplots(2, 3, sharex=True)
    for row, parameterization in zip(axes, PARAMETERIZATIONS, strict=True):
        for ax, (quantity, symbol) in zip(row, QUANTITIES.items(), strict=True):
            panel(ax, table, quantity, parameterization)
            over = r"$\,/\sqrt{n}$" if (quantity, parameterization) == (curves.THETA_DISTANCE, "ntk") else ""
            ax.set_title(f"{SHORT[quantity]}, {parameterization}")
            ax.set_ylabel(f"{symbol}{over}")
    for letter, ax in zip("abcdef", axes.flat, strict=True):
        panel_letter(ax, letter)
    for ax in axes[-1]:
        ax.set_xlabel("width n")


def flattest(quantity: Quantity):
    """Measure: the largest of the six slopes; nan, a fail, when one is missing."""
    kinds = list(itertools.product(ACTIVATIONS, PARAMETERIZATIONS))
    return lambda table: largest([law(of_kind(table, *kind), quantity).slope for kind in kinds])


SAID = {
    "output": "The largest distance of network and linearization",
    "theta": "The largest move of the parameters",
    "kernel": "The largest change of Theta_hat",
}
# by the word in the claims' ids
MEASURED = {"output": curves.OUTPUT_DISTANCE, "theta": curves.THETA_DISTANCE, "kernel": curves.NTK_DISTANCE}
EXACT = "exact rate; 60 norms that scatter by a quarter, as |f_0 - Y| does: .034, three of these"
BOTH = "both parts in unknown shares, and {} standard errors of {} to either side"
ONE_OVER_N = "60 networks scatter by {}: {}, three of these, and .05 for the next order in 1/n"
# (what, whether phi has a kink): expected, low, high, why
BANDS: dict[tuple[str, bool], tuple[str, float, float, str]] = {
    ("theta", False): ("-1/2", -0.6, -0.4, EXACT),
    ("theta", True): ("-1/2", -0.6, -0.4, EXACT),
    ("output", False): ("-1", -1.25, -0.75, ONE_OVER_N.format("a half", ".07")),
    ("output", True): ("-1 to -3/4", -1.2, -0.6, BOTH.format("two", ".07")),
    ("kernel", False): ("-1", -1.2, -0.8, ONE_OVER_N.format("a third", ".045")),
    ("kernel", True): ("-1 to -3/4", -1.15, -0.6, BOTH.format("three", ".045")),
}


def slope_claim(what: str, activation: str, parameterization: str) -> Claim:
    expected, low, high, why = BANDS[what, activation == "relu"]
    return Claim(
        id=f"theorem21.{what}_{activation}_{parameterization}",
        sentence=f"{SAID[what]} falls with the width at the rate that theory gives ({activation}, {parameterization}).",
        depends_on=ANY_SETTING,
        source="Theorem 2.1; rates as the docstring derives them",
        kind="theory",
        measure=lambda table: law(of_kind(table, activation, parameterization), MEASURED[what]).slope,
        expected=expected,
        band=(low, high),
        why=why,
        real_data=False,
    )


CLAIMS = (
    *(
        Claim(
            id=f"theorem21.bound_{what}",
            sentence=f"{SAID[what]} falls at least like n^-1/2 for every activation and parameterization.",
            depends_on=ANY_SETTING,
            source="Theorem 2.1: O(n^-1/2), every activation and parameterization",
            kind="stated",
            measure=flattest(MEASURED[what]),
            expected="at most -1/2",
            band=(-2.0, high),
            why=why,
            real_data=False,
        )
        for what, high, why in (
            ("output", -0.5, "the theorem's bound itself; the rates expected stay .25 away from it"),
            ("theta", -0.4, "here the bound is the rate: three standard errors of .034 above it"),
            ("kernel", -0.5, "the theorem's bound itself; the rates expected stay .25 away from it"),
        )
    ),
    *(slope_claim(what, a, p) for what in MEASURED for a in ACTIVATIONS for p in PARAMETERIZATIONS),
)

EXPERIMENT = Experiment(
    name="theorem21",
    title="Theorem 2.1: the three suprema against width",
    problem={"CIFAR-10": DATA},
    run=SUPREMA,
    draw=draw,
    size=(10.5, 6.4),
    shown=("width", *COLUMNS),
    claims=CLAIMS,
    settings=SupremaSettings,
    columns=COLUMNS,
    version=3,  # other record points
)
