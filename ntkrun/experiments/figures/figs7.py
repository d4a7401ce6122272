"""Figure S7: test accuracy against the learning rate in both parameterizations.

Panels   (a) MNIST, (b) CIFAR-10: test accuracy after training against eta, for phi in {ReLU, tanh}, squared loss and
         cross-entropy, NTK and standard parameterization (eta_std = eta / n, (S36)).
Setting  ours: a fully-connected network with L = 2, heavy ball, mini-batches; see configs/experiment/figs7.yaml.  A cell
         is one curve: all its networks start from one theta_0 and see the same batches.
Theory   (S37): the standard parameterization moves like the NTK one with other rates of the layers.
Here     a shorter run learns at larger eta: where accuracy begins to rise goes with eta times the number of steps
         (docs/figure_s7.md).
"""

import pandas as pd
from matplotlib.figure import FigureBase

from ntkrun.experiments.analysis.rate_scan import COLUMNS, best, draw_scans, parameterization_gap, scans_size
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Claim
from ntkrun.experiments.runs import RATE_SCAN
from ntkrun.experiments.titles import DATA, PARAMETERIZATIONS
from ntkrun.settings.runs import RateSettings

SETS = ("mnist", "cifar10")


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    draw_scans(figure, table, "figs7", SETS)


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
        depends_on=("loss", "model.activation", "model.parameterization", "data", "rates", "optimizer.steps"),
        expected="0.982",
        band=(0.97, 0.99),
        scales=("paper",),
        why="a shorter run ends lower; 10,000 images have a standard error of .0013",
    ),
)

EXPERIMENT = Experiment(
    name="figs7",
    title="Figure S7: test accuracy against the learning rate in both parameterizations",
    title_names={"both parameterizations": PARAMETERIZATIONS},
    problem={"MNIST": DATA.of_part("mnist"), "CIFAR-10": DATA.of_part("cifar10")},
    run=RATE_SCAN,
    draw=draw,
    size=scans_size,
    shown=COLUMNS,
    claims=CLAIMS,
    settings=RateSettings,
    columns=COLUMNS,
)
