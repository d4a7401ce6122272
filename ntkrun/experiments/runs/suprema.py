"""The three suprema of Theorem 2.1: what one cell of `theorem21` runs and records.

A cell is one kind of network at one width, its `networks` members moved as one ensemble.  f_lin takes the same steps, in
closed form with each member's own Theta_hat_0.  Curves of the network at every record point:

OUTPUT_DISTANCE  root mean over the test inputs of (f_t(x) - f_lin_t(x))^2
THETA_DISTANCE   ||theta_t - theta_0||_2 / sqrt n; in the standard parameterization, whose theta are smaller by sqrt n,
                 ||theta_t - theta_0||_2
NTK_DISTANCE     ||Theta_hat_t - Theta_hat_0||_F over the training inputs, in the normalisation of (S42) where standard
"""

from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from ntkrun import tables
from ntkrun.data.dataset import Dataset
from ntkrun.data.span import span_coordinates
from ntkrun.devices.placement import on_device, on_the_host
from ntkrun.dynamics import metrics
from ntkrun.dynamics.network import Network
from ntkrun.dynamics.observers import FROM_THEIR_START, Distances
from ntkrun.dynamics.optimizers import record_steps
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.runs.planned_work import (
    Lockstep,
    PlannedWork,
    count,
    kernel_piece,
    parameter_shapes,
    planned_images,
    shape,
    side_by_side,
    sizes,
    span,
)
from ntkrun.experiments.runs.prepare import initial, load, model_from
from ntkrun.experiments.runs.random_keys import cell_key
from ntkrun.experiments.runs.recorded import mean_loss, tell
from ntkrun.experiments.runs.recursion import recursion_kernels
from ntkrun.kernels.empirical import ntk_scale
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import FullBatch, run_lockstep
from ntkrun.lockstep.progress import Progress
from ntkrun.settings.descents import SupremaSettings
from ntkrun.settings.models import ModelSettings
from ntkrun.theory.closed_form import gradient_descent, steps_to_loss
from ntkrun.theory.learning_rate import eta_critical

PER_OCTAVE = 2  # record points: the distances vary on the scale of their time


def inputs_of(data: Dataset) -> list[np.ndarray]:
    """Training and test inputs in a basis of their span.

    Few dimensions keep the standard parameterization's extra term of the input layer, n_0/n, small.
    """
    (inputs,) = span_coordinates(np.concatenate([data.x_train, data.x_test]))
    return np.split(inputs, [len(data.x_train)])


@on_the_host()
def descent_of(settings: SupremaSettings, x: np.ndarray, y: np.ndarray) -> tuple[float, int]:
    """(eta, steps) from the infinite-width Theta alone: every width of a network goes equally far."""
    descent = settings.descent
    theta = recursion_kernels(settings.model, settings.theory, x).ntk
    eta = descent.share_of_critical * eta_critical(theta, y.shape[1])
    linear = gradient_descent(theta, y, np.zeros_like(y), np.full(descent.max_steps, eta))
    wanted = descent.loss_fraction * float(metrics.mse(np.zeros_like(y), y))
    return eta, steps_to_loss(linear, y, wanted, descent.max_steps)


def compute(settings: SupremaSettings, cell: str, progress: Progress) -> CellResult:
    """Train the networks of one width until f_lin has fitted; their distances at log-spaced steps."""
    data = load(settings.data, "mse", progress)
    x, x_test = inputs_of(data)
    eta, end = descent_of(settings, x, data.y_train)
    ensemble = build_ensemble(settings, x, x_test, data.y_train, eta)
    steps = record_steps(np.arange(end + 1.0), 1.0, PER_OCTAVE)
    targets = {"train": data.y_train, "test": data.y_test}
    lockstep = run_lockstep(
        {curves.NETWORK: ensemble},
        steps,
        FullBatch(),
        progress,
        f"{settings.experiment} {cell}",
        devices=settings.devices,
    )
    seen = []
    for step, found in lockstep:
        seen.append(found[curves.NETWORK])
        losses = {split: mean_loss("mse", seen[-1][split], y) for split, y in targets.items()}
        tell(
            progress, step, eta * step, eta, {(curves.LOSS.of(curves.NETWORK), key): one for key, one in losses.items()}
        )
    apart = distances(ensemble.members, eta, data.y_train, seen, steps, settings.model)
    times = [eta * i for i in steps]
    same: dict[str, Any] = dict(figure=settings.experiment, cell=cell, width=settings.model.width)
    stacks = []
    for place, member in enumerate(settings.members):
        frames = [tables.rows(curve, "", steps, times, values[place]) for curve, values in apart.items()]
        stacks.append(tables.tidy(frames, seed=member.seed, **same))
    facts = {"eta": eta, "steps": end, "fitted": end < settings.descent.max_steps, "data": data.describe()}
    return CellResult(pd.concat(stacks, ignore_index=True), facts)


