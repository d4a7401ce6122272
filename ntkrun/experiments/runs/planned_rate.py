"""eta_critical before a run: by the kernel of the infinitely wide network, on a sample of the images."""

from functools import lru_cache
from typing import Any

from ntkrun.experiments.runs.planned_work import planned_images, sizes
from ntkrun.experiments.runs.prepare import CRITICAL_SAMPLE
from ntkrun.experiments.runs.recursion import recursion_kernels
from ntkrun.settings.runs import RateSettings, RunSettings
from ntkrun.theory.learning_rate import eta_critical

# Statistics of the preprocessing come from so many images at most: whether one sees 2,000 or 50,000 moves lambda_max / N by
# a few per cent, as much as the sample does.
LOADED = 2000


def planned_eta_critical(settings: RunSettings) -> float | None:
    """eta_critical of Theorem 2.1 as far as it is known before theta_0 is drawn, to tens of per cent for narrow networks.

    None without a recursion for the kernel that costs little, for steps that are not linear in the gradient, without images,
    and where eta is what a run varies by itself.
    """
    if isinstance(settings, RateSettings) or not (settings.model.analytic_kernel and settings.model.cheap_kernel):
        return None
    if not settings.optimizer.linear_in_gradient:
        return None
    images = min(sizes(settings.data, settings.loss)[0], LOADED)
    limit: Any = settings.model_copy(
        update={
            "seed": 0,
            "model": settings.model.model_copy(update={"width": 1}),
            "data": settings.data.model_copy(update={"n_train": images, "n_test": 1}),
        }
    )
    return _of_infinite_width(
        limit.model, limit.theory, limit.data, limit.trained, limit.loss, settings.optimizer.momentum
    )


@lru_cache(maxsize=64)
def _of_infinite_width(model: Any, theory: Any, data: Any, trained: Any, loss: Any, momentum: float) -> float | None:
    """Cells that differ in width, seed, steps or eta share it."""
    found = planned_images(data, loss)
    if found is None:
        return None
    theta = recursion_kernels(model, theory, found.x_train[:CRITICAL_SAMPLE], trained=trained).ntk
    return eta_critical(theta, found.y_train.shape[1], loss=loss, momentum=momentum)
