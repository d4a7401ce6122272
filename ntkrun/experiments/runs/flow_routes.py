"""The linearised model by two routes, its own steps and the ODE: what one cell of Figure S4 runs and records."""

from collections.abc import Mapping

import numpy as np

from ntkrun import tables
from ntkrun.devices.placement import on_the_host
from ntkrun.dynamics import metrics
from ntkrun.dynamics.optimizers import record_steps
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.runs.planned_work import PlannedWork, training_work
from ntkrun.experiments.runs.prepare import check_learning_rate, set_up_training
from ntkrun.experiments.runs.recorded import Measured, rate_at, tell
from ntkrun.experiments.runs.routes import Wanted
from ntkrun.experiments.runs.trajectories import build_rivals, flow_rivals, kernels_at_init
from ntkrun.lockstep.loop import FullBatch, Observation, run_lockstep
from ntkrun.lockstep.progress import Progress
from ntkrun.settings.runs import FlowRoutesSettings

WANTED = Wanted(analytic=False, solver=True)
RECORDED = 5  # images whose first logits are kept: as many as the paper shows


def compute(settings: FlowRoutesSettings, cell: str, progress: Progress) -> CellResult:
    """Network and f_lin in lockstep, then the ODE at the same times; first logits, and their distances over all images."""
    setup = set_up_training(settings, progress, WANTED)
    label = f"{settings.experiment} {cell}"
    progress.phase(label, "kernels")
    kernels = kernels_at_init(setup)
    assert kernels is not None  # the settings are those of two routes in function space
    facts = check_learning_rate(setup, progress) | {"data": setup.data.describe()}
    times, rates = setup.optimizer.flow_times(), setup.optimizer.learning_rates()
    steps = record_steps(times, settings.record.first_time, settings.record.per_octave)
    rivals = build_rivals(setup, kernels)
    progress.phase(label, "gradient flow")
    flow = flow_rivals(setup, kernels, rivals[curves.NETWORK], steps)[curves.FLOW_EMPIRICAL]
    seen = {curves.FLOW: flow, curves.NETWORK: [], curves.LINEAR: []}
    measures = []
    for step, found in run_lockstep(rivals, steps, FullBatch(), progress, label, devices=settings.devices):
        for rival, observation in found.items():
            seen[rival].append(observation)
        measures.append(measured(settings, setup.data.y_train, found, flow[len(measures)]))
        tell(progress, step, times[step], rate_at(rates, step), measures[-1])
    logits = {rival: np.stack([np.asarray(o["test"], np.float64)[:, 0] for o in all_]) for rival, all_ in seen.items()}
    frames = [
        tables.rows(curves.LOGIT.of(name), "test", steps, list(times[steps]), f[:, :RECORDED])
        for name, f in logits.items()
    ]
    for curve, split in measures[0]:
        values = np.asarray([found[curve, split] for found in measures])
        frames.append(tables.rows(curve, split, steps, list(times[steps]), values))
    same = dict(figure=settings.experiment, cell=cell)
    table = tables.tidy(frames, seed=settings.seed, width=settings.model.width, **same)
    return CellResult(table, facts)


@on_the_host()
def measured(
    settings: FlowRoutesSettings, y_train: np.ndarray, found: Mapping[str, Observation], flow: Observation
) -> Measured:
    """Distances of the first logits between the network, f_lin and the ODE, and the network's loss, at one record point."""
    at = {rival: np.asarray(one["test"], np.float64)[None, :, 0] for rival, one in {**found, curves.FLOW: flow}.items()}
    pairs = {curves.LINEAR: (curves.NETWORK, curves.LINEAR), curves.ROUTES: (curves.LINEAR, curves.FLOW)}
    apart: Measured = {
        (curves.RMS.of(name), "test"): float(np.sqrt(np.mean((at[one] - at[other]) ** 2, axis=1))[0])
        for name, (one, other) in pairs.items()
    }
    seen = found[curves.NETWORK]["train"]
    loss = float(metrics.LOSSES[settings.loss](seen, y_train[: settings.record.train_examples]))
    return apart | {(curves.LOSS.of(curves.NETWORK), "train"): loss}


def planned_work(settings: FlowRoutesSettings, block_bytes: int) -> PlannedWork:
    return training_work(settings, block_bytes, WANTED)
