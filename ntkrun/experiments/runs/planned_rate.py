"""eta_critical before a run: by the kernel of the infinitely wide network, on a sample of the images."""

from functools import lru_cache
from typing import Any

from ntkrun.experiments.runs.planned_work import planned_images, sizes
from ntkrun.experiments.runs.prepare import CRITICAL_SAMPLE, limit_of
from ntkrun.experiments.runs.recursion import recursion_kernels
from ntkrun.settings.runs import RateSettings, RunSettings
from ntkrun.theory.learning_rate import eta_critical

# Statistics of the preprocessing come from so many images at most: whether one sees 2,000 or 50,000 moves lambda_max / N by
# a few per cent, as much as the sample does.
LOADED = 2000


def planned_eta_critical(settings: RunSettings) -> float | None:
    """eta_critical of Theorem 2.1 as far as it is known before theta_0 is drawn, to tens of per cent for narrow networks.

    None without a recursion for the kernel that costs little, for an optimizer without `stable_product`, without images, and
    where eta is what a run varies by itself.
    """
    if isinstance(settings, RateSettings) or not (settings.model.analytic_kernel and settings.model.cheap_kernel):
        return None
    if settings.optimizer.stable_product is None:
        return None
    images = min(sizes(settings.data, settings.loss)[0], LOADED)
    limit: Any = settings.model_copy(
        update={
            "seed": 0,
            "model": settings.model.model_copy(update={"width": 1}),
            "data": settings.data.model_copy(update={"n_train": images, "n_test": 1}),
        }
    )
    product = limit_of(settings.optimizer)
    return _of_infinite_width(limit.model, limit.theory, limit.data, limit.trained, limit.loss, product)


@lru_cache(maxsize=64)
def _of_infinite_width(
    model: Any, theory: Any, data: Any, trained: Any, loss: Any, stable_product: float | None
) -> float | None:
    """Cells that differ in width, seed, steps or eta share it."""
    found = planned_images(data, loss)
    if found is None:
        return None
    theta = recursion_kernels(model, theory, found.x_train[:CRITICAL_SAMPLE], trained=trained).ntk
    return eta_critical(theta, found.y_train.shape[1], loss=loss, stable_product=stable_product)