def build_ensemble(settings: SupremaSettings, x: np.ndarray, x_test: np.ndarray, y: np.ndarray, eta: float) -> Ensemble:
    dtype = jnp.dtype(settings.model.dtype)
    train, test, target = (on_device(a, dtype) for a in (x, x_test, y))
    model = model_from(settings.model, n_outputs=y.shape[1], matmul=settings.matmul)
    tx = optax.sgd(eta * ntk_scale(model))
    members = []
    for member in settings.members:
        theta0 = initial(model, cell_key(member, "theta0"), np.asarray(x[:1], dtype))
        observer = Distances.at_start(model, theta0, train, test)
        how: dict[str, Any] = dict(model=model, tx=tx, loss="mse", watched=())
        members.append(Network(theta0, train, target, test, **how, observer=observer))
    return Ensemble.of(members, FROM_THEIR_START)


def distances(
    members: Network, eta: float, y: np.ndarray, seen: list[Any], steps: list[int], model: ModelSettings
) -> dict[str, np.ndarray]:
    """The three distances by curve, of every member at every step, each (s, T); f_lin has the member's own Theta_hat_0."""
    scale, start = ntk_scale(members.model), members.observer
    assert isinstance(start, Distances)
    f, f_test, theta, ntk = (
        np.stack([np.asarray(observation[what], np.float64) for observation in seen], axis=1)
        for what in ("train", "test", "theta_distance", "ntk_distance")
    )
    at, kernels = np.asarray(steps), (np.asarray(start.ntk0), np.asarray(start.cross0))
    apart = []
    for place, (train, cross) in enumerate(zip(*kernels, strict=True)):
        linear = gradient_descent(scale * train, y, f[place, 0], np.full(steps[-1], eta))
        f_lin = linear.test_at(at, f_test[place, 0], scale * cross)
        apart.append(np.sqrt(np.mean((f_test[place] - f_lin) ** 2, axis=(1, 2))))
    norm = np.sqrt(model.width) if model.parameterization == "ntk" else 1.0
    found = {
        curves.OUTPUT_DISTANCE: np.stack(apart),
        curves.THETA_DISTANCE: theta / norm,
        curves.NTK_DISTANCE: scale * ntk,
    }
    return {quantity.of(curves.NETWORK): values for quantity, values in found.items()}


def planned_work(settings: SupremaSettings, block_bytes: int) -> PlannedWork:
    """The steps are those of the run: its rule, on its images; at most so many where these are not there."""
    n, m, k = sizes(settings.data, "mse")
    d, dtype = span(settings.data, n + m), jnp.dtype(settings.model.dtype)
    model = model_from(settings.model, n_outputs=k, matmul=settings.matmul)
    theta0 = parameter_shapes(model, (d,), dtype)
    x, y, x_test = (shape(*size, dtype=dtype) for size in ((n, d), (n, k), (m, d)))

    def rivals(theta0: Any, x: Any, y: Any, x_test: Any) -> tuple:
        how: dict[str, Any] = dict(model=model, tx=optax.sgd(1.0), loss="mse", watched=())
        network = Network(theta0, x, y, x_test, **how, observer=Distances.at_start(model, theta0, x, x_test))
        return (side_by_side(network, FROM_THEIR_START, settings.networks),)

    at_any_width = settings.model.model_copy(update={"width": 1})
    same: Any = settings.model_copy(update={"model": at_any_width, "networks": 1, "seed": 0})
    end = _steps(same)
    steps = settings.descent.max_steps if end is None else end
    records = len(record_steps(np.arange(steps + 1.0), 1.0, PER_OCTAVE))
    lockstep = Lockstep.of(rivals, theta0, x, y, x_test, steps=steps, records=records)
    pairs = ((x,), (x_test, x))
    kernels = [kernel_piece(model, theta0, *of, memory_bytes=block_bytes, times=settings.networks) for of in pairs]
    known = "at most" if end is None else "exactly"
    return PlannedWork(count(theta0), lockstep, tuple(kernels), (n,) * (settings.networks + 1), known)


@lru_cache(maxsize=64)
def _steps(settings: SupremaSettings) -> int | None:
    data = planned_images(settings.data, "mse")
    return None if data is None else descent_of(settings, inputs_of(data)[0], data.y_train)[1]
