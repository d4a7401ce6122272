"""One network a learning rate, all on the same batches: what one cell of Figure S7 runs and records."""

import numpy as np

from ntkrun import tables
from ntkrun.costs import Piece
from ntkrun.dynamics.ensemble import Ensemble
from ntkrun.dynamics.protocol import run_lockstep
from ntkrun.dynamics.rates import AtRate
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.setup import batches_of, set_up
from ntkrun.experiments.work import training_work
from ntkrun.kernels.device import on_device
from ntkrun.kernels.empirical import ntk_scale
from ntkrun.progress import Progress
from ntkrun.settings import RateSettings

LOSSES = {"mse": "mse", "cross_entropy": "xent"}


def run(settings: RateSettings, cell: str, progress: Progress) -> CellResult:
    """Train one network a rate, all on the same batches; their test accuracies at the end."""
    setup, optimizer = set_up(settings, progress), settings.optimizer
    dtype = setup.x_train.dtype
    etas = np.geomspace(settings.lowest_rate, settings.highest_rate, settings.rates)
    y_train, y_test = (on_device(y, dtype) for y in (setup.data.y_train, setup.data.y_test))
    members = AtRate(
        theta0=setup.theta0, x_train=setup.x_train, y_train=y_train, x_test=setup.x_test, model=setup.model,
        tx=setup.optimizer.scaled(ntk_scale(setup.model)), loss=settings.loss, watched=(),
        chunk=settings.record.chunk, rate=on_device(etas, dtype), y_test=y_test,
    )  # fmt: skip
    label = f"{settings.experiment} {cell}"
    rivals = {"network": Ensemble(members, AtRate.VARYING)}
    lockstep = run_lockstep(rivals, [optimizer.steps], batches_of(setup), progress, label, devices=settings.devices)
    (seen,) = [found["network"] for _, found in lockstep]
    name = f"{settings.data.name}/{settings.model.activation}_{LOSSES[settings.loss]}_{settings.model.parameterization}"
    steps = [optimizer.steps] * settings.rates
    frames = [
        tables.rows(f"{what}/{name}", "test", steps, list(etas), np.asarray(values)) for what, values in seen.items()
    ]
    table = tables.tidy(frames, figure=settings.experiment, cell=cell, seed=settings.seed, width=settings.model.width)
    return CellResult(table, {"data": setup.data.describe()})


def work(settings: RateSettings) -> tuple[int, list[Piece]]:
    return training_work(settings, networks=settings.rates)
