"""The numbers that a run tells at a record point, while it computes: what its table will have there, or means over members."""

from collections.abc import Mapping

import numpy as np

from ntkrun.devices.placement import on_the_host
from ntkrun.dynamics.metrics import LOSSES
from ntkrun.lockstep.progress import Progress
from ntkrun.settings.choices import Loss

Measured = dict[tuple[str, str], float]  # (curve, split) -> number
LEARNING_RATE = "learning_rate"  # eta of the step behind the record point; behind the last one, its own


def tell(progress: Progress, step: int, time: float, rate: float, measured: Mapping[tuple[str, str], float]) -> None:
    """Tell them by names that one word says: `learning_rate`, `loss/network/train`, `rmse/linear/test`."""
    named = {f"{curve}/{split}" if split else curve: value for (curve, split), value in measured.items()}
    progress.recorded(step, float(time), {LEARNING_RATE: float(rate)} | named)


@on_the_host()
def mean_loss(loss: Loss, outputs: np.ndarray, y: np.ndarray) -> float:
    """Of networks side by side, outputs (s, n, k), y (n, k): every loss is an average, hence that of all of them at once."""
    f = np.asarray(outputs, np.float64)
    return float(LOSSES[loss](f.reshape(-1, f.shape[-1]), np.tile(y, (len(f), 1))))


def rate_at(rates: np.ndarray, step: int) -> float:
    """eta_i of rates (steps,) for i = step, or of the last step."""
    return float(rates[min(step, len(rates) - 1)])
