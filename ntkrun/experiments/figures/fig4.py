"""Figure 4: a wide residual network and its linearization trained on all of CIFAR-10.

Panels   (a) single train outputs, (b) single test outputs, (c) loss, (d) accuracy; all against t, which counts steps.
Setting  CIFAR-10, 50,000 images, ten classes as 0/1 one-hot, squared loss, heavy ball with eta = 1, beta = .9, batch 8,
         wide ResNet of Table S1 with N = 1 and 1024 channels, batch normalisation, sigma_w^2 = 1, sigma_b^2 = 0.
Theory   f_lin by (5) on the same mini-batches, batch normalisation linearised as the function of the batch that it is.
Here     losses and accuracies are means over more images than the paper's 128 (docs/figure4.md).
"""

import numpy as np
import pandas as pd

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import largest, vertex
from ntkrun.experiments.analysis.trajectories import Average, outputs, starts_together
from ntkrun.experiments.analysis.trajectory_figure import RunFigure
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Claim
from ntkrun.experiments.runs import TRAJECTORIES
from ntkrun.experiments.titles import ACTIVATION, CLASSES, DATA, KIND
from ntkrun.tables import at, last, series

PLATEAU = 0.045  # 1/2 of the variance .09 of a 0/1 one-hot column: the loss of a network that knows the mean alone
PANELS = (outputs("train"), outputs("test"), Average(curves.LOSS), Average(curves.ACCURACY))
SHOWN = RunFigure("fig4", PANELS, rows=1, inches=(12.5, 3.4))


def passes_plateau(table: pd.DataFrame) -> float:
    """Step from which on the test loss of both models stays below the plateau; nan if it never does."""
    both = [series(table, curves.LOSS.of(rival), "test") for rival in (curves.NETWORK, curves.LINEAR)]
    worse = pd.concat(both, axis=1).max(axis=1)
    above = worse[worse >= PLATEAU]
    below = worse[worse.index > above.index[-1]] if len(above) else worse
    return float(below.index[0]) if len(below) else float("nan")


def overshoot_step(table: pd.DataFrame) -> float:
    """Step of the first maximum of the network's test loss behind its first minimum, between records; nan where there is none."""
    curve = series(table, curves.LOSS.of(curves.NETWORK), "test")
    curve = curve[curve.index > 0]
    rises = np.diff(curve.to_numpy()) > 0
    low = int(rises.argmax()) if rises.any() else len(rises)
    falls = ~rises[low:]
    top = low + int(falls.argmax()) if falls.any() else 0
    return vertex(curve, top)[0] if top and np.isfinite(curve.iloc[: top + 2]).all() else float("nan")


def accuracy_gap(table: pd.DataFrame) -> float:
    """Largest |test accuracy, network - linearised| over the records up to step 2511; nan of a run that ends before."""
    both = [series(table, curves.ACCURACY.of(rival), "test") for rival in (curves.NETWORK, curves.LINEAR)]
    difference = (both[0] - both[1]).abs()
    return largest(difference[difference.index <= 2511]) if difference.index.max() >= 2511 else float("nan")


CHANCE = "chance is .1, its standard error over 512 images .013: .25 is eleven of them above"
CLAIMS = (
    Claim(
        id="fig4.passes_plateau",
        sentence="Both models learn more than the mean: their test loss leaves the plateau at .045 for good.",
        source="Figure 4, loss panel: the test loss of both models falls below .045 and stays there",
        kind="read_off",
        reference=("fig4/loss/test_*",),
        measure=passes_plateau,
        expected="between step 56 and 70",
        band=(20.0, 500.0),
        why=(
            "a batch of 8 makes the loss noisy by .002 around the plateau, and fewer channels by more, hence three octaves above; "
            "a rate wrong by k = 10 passes at 6 or 600, a network that learns the mean alone never"
        ),
    ),
    Claim(
        id="fig4.overshoot_step",
        sentence="The mean of the targets is overshot: the loss has its first maximum at the paper's step.",
        source="Figure 4, loss panel: first maximum of the network's test loss behind its first minimum",
        kind="read_off",
        reference=("fig4/loss/test_network",),
        measure=overshoot_step,
        expected="step 12.6, between records",
        band=(8.9, 17.8),
        why=(
            "under heavy ball the mode of the targets' mean swings with the root of its rate eta Theta/k: a factor 1.4 either "
            "way is a rate off by 2, where 24 channels scatter by a third; a clock off by 2 is out"
        ),
    ),
    Claim(
        id="fig4.accuracies_rise_together",
        sentence="The test accuracies of the network and of its linearization rise together.",
        source="Figure 4, accuracy panel: largest difference of the two test accuracies up to step 2511",
        kind="read_off",
        reference=("fig4/accuracy/test_*",),
        measure=accuracy_gap,
        expected="0.024 (128 images)",
        band=(0.004, 0.10),
        why=(
            "at equal accuracy p two models that disagree on a quarter of 512 images differ by .022, on a hundredth by .004; "
            "features learnt by narrow networks add to it: .1 is where the curves would be seen apart"
        ),
    ),
    *(
        Claim(
            id=f"fig4.{rival}_above_chance",
            sentence=f"At step 1000 {model} classifies far better than chance.",
            source=f"Figure 4, accuracy panel: test accuracy of {model} at step 1000",
            kind="read_off",
            reference=(f"fig4/accuracy/test_{rival}",),
            measure=lambda table, rival=rival: at(table, curves.ACCURACY.of(rival), 1000.0, "test"),
            expected="0.43 at 1024 channels",
            band=(0.25, 0.60),
            why=CHANCE,
        )
        for rival, model in ((curves.NETWORK, "the network"), (curves.LINEAR, "the linearised model"))
    ),
    Claim(
        id="fig4.test_accuracy_end",
        sentence="The network ends with the paper's test accuracy.",
        source="Figure 4, accuracy panel: network at the end",
        kind="read_off",
        reference=("fig4/accuracy/test_network",),
        measure=lambda table: last(table, curves.ACCURACY.of(curves.NETWORK), "test"),
        until=79432.0,
        expected="0.719 (network), 0.633 (linear)",
        band=(0.63, 0.80),
        scales=("paper",),
        why="the paper's 128 images have a standard error of .04",
    ),
    starts_together("fig4", 1e-5, "outputs of order 1 in float32 through ten layers"),
)

EXPERIMENT = Experiment(
    name="fig4",
    title="Figure 4: a wide residual network and its linearization on CIFAR-10",
    title_names={"a wide residual network": KIND, "CIFAR-10": DATA},
    problem={"ReLU": ACTIVATION, "all classes": CLASSES},
    run=TRAJECTORIES,
    draw=SHOWN.draw,
    size=SHOWN.size,
    overlays=SHOWN.told,
    claims=CLAIMS,
)
