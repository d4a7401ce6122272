"""One network a learning rate, all on the same batches: what one cell of Figure S7 runs and records.

Curves of the networks at the end of training, against the column `eta`: ACCURACY on the test images, and FINITE.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ntkrun import tables
from ntkrun.devices.placement import on_device
from ntkrun.dynamics.network import NetworkAtRate
from ntkrun.dynamics.observers import TestAccuracy
from ntkrun.dynamics.optimizers import Optimizer
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.curves import Quantity
from ntkrun.experiments.runs.image_sizes import input_shape
from ntkrun.experiments.runs.planned_work import (
    Lockstep,
    PlannedWork,
    batch_shapes,
    count,
    parameter_shapes,
    shape,
    sizes,
)
from ntkrun.experiments.runs.prepare import batches_of, model_from, set_up_training
from ntkrun.kernels.empirical import ntk_scale
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import run_lockstep
from ntkrun.lockstep.progress import Progress
from ntkrun.models.functions import Model
from ntkrun.settings.runs import RateSettings
from ntkrun.types import Array, Params


def compute(settings: RateSettings, cell: str, progress: Progress) -> CellResult:
    """Train one network a rate, all on the same batches; their test accuracies at the end."""
    setup, optimizer = set_up_training(settings, progress), settings.optimizer
    dtype = setup.x_train.dtype
    etas = np.geomspace(settings.lowest_rate, settings.highest_rate, settings.rates)
    y_train, y_test = (on_device(y, dtype) for y in (setup.data.y_train, setup.data.y_test))
    arrays = (setup.theta0, setup.x_train, y_train, setup.x_test, y_test, on_device(etas, dtype))
    label = f"{settings.experiment} {cell}"
    rivals = {curves.NETWORK: ensemble_of(settings, setup.model, *arrays)}
    lockstep = run_lockstep(rivals, [optimizer.steps], batches_of(setup), progress, label, devices=settings.devices)
    (seen,) = [found[curves.NETWORK] for _, found in lockstep]
    steps, times = [optimizer.steps] * settings.rates, [0.0] * settings.rates
    frames = [
        tables.rows(Quantity(what).of(curves.NETWORK), "test", steps, times, np.asarray(values)).assign(eta=etas)
        for what, values in seen.items()
    ]
    table = tables.tidy(frames, figure=settings.experiment, cell=cell, seed=settings.seed, width=settings.model.width)
    return CellResult(table, {"data": setup.data.describe()})


def ensemble_of(
    settings: RateSettings,
    model: Model,
    theta0: Params,
    x: Array,
    y: Array,
    x_test: Array,
    y_test: Array,
    rates: Array,
) -> Ensemble:
    tx = Optimizer(settings.optimizer, settings.weight_decay).scaled(ntk_scale(model))
    how: dict[str, Any] = dict(model=model, tx=tx, loss=settings.loss, watched=(), chunk=settings.record.chunk)
    member = NetworkAtRate(theta0, x, y, x_test, rate=rates, **how, observer=TestAccuracy(y_test))
    return Ensemble(member, ("rate",))


def planned_work(settings: RateSettings, block_bytes: int) -> PlannedWork:
    n, m, k = sizes(settings.data, settings.loss)
    dtype, image = jnp.dtype(settings.model.dtype), input_shape(settings.data)
    model = model_from(settings.model, n_outputs=k, trained=settings.trained, matmul=settings.matmul)
    theta0 = parameter_shapes(model, image, dtype)
    sets = ((n, *image), (n, k), (m, *image), (m, k), (settings.rates,))
    arrays = [shape(*size, dtype=dtype) for size in sets]

    def rivals(*arrays: Any) -> tuple:
        return (ensemble_of(settings, model, *arrays),)

    steps, batch = settings.optimizer.steps, batch_shapes(settings)
    return PlannedWork(count(theta0), Lockstep.of(rivals, theta0, *arrays, steps=steps, records=1, batch=batch))
