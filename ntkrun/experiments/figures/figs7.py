"""Figure S7: test accuracy against the learning rate in both parameterizations.

Panels   (a) MNIST, (b) CIFAR-10: test accuracy after training against eta, for phi in {ReLU, tanh}, squared loss and
         cross-entropy, NTK and standard parameterization (eta_std = eta / n, (S36)).
Setting  ours: a fully-connected network with L = 2, heavy ball, mini-batches; see configs/experiment/figs7.yaml.  A cell
         is one curve: all its networks start from one theta_0 and see the same batches.
Theory   (S37): the standard parameterization moves like the NTK one with other rates of the layers.
Here     a shorter run learns at larger eta: where accuracy begins to rise goes with eta times the number of steps
         (docs/figure_s7.md).
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import largest
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Claim
from ntkrun.experiments.runs import RATE_SCAN
from ntkrun.experiments.style import PAPER_MARK, SERIES, legend, panel_letter, paper_curve, seeds_band, seeds_entry
from ntkrun.reference import paper_panel
from ntkrun.settings.runs import RateSettings

COLUMNS = ("data.name", "model.activation", "loss", "model.parameterization")
SHORT = {"mse": "mse", "cross_entropy": "xent"}
# (activation, loss) -> its name in the paper's curves and in the claims
CASES = {(phi, loss): f"{phi}_{short}" for phi in ("relu", "tanh") for loss, short in SHORT.items()}
STYLES = {"ntk": "-", "standard": (0, (4, 2))}
MARKS = {"ntk": "o", "standard": "^"}


def curve(table: pd.DataFrame, data: str, case: tuple[str, str], parameterization: str) -> pd.Series:
    """Accuracy against eta of the networks that did not diverge."""
    return spread(table, data, case, parameterization)["mean"]


def spread(table: pd.DataFrame, data: str, case: tuple[str, str], parameterization: str) -> pd.DataFrame:
    """The same, and the smallest and largest of the seeds' accuracies: columns mean, low, high."""
    wanted = dict(zip(COLUMNS, (data, *case, parameterization), strict=True))
    part = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    found, finite = (
        tables.over_seeds(part, quantity.of(curves.NETWORK), against="eta")
        for quantity in (curves.ACCURACY, curves.FINITE)
    )
    return found[finite["low"] == 1.0]


def cases_of(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The paper's, and whatever else there is."""
    there = table[["model.activation", "loss"]].drop_duplicates().itertuples(index=False)
    return CASES | {(phi, loss): f"{phi}_{SHORT[loss]}" for phi, loss in there}


def draw_data(ax: Axes, table: pd.DataFrame, data: str) -> None:
    paper = paper_panel("figs7", data)
    for (case, named), colour in zip(cases_of(table).items(), SERIES, strict=False):
        for parameterization, line in STYLES.items():
            accuracies = spread(table, data, case, parameterization)
            ours, name = accuracies["mean"], f"{named}_{parameterization}"
            if name in paper:
                look = {"color": colour, "marker": MARKS[parameterization], "markersize": 1.6}
                paper_curve(ax, paper[name], (data, name), ours, **look)
            seeds_band(ax, accuracies, colour)
            ax.plot(ours.index, ours, color=colour, linestyle=line)
    ax.set_xscale("log")
    ax.set_xlabel(r"$\eta$  ($\eta_{std} n$)")
    ax.set_title(data)


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    axes = figure.subplots(1, 2)
    for letter, ax, data in zip("ab", axes, ("mnist", "cifar10"), strict=True):
        draw_data(ax, table, data)
        panel_letter(ax, letter)
    axes[0].set_ylabel("test accuracy")
    entries: dict[str, dict[str, Any]] = {
        case.replace("_", ", "): {"color": colour}
        for case, colour in zip(cases_of(table).values(), SERIES, strict=False)
    }
    entries |= {"NTK": {"color": "0.3"}, "standard": {"color": "0.3", "linestyle": STYLES["standard"]}}
    for parameterization, mark in MARKS.items():
        look = PAPER_MARK | {"color": "0.3", "marker": mark}
        entries[f"paper, {'NTK' if parameterization == 'ntk' else parameterization}"] = look
    legend(figure, entries | seeds_entry(table), loc="outside right center")


def parameterization_gap(data: str):
    """Measure: rms over eta and the four cases of accuracy, standard less NTK, where both are finite."""

    def measure(table: pd.DataFrame) -> float:
        pairs = [[curve(table, data, case, p) for p in STYLES] for case in CASES]
        gaps = [(standard - ntk)[standard.index.intersection(ntk.index)] for ntk, standard in pairs]
        return float(np.sqrt(np.mean(np.concatenate(gaps) ** 2))) if all(map(len, gaps)) else float("nan")

    return measure


def best(data: str, case: tuple[str, str]):
    return lambda table: largest(curve(table, data, case, "ntk"))


TOGETHER = (
    "two runs at one eta differ by the noise of mini-batches, .01 at the plateau and more at the divergent edge and on the "
    "rising flank, where the layers' rates differ by a factor n_l/(n sigma_w^2), (S37): 1/2, and .2 to 3 for inputs of n_0; "
    "a flank of .2 per octave, shifted by a fraction of one, .05"
)
CLAIMS = (
    *(
        Claim(
            id=f"figs7.parameterizations_coincide_{data}",
            sentence=f"{data}: standard and NTK parameterization reach the same accuracy at corresponding learning rates.",
            parts=(data,),
            source=f"Figure S7, {data}: standard against NTK at eta_std n = eta",
            kind="read_off",
            reference=(f"figs7/{data}/*",),
            measure=parameterization_gap(data),
            expected="rms .01 to .02 between running medians",
            band=(0.0, 0.05),
            scales=scales,
            why=TOGETHER,
        )
        for data, scales in (("mnist", ("cpu", "paper")), ("cifar10", ("paper",)))
    ),
    Claim(
        id="figs7.best_mnist",
        sentence="The best test accuracy of a ReLU network on MNIST is the paper's.",
        parts=("mnist",),
        source="Figure S7, MNIST, ReLU, cross-entropy",
        kind="read_off",
        reference=("figs7/mnist/relu_xent_ntk",),
        measure=best("mnist", ("relu", "cross_entropy")),
        expected="0.982",
        band=(0.97, 0.99),
        scales=("paper",),
        why="a shorter run ends lower; 10,000 images have a standard error of .0013",
    ),
)

EXPERIMENT = Experiment(
    name="figs7",
    title="Figure S7: test accuracy against the learning rate in both parameterizations",
    run=RATE_SCAN,
    draw=draw,
    size=(9.6, 3.6),
    shown=COLUMNS,
    claims=CLAIMS,
    settings=RateSettings,
    columns=COLUMNS,
)
