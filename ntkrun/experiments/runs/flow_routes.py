"""The linearised model by two routes, its own steps and the ODE: what one cell of Figure S4 runs and records."""

import numpy as np

from ntkrun import tables
from ntkrun.devices.placement import on_the_host
from ntkrun.dynamics import metrics
from ntkrun.dynamics.optimizers import record_steps
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.runs.planned_work import PlannedWork, training_work
from ntkrun.experiments.runs.prepare import check_learning_rate, set_up_training
from ntkrun.experiments.runs.routes import Wanted
from ntkrun.experiments.runs.trajectories import build_rivals, flow_rivals, kernels_at_init
from ntkrun.lockstep.loop import FullBatch, run_lockstep
from ntkrun.lockstep.progress import Progress
from ntkrun.settings.runs import FlowRoutesSettings

WANTED = Wanted(analytic=False, solver=True)
RECORDED = 5  # images whose first logits are kept: as many as the paper shows


def compute(settings: FlowRoutesSettings, cell: str, progress: Progress) -> CellResult:
    """Network and f_lin in lockstep, then the ODE at the same times; first logits, and their distances over all images."""
    setup = set_up_training(settings, progress, WANTED)
    kernels = kernels_at_init(setup)
    assert kernels is not None  # the settings are those of two routes in function space
    facts = check_learning_rate(setup, progress) | {"data": setup.data.describe()}
    times, label = setup.optimizer.flow_times(), f"{settings.experiment} {cell}"
    steps = record_steps(times, settings.record.first_time, settings.record.per_octave)
    rivals = build_rivals(setup, kernels)
    flow = flow_rivals(setup, kernels, rivals[curves.NETWORK], steps)[curves.FLOW_EMPIRICAL]
    seen = {curves.FLOW: flow, curves.NETWORK: [], curves.LINEAR: []}
    for _, found in run_lockstep(rivals, steps, FullBatch(), progress, label, devices=settings.devices):
        for rival, observation in found.items():
            seen[rival].append(observation)
    logits = {rival: np.stack([np.asarray(o["test"], np.float64)[:, 0] for o in all_]) for rival, all_ in seen.items()}
    pairs = {curves.LINEAR: (curves.NETWORK, curves.LINEAR), curves.ROUTES: (curves.LINEAR, curves.FLOW)}
    frames = [
        tables.rows(curves.LOGIT.of(name), "test", steps, list(times[steps]), f[:, :RECORDED])
        for name, f in logits.items()
    ]
    for name, (one, other) in pairs.items():
        apart = np.sqrt(np.mean((logits[one] - logits[other]) ** 2, axis=1))
        frames.append(tables.rows(curves.RMS.of(name), "test", steps, list(times[steps]), apart))
    y_train = setup.data.y_train[: settings.record.train_examples]
    with on_the_host():
        loss = [float(metrics.LOSSES[settings.loss](o["train"], y_train)) for o in seen[curves.NETWORK]]
    name = curves.LOSS.of(curves.NETWORK)
    frames.append(tables.rows(name, "train", steps, list(times[steps]), np.asarray(loss)))
    same = dict(figure=settings.experiment, cell=cell)
    table = tables.tidy(frames, seed=settings.seed, width=settings.model.width, **same)
    return CellResult(table, facts)


def planned_work(settings: FlowRoutesSettings, block_bytes: int) -> PlannedWork:
    return training_work(settings, block_bytes, WANTED)
