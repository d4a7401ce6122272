"""Any model on any data under any optimizer and loss, beside its linearization: the six-panel figure.

Panels   train output, test output, weight change / loss, accuracy, RMSE of the test outputs to the linearised model
         moved by the same steps and to the same with the infinite-width kernel; all against t.  With a swept width:
         that RMSE, at the end and at its peak, against n with its power law.  With linearity=true a row more: change and
         alignment of the kernel, change of layers, sharpness (docs/linearity.md).
Setting  whatever the command line says; see the groups model, data, optimizer and the key loss (docs/lockstep.md).  The
         network may be one of your own (docs/own_network.md).
"""

import pandas as pd
from matplotlib.figure import FigureBase

from ntkrun.experiments.analysis.linearity import has_linearity, with_linearity
from ntkrun.experiments.analysis.trajectories import STEP_RIVALS, starts_together
from ntkrun.experiments.analysis.trajectory_figure import RunFigure, six_panels
from ntkrun.experiments.analysis.width_slopes import draw_slopes, slopes_size
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.runs import TRAJECTORIES
from ntkrun.experiments.titles import DATA, NETWORK
from ntkrun.settings.runs import FreeSettings

SIX = six_panels(None, STEP_RIVALS)
NINE = with_linearity(SIX)


def size(table: pd.DataFrame) -> tuple[float, float]:
    return slopes_size(table) if several_widths(table) else panels(table).size(table)


def panels(table: pd.DataFrame) -> RunFigure:
    return NINE if has_linearity(table) else SIX


def draw(figure: FigureBase, table: pd.DataFrame) -> None:
    if several_widths(table):
        draw_slopes(figure, table)
    else:
        panels(table).draw(figure, table)


def told(table: pd.DataFrame) -> str:
    return "" if several_widths(table) else panels(table).told(table)


def several_widths(table: pd.DataFrame) -> bool:
    return table["width"].nunique() > 1


CLAIMS = (starts_together("lockstep", 1e-5, "outputs of order 1 in float32 through up to ~20 layers"),)

EXPERIMENT = Experiment(
    name="lockstep",
    of_the_paper=False,
    title="Network and linearization in lockstep (CIFAR-10, fully-connected, ReLU, L = 3)",
    title_names={"CIFAR-10": DATA, "fully-connected, ReLU, L = 3": NETWORK},
    run=TRAJECTORIES,
    draw=draw,
    size=size,
    overlays=told,
    claims=CLAIMS,
    settings=FreeSettings,
)
