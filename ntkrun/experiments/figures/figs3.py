"""Figure S3: mini-batches and cross-entropy, a ReLU network and its linearization on MNIST.

Panels   (a) train output, (b) test output, all ten logits of one image each, (c) weight change, (d) loss, (e) accuracy,
         (f) RMSE of the test outputs to f_lin; all against t.
Setting  MNIST, 50,000 images, ten classes, cross-entropy, heavy ball with eta = 1, beta = .9, batch 64, ReLU, L = 2,
         n = 2048, sigma_w^2 = 2, sigma_b^2 = .1, NTK parameterization.
Theory   f_lin by (5) on the same mini-batches: J(x) omega of one linearization at theta_0.
Here     accuracies are means over more images than the paper's 512; inputs centred and scaled by one number each
         (docs/figure_s3.md).
"""

import numpy as np
import pandas as pd

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import power_law
from ntkrun.experiments.analysis.trajectories import STEP_RIVALS, starts_together
from ntkrun.experiments.analysis.trajectory_figure import six_panels
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Claim
from ntkrun.experiments.runs import TRAJECTORIES
from ntkrun.experiments.titles import ACTIVATION, BATCHES, CLASSES, DATA, DEPTH, LOSS
from ntkrun.tables import at, series

LATE = 2.0**14  # a time that the cpu scale reaches, too


SHOWN = six_panels("figs3", {curves.LINEAR: STEP_RIVALS[curves.LINEAR]}, stem="logit")


def growth(table: pd.DataFrame) -> float:
    """d log RMSE / d log t over 2^6 <= t <= 2^14; nan of a run that ends before."""
    curve = series(table, curves.RMSE.of(curves.LINEAR), "test")
    times = np.asarray(curve.index, np.float64)
    chosen = (times >= 2.0**6) & (times <= LATE)
    enough = chosen.sum() > 2 and times[-1] >= LATE * (1 - 1e-9)
    return power_law(times[chosen], curve.to_numpy()[chosen]).slope if enough else float("nan")


def late_gap(table: pd.DataFrame) -> float:
    """Test accuracy at t = 2^14, network less linearised."""
    return at(table, curves.ACCURACY.of(curves.NETWORK), LATE, "test") - at(
        table, curves.ACCURACY.of(curves.LINEAR), LATE, "test"
    )


def late_distance(table: pd.DataFrame) -> float:
    """RMSE at t = 2^14, carried to the paper's n = 2048 by the power -3/4, midway between -1/2 and -1."""
    return at(table, curves.RMSE.of(curves.LINEAR), LATE, "test") * float(table["width"].iloc[0] / 2048) ** 0.75


ACCURACY = (
    "the paper's 512 images have a standard error of .009, ours of .002; which images are scaled how moves a two-layer "
    "network's accuracy by less than .01"
)
CLAIMS = (
    Claim(
        id="figs3.test_accuracy_network",
        sentence="The network has the paper's test accuracy at t = 2^14.",
        source="Figure S3, accuracy panel, t = 2^14",
        kind="read_off",
        reference=("figs3/accuracy/test_network",),
        measure=lambda table: at(table, curves.ACCURACY.of(curves.NETWORK), LATE, "test"),
        expected="0.959",
        band=(0.935, 0.983),
        why=ACCURACY,
    ),
    Claim(
        id="figs3.test_accuracy_linear",
        sentence="The linearization has the paper's test accuracy at t = 2^14.",
        source="Figure S3, accuracy panel, t = 2^14",
        kind="read_off",
        reference=("figs3/accuracy/test_linear",),
        measure=lambda table: at(table, curves.ACCURACY.of(curves.LINEAR), LATE, "test"),
        expected="0.949",
        band=(0.925, 0.973),
        why=ACCURACY,
    ),
    Claim(
        id="figs3.test_accuracy_gap",
        sentence="The network classifies a little better than its linearization, by as much as in the paper.",
        source="Figure S3, accuracy panel, network less linearised at t = 2^14",
        kind="read_off",
        reference=("figs3/accuracy/test_*",),
        measure=late_gap,
        expected="0.010 (.008 at t = 2^13, 2^15)",
        band=(0.0, 0.03),
        why=(
            "on the same images the two models differ on few, so that 512 give .01 +- .007; at n = 512 features are learnt "
            "up to four times as much (1/n), hence .03"
        ),
    ),
    Claim(
        id="figs3.train_loss_1024",
        sentence="The train loss at t = 2^10 is the paper's.",
        source="Figure S3, loss panel: train loss at t = 2^10",
        kind="read_off",
        reference=("figs3/loss/train_network",),
        measure=lambda table: at(table, curves.LOSS.of(curves.NETWORK), 1024.0, "train"),
        expected="0.0309 (network), 0.0316 (linear)",
        band=(0.0253, 0.0377),
        why=(
            "the mean over 512 images of a loss as wide as its mean errs by .1 or so, ours over more by less: two of these; "
            "the initial function has been forgotten, and a clock off by 2 is .0248 or .0384"
        ),
    ),
    Claim(
        id="figs3.rmse_growth",
        sentence="The distance of network and linearization grows about like the square root of t.",
        source="Figure S3, RMSE panel: d log RMSE / d log t over 2^6..2^14",
        kind="read_off",
        reference=("figs3/rmse/empirical_kernel",),
        measure=growth,
        expected="0.49 (.034 at 2^6, .567 at 2^14)",
        band=(0.3, 0.7),
        why="the curve is no exact power: its local slopes run from .2 to .9, their mean over eight octaves is stable to .2",
    ),
    Claim(
        id="figs3.rmse_late",
        sentence="The distance of network and linearization at t = 2^14 is the paper's, larger for narrower networks.",
        source="Figure S3, RMSE panel: t = 2^14, times (n / 2048)^(3/4)",
        kind="read_off",
        reference=("figs3/rmse/empirical_kernel",),
        measure=late_distance,
        expected="0.567 at n = 2048",
        band=(0.30, 1.08),
        why="the distance falls like n^-1/2 to n^-1, which leaves a factor 1.4 at n = 512; two of a network's .15: 1.35",
    ),
    starts_together("figs3", 1e-5, "outputs of order 2 in float32: a few units of 1.2e-7"),
)

EXPERIMENT = Experiment(
    name="figs3",
    title="Figure S3: mini-batches and cross-entropy on MNIST (ReLU, L = 2)",
    title_names={"mini-batches": BATCHES, "cross-entropy": LOSS, "MNIST": DATA, "ReLU": ACTIVATION, "L = 2": DEPTH},
    problem={"all classes": CLASSES},
    run=TRAJECTORIES,
    draw=SHOWN.draw,
    size=SHOWN.size,
    overlays=SHOWN.told,
    claims=CLAIMS,
)
