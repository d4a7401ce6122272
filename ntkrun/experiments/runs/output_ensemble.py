"""Ensembles of networks against the distribution of outputs in theory: what Figures 2 and S1 share.

Inputs are re-normalised interpolations x(alpha) = alpha x_1 + (1 - alpha) x_2 between two training inputs of different
class.  One cell trains `networks` networks as one; their outputs stand in the table under each network's own seed.

output/network            (alpha)        f_t of each network
mean/ntk, variance/ntk    (alpha)        eqs (14), (15); with trained=readout Theta = K, and they are those below
mean/nngp, variance/nngp  (alpha)        eqs (S22), (S23)
covariance/ntk            (probe, probe) eq (15) at the alphas of PROBES, flattened
alpha                     (alpha)        the grid itself
target                    (0, 1)         y at alpha = 1 (x_1) and at alpha = 0 (x_2)
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ntkrun import tables
from ntkrun.data.preprocess import rescale_to_sphere
from ntkrun.data.span import span_coordinates
from ntkrun.devices.placement import on_device
from ntkrun.dynamics.network import Network
from ntkrun.dynamics.optimizers import Optimizer, record_steps
from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.probes import probes
from ntkrun.experiments.runs.planned_work import (
    Lockstep,
    PlannedWork,
    count,
    parameter_shapes,
    planned_images,
    shape,
    sizes,
    span,
)
from ntkrun.experiments.runs.prepare import (
    TrainingSetup,
    check_learning_rate,
    initial_each,
    model_from,
    set_up_training,
)
from ntkrun.experiments.runs.random_keys import member_keys
from ntkrun.experiments.runs.recorded import mean_loss, rate_at, tell
from ntkrun.experiments.runs.trajectories import analytic_pair
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import FullBatch, run_lockstep
from ntkrun.lockstep.progress import Progress
from ntkrun.models.functions import Model
from ntkrun.settings.runs import OutputEnsembleSettings
from ntkrun.theory.closed_form import gradient_descent
from ntkrun.theory.output_distribution import OutputDistribution, nngp_gp, ntk_gp
from ntkrun.types import Array, Params


def interpolation(x: np.ndarray, points: tuple[int, int], alphas: np.ndarray) -> np.ndarray:
    """x(alpha) on the sphere ||x||^2 = n_0, (m, n_0)."""
    if max(points) >= len(x):
        raise UserError(f"points={list(points)} must be below the {len(x)} training inputs")
    first, second = (np.asarray(x[i], np.float64).reshape(-1) for i in points)
    return rescale_to_sphere(alphas[:, None] * first + (1 - alphas[:, None]) * second)


def panel_steps(axis: np.ndarray, times: tuple[float, ...]) -> list[int]:
    """The steps at which the axis reads `times`; UserError where no step does, and where steps follow the last."""
    steps = [int(np.argmin(np.abs(axis - t))) for t in times]
    for t, step in zip(times, steps, strict=True):
        if abs(axis[step] - t) > 1e-6 * max(t, 1.0):  # sums of float32 rates
            raise UserError(f"times: no step of this schedule ends at t = {t:g}; the nearest at {axis[step]:g}")
    if (last := max(steps)) < len(axis) - 1:
        raise UserError(
            f"optimizer.steps={len(axis) - 1}: nothing is recorded after the last of times, at step {last}: "
            f"use optimizer.steps={last}, or add a time"
        )
    return steps


def theory(setup: TrainingSetup, x: np.ndarray, line: np.ndarray, steps: list[int]) -> dict[str, OutputDistribution]:
    """(14, 15) and (S22, S23) after these steps of gradient descent."""
    settings = setup.settings
    train, cross, prior = (analytic_pair(settings, a, b) for a, b in ((x, None), (line, x), (line, None)))
    given = (train, cross, prior, setup.data.y_train, np.asarray(steps, np.float64))
    how: dict[str, Any] = dict(learning_rates=setup.optimizer.learning_rates(), diag_reg=settings.theory.diag_reg)
    return {name: gp(*given, **how) for name, gp in ((curves.NTK, ntk_gp), (curves.NNGP, nngp_gp))}


def train(setup: TrainingSetup, x: np.ndarray, line: np.ndarray, steps: list[int], label: str, progress: Progress):
    """Outputs on the line of every network, {step: (s, m)}; the mean of their losses is told on the way."""
    settings, dtype = setup.settings, setup.x_train.dtype
    assert isinstance(settings, OutputEnsembleSettings)
    x_train, x_line, y = (on_device(a, dtype) for a in (x, line, setup.data.y_train))
    keys = member_keys(settings.members, "theta0")
    theta0 = initial_each(setup.model, keys, np.asarray(x[:1], dtype))
    ensemble = ensemble_of(settings, setup.model, theta0, x_train, y, x_line)
    bound = settings.converged

    def converged(seen) -> bool:
        return bound is not None and bool(np.abs(seen[curves.NETWORK]["train"] - setup.data.y_train).max() < bound)

    recorded = recorded_steps(settings)
    run = run_lockstep({curves.NETWORK: ensemble}, recorded, FullBatch(), progress, label, converged, settings.devices)
    axis, rates, found = setup.optimizer.axis_times(), setup.optimizer.learning_rates(), {}
    for step, seen in run:
        loss = mean_loss(settings.loss, seen[curves.NETWORK]["train"], setup.data.y_train)
        tell(progress, step, axis[step], rate_at(rates, step), {(curves.LOSS.of(curves.NETWORK), "train"): loss})
        if step in steps:
            found[step] = seen[curves.NETWORK]["test"][:, :, 0]
    return found


def recorded_steps(settings: OutputEnsembleSettings) -> list[int]:
    """Those of the panels, and those at which it is looked whether anything moves."""
    axis = Optimizer(settings.optimizer).axis_times()
    looked_at = record_steps(axis, settings.record.first_time, settings.record.per_octave)
    return sorted({*panel_steps(axis, settings.times), *looked_at})


def ensemble_of(
    settings: OutputEnsembleSettings, model: Model, theta0: Params, x: Array, y: Array, line: Array
) -> Ensemble:
    """Networks of theta0 with a leading axis s, observed on the line."""
    same: dict[str, Any] = dict(tx=Optimizer(settings.optimizer).scaled(1.0), loss=settings.loss, watched=())
    return Ensemble(Network(theta0, x, y, line, model=model, **same), ("theta0",))


def compute(settings: OutputEnsembleSettings, cell: str, progress: Progress) -> CellResult:
    """One cell: train its networks, evaluate the theory, stack both."""
    setup = set_up_training(settings, progress)
    facts = check_learning_rate(setup, progress) | {"data": setup.data.describe()}
    alphas = np.linspace(-2.0, 3.0, settings.alphas)
    pixels = np.asarray(setup.data.x_train, np.float64).reshape(len(setup.data.x_train), -1)
    x, line = span_coordinates(pixels, interpolation(pixels, settings.points, alphas))
    axis = setup.optimizer.axis_times()
    steps = panel_steps(axis, settings.times)
    times = list(axis[steps])
    outputs = train(setup, x, line, steps, f"{settings.experiment} {cell}", progress)
    same: dict[str, Any] = dict(figure=settings.experiment, cell=cell, width=settings.model.width)
    targets = setup.data.y_train[list(settings.points), 0]
    frames = [
        tables.rows(curves.ALPHA, "", [0], [0.0], alphas[None]),
        tables.rows(curves.TARGET, "", [0], [0.0], targets[None]),
    ]
    for name, found in theory(setup, x, line, steps).items():
        variance = np.diagonal(found.covariance, axis1=1, axis2=2)
        frames.append(tables.rows(curves.MEAN.of(name), "test", steps, times, found.mean[:, :, 0]))
        frames.append(tables.rows(curves.VARIANCE.of(name), "test", steps, times, variance))
        if name == curves.NTK:
            at = probes(alphas)
            block = found.covariance[:, at[:, None], at].reshape(len(steps), -1)
            frames.append(tables.rows(curves.COVARIANCE.of(name), "test", steps, times, block))
    whole = [tables.tidy(frames, seed=settings.seed, **same)]
    for place, member in enumerate(settings.members):
        values = np.stack([outputs[step][place] for step in steps])
        rows = tables.rows(curves.OUTPUT.of(curves.NETWORK), "test", steps, times, values)
        whole.append(tables.tidy([rows], seed=member.seed, **same))
    return CellResult(pd.concat(whole, ignore_index=True), facts)


def planned_work(settings: OutputEnsembleSettings, block_bytes: int) -> PlannedWork:
    n, _, k = sizes(settings.data, settings.loss)
    dtype, inputs = jnp.dtype(settings.model.dtype), (span(settings.data, n),)
    model = model_from(settings.model, n_outputs=k, trained=settings.trained, matmul=settings.matmul)
    theta0 = parameter_shapes(model, inputs, dtype)
    x, y, line = (shape(rows, *row, dtype=dtype) for rows, row in ((n, inputs), (n, (k,)), (settings.alphas, inputs)))
    found = steps_expected(settings)
    end = settings.optimizer.steps if found is None else found
    records = sum(step <= end for step in recorded_steps(settings))

    def rivals(theta0: Params, *arrays: Any) -> tuple:
        stacked = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (settings.networks, *leaf.shape)), theta0)
        return (ensemble_of(settings, model, stacked, *arrays),)

    lockstep = Lockstep.of(rivals, theta0, x, y, line, steps=end, records=records)
    known = "exactly" if settings.converged is None else "at most" if found is None else "about"
    return PlannedWork(count(theta0), lockstep, (), (n, n), known)


def steps_expected(settings: OutputEnsembleSettings) -> int | None:
    """The first record point at which no training output of such networks of infinite width is farther than `converged`
    from its target, by eq (10) with f_0 drawn from N(0, K); all steps where there is none, None without the images."""
    if settings.converged is None:
        return settings.optimizer.steps
    at_any_width = settings.model.model_copy(update={"width": 1})
    same: Any = settings.model_copy(update={"model": at_any_width, "seed": 0})
    return _steps_expected(same)


@lru_cache(maxsize=16)
def _steps_expected(settings: OutputEnsembleSettings) -> int | None:
    data, recorded = planned_images(settings.data, settings.loss), recorded_steps(settings)
    if data is None:
        return None
    kernels, n, s = analytic_pair(settings, data.x_train), len(data.x_train), settings.networks
    root = np.linalg.cholesky(kernels.nngp + 1e-9 * np.trace(kernels.nngp) / n * np.eye(n))
    y = np.tile(data.y_train, s)
    # columns of one matrix, over which the loss is averaged, in place of networks with a loss each
    rates = s * Optimizer(settings.optimizer).learning_rates()
    linear = gradient_descent(kernels.ntk, y, root @ np.random.default_rng(0).standard_normal((n, s)), rates)
    farthest = np.abs(linear.train_at(np.asarray(recorded)) - y).max(axis=(1, 2))
    near = np.flatnonzero(farthest < settings.converged)
    return recorded[near[0]] if near.size else settings.optimizer.steps
