"""What is claimed of a network and its linearization along one training run."""

import numpy as np
import pandas as pd

from ntkrun import tables
from ntkrun.claims import ALL_SCALES, Claim


def starts_together(figure: str, high: float, why: str) -> Claim:
    """The claim that f_lin = f at theta_0."""
    return Claim(
        f"{figure}.starts_together",
        "eq. (5): f_lin = f at theta_0",
        "theory",
        lambda table: tables.series(table, "rmse/linear", "test").iloc[0],
        "0",
        0.0,
        high,
        ALL_SCALES,
        why,
        real_data=False,
    )


def bump_time(table: pd.DataFrame) -> float:
    """Time at which the RMSE to flow with the empirical kernel has its early maximum (0 < t < .64)."""
    curve = tables.series(table, "rmse/flow_empirical", "test")
    times, values = np.asarray(curve.index, np.float64), curve.to_numpy()
    early = (times > 0) & (times < 0.64)
    return float(times[early][values[early].argmax()])
