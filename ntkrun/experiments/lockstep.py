"""Any model on any data under any optimizer and loss, beside its linearization: the six-panel figure.

Panels   train output, test output, weight change / loss, accuracy, RMSE of the test outputs to the linearised model
         moved by the same steps and to the same with the infinite-width kernel; all against t.  With a swept width:
         that RMSE, at the end and at its peak, against n with its power law.
Setting  whatever the command line says; see the groups model, data, optimizer and the key loss.
"""

import pandas as pd
from matplotlib.figure import Figure

from ntkrun.claims import ALL_SCALES, Claim
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.panels import STEP_RIVALS, six_panels
from ntkrun.experiments.trajectories import follow
from ntkrun.experiments.width_slopes import slopes_figure
from ntkrun.tables import series


def plot(table: pd.DataFrame) -> Figure:
    if table["width"].nunique() > 1:
        return slopes_figure(table)
    return six_panels(table, None, STEP_RIVALS)


CLAIMS = (
    Claim(
        "lockstep.starts_together",
        "eq. (5): f_lin = f at theta_0",
        "theory",
        lambda table: series(table, "rmse/linear", "test").iloc[0],
        "0",
        0.0,
        1e-5,
        ALL_SCALES,
        "outputs of order 1 in float32 through up to ~20 layers",
        real_data=False,
    ),
)

EXPERIMENT = Experiment(
    name="lockstep",
    title="Network and linearization in lockstep",
    run=follow,
    plot=plot,
    claims=CLAIMS,
)
