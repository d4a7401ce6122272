"""How far networks of many widths move: what Figures 1 and S6 record, draw and judge.

One cell is one width with all its seeds, moved as one ensemble.  Curves of the network: NTK_CHANGE, NNGP_CHANGE,
WEIGHT_CHANGE (index = layer - 1), and the training LOSS, of every network at every record time.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import linen as nn

from ntkrun import tables
from ntkrun.costs import Piece
from ntkrun.data.dataset import Dataset
from ntkrun.data.span import span_coordinates
from ntkrun.devices.placement import on_device, on_the_host
from ntkrun.dynamics.network import Network
from ntkrun.dynamics.observers import FROM_THEIR_START, Changes
from ntkrun.dynamics.optimizers import Optimizer, record_steps
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.curves import Quantity
from ntkrun.experiments.runs.image_sizes import input_shape
from ntkrun.experiments.runs.planned_work import (
    Lockstep,
    PlannedWork,
    count,
    parameter_shapes,
    records_of,
    shape,
    sizes,
    span,
)
from ntkrun.experiments.runs.prepare import compare_rates, critical_rate, load, model_from
from ntkrun.experiments.runs.random_keys import cell_key, member_keys
from ntkrun.experiments.runs.recorded import Measured, rate_at, tell
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk, ntk_scale
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import FullBatch, Observation, run_lockstep
from ntkrun.lockstep.progress import Progress
from ntkrun.settings.runs import EnsembleSettings, WidthChangeSettings
from ntkrun.types import Array, Params


def build_ensemble(settings: WidthChangeSettings, data: Dataset) -> Ensemble:
    """The networks of one width, each watching its own changes."""
    dtype = jnp.dtype(settings.model.dtype)
    inputs = data.x_train.reshape(len(data.x_train), -1)
    if settings.inputs == "span":
        (inputs,) = span_coordinates(inputs)
    left_out = data.x_train[0].size - inputs.shape[1]
    x, y = on_device(inputs, dtype), on_device(data.y_train, dtype)
    choices = dict(trained=settings.trained, matmul=settings.matmul)
    model = model_from(settings.model, n_outputs=y.shape[1], **choices)
    keys = member_keys(settings.members, "theta0")
    unseen = jnp.asarray([unseen_squares(member, left_out) for member in settings.members], jnp.float64)
    theta0, ntk0, nngp0 = draw(model, keys, x)
    return ensemble_of(settings, model, theta0, ntk0, nngp0, unseen, x, y)


def ensemble_of(
    settings: WidthChangeSettings, model: nn.Module, theta0: Params, ntk0: Array, nngp0: Array, unseen: Array,
    x: Array, y: Array,
) -> Ensemble:  # fmt: skip
    tx = Optimizer(settings.optimizer).scaled(ntk_scale(model))
    how: dict[str, Any] = dict(model=model, tx=tx, loss=settings.loss, watched=())
    member = Network(theta0, x, y, x[:1], **how, observer=Changes(ntk0, nngp0, unseen))
    return Ensemble(member, FROM_THEIR_START)


@partial(jax.jit, static_argnames="model")
def draw(model: nn.Module, keys: Array, x: Array) -> tuple[Params, Array, Array]:
    """theta0, Theta_hat_0 and K_hat_0 of every network, in one program however many there are."""

    def one(key: Array) -> tuple[Params, Array, Array]:
        theta0 = model.init(key, x[:1])["params"]
        return theta0, empirical_ntk(model, theta0, x), empirical_nngp(model, theta0, x)

    return jax.lax.map(one, keys)


@on_the_host()
def unseen_squares(settings: EnsembleSettings, left_out: int) -> float:
    """A draw of the squares of the weights of the left-out input dimensions: chi^2 with left_out x n degrees of freedom.

    omega ~ N(0, 1): the standard parameterization has no left-out dimensions (`inputs=full`).
    """
    if left_out == 0:
        return 0.0
    freedom = float(left_out * settings.model.width)
    return float(jax.random.chisquare(cell_key(settings, "left-out inputs"), freedom, dtype=jnp.float64))


def compute(settings: WidthChangeSettings, cell: str, progress: Progress) -> CellResult:
    """Train the networks of one width; their changes at log-spaced times."""
    data = load(settings.data, settings.loss, progress)
    optimizer = Optimizer(settings.optimizer)
    axis = optimizer.axis_times()
    steps = record_steps(axis, settings.record.first_time, settings.record.per_octave)
    ensemble = build_ensemble(settings, data)
    facts = check_learning_rates(settings, ensemble, optimizer, progress) | {"data": data.describe()}
    rivals, label = {curves.NETWORK: ensemble}, f"{settings.experiment} {cell}"
    seen, rates = [], optimizer.learning_rates()
    for step, observations in run_lockstep(rivals, steps, FullBatch(), progress, label, devices=settings.devices):
        seen.append(observations[curves.NETWORK])
        tell(progress, step, axis[step], rate_at(rates, step), means(seen[-1]))
    stacks = []
    for place, member in enumerate(settings.members):
        frames = [
            tables.rows(
                Quantity(what).of(curves.NETWORK),
                split_of(what),
                steps,
                list(axis[steps]),
                values,
            )
            for what in seen[0]
            for values in [np.stack([observation[what][place] for observation in seen])]
        ]
        fields: dict[str, Any] = dict(figure=settings.experiment, cell=cell, seed=member.seed)
        stacks.append(tables.tidy(frames, width=settings.model.width, **fields))
    return CellResult(pd.concat(stacks, ignore_index=True), facts)


def split_of(what: str) -> str:
    return "train" if what == curves.LOSS else ""


def means(observation: Observation) -> Measured:
    """Over the networks, of what is one number for each."""
    return {
        (Quantity(what).of(curves.NETWORK), split_of(what)): float(np.mean(values, dtype=np.float64))
        for what, values in observation.items()
        if np.ndim(values) == 1
    }


def check_learning_rates(
    settings: WidthChangeSettings, ensemble: Ensemble, optimizer: Optimizer, progress: Progress
) -> dict[str, float]:
    """`prepare.check_learning_rate` for the network of smallest eta_critical: narrow ones scatter."""
    if settings.optimizer.stable_product is None:
        return {"eta_max": float(optimizer.learning_rates().max())}
    member = ensemble.members
    blocks = np.asarray(ntk_scale(member.model) * member.observer.ntk0, np.float64)  # (s, n, n, k, k)
    k = blocks.shape[-1]
    per_output = np.einsum("sijaa->sij", blocks) / k
    return compare_rates(optimizer, min(critical_rate(settings, theta_hat, k) for theta_hat in per_output), progress)


def planned_work(settings: WidthChangeSettings, block_bytes: int) -> PlannedWork:
    n, _, k = sizes(settings.data, settings.loss)
    dtype = jnp.dtype(settings.model.dtype)
    d = span(settings.data, n) if settings.inputs == "span" else math.prod(input_shape(settings.data))
    model = model_from(settings.model, n_outputs=k, trained=settings.trained, matmul=settings.matmul)
    x, y = (shape(n, size, dtype=dtype) for size in (d, k))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), settings.networks))
    start = Piece("start", partial(draw, model), (keys, x))

    def rivals(keys: Any, x: Any, y: Any) -> tuple:
        theta0, ntk0, nngp0 = draw(model, keys, x)
        unseen = jnp.zeros(settings.networks, jnp.float64)
        return (ensemble_of(settings, model, theta0, ntk0, nngp0, unseen, x, y),)

    lockstep = Lockstep.of(rivals, keys, x, y, steps=settings.optimizer.steps, records=records_of(settings))
    spectra = (n,) * (settings.networks if settings.optimizer.stable_product is not None else 0)
    return PlannedWork(count(parameter_shapes(model, x.shape[1:], dtype)), lockstep, (start,), spectra)
