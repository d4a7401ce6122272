"""Coordinate check of a parameterization: how far pre-activations move within a few steps, by layer and width."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import linen as nn

from ntkrun import tables
from ntkrun.devices.numerics import GENERATOR
from ntkrun.dynamics.metrics import check_targets, loss_of
from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.kernels.empirical import ntk_scale
from ntkrun.kernels.finite import check_examples
from ntkrun.kernels.outputs import checked_outputs
from ntkrun.kernels.taps import outputs_of
from ntkrun.models.functions import Model
from ntkrun.models.layers import Affine
from ntkrun.models.parameters import named_leaves, natural_key
from ntkrun.types import AnyArray, Array, Float, Params, check_arrays, check_number

LAYERS = (Affine, nn.Dense, nn.Conv)  # whose outputs are pre-activations


def coordinate_check(
    build: Callable[[int], nn.Module],
    widths: Sequence[int] | np.ndarray,
    x: AnyArray,
    y: Float[AnyArray, "n k"],
    *,
    eta: float,
    steps: Sequence[int] | np.ndarray = (1, 2, 4),
    loss: str = "mse",
    seeds: int = 3,
) -> pd.DataFrame:
    """Networks build(n) of several widths, each trained for a few steps of full-batch descent; one row per number.

    The rate on theta is eta times `ntk_scale` of the network, as in every run.  Curve `preactivation_change/network`, index:
    layer (of type `Dense` or `Conv`, ours or Flax's) in natural order, value: root mean square over examples and units of
    h_t - h_0.  As n grows this goes like n^-1/2 in the hidden layers of `ntk` and `standard` (n^-3/2 in the first of
    `standard`, whose input weights drop out at eta_0/n), whose outputs alone move by O(1), and is O(1) in every layer of `mup`
    (Yang and Hu 2021): `preactivation_slopes` and `plot_coordinate_check` say what it does here.  Network number i has the key
    of seed i.

    Raises `UserError` for a model in place of `build`, fewer than two widths, no step, numbers that are none, and for a network
    without such layers.
    """
    if not callable(build) or isinstance(build, Model):
        raise UserError(
            "build makes the network of a width, lambda n: ntkrun.build_model('fc', width=n, ...), and is not "
            + (repr(build) if isinstance(build, str) else f"a {type(build).__name__}")
        )
    widths, steps = (some.tolist() if isinstance(some, np.ndarray) else some for some in (widths, steps))
    several = [isinstance(some, Sequence) and not isinstance(some, str) for some in (widths, steps)]
    if not all(several) or len(set(widths)) < 2 or not steps:
        raise UserError("a slope takes two widths or more and a step or more: widths=(64, 256), steps=(1, 4)")
    for name, numbers in (("widths", widths), ("steps", steps), ("seeds", [seeds])):
        for number in numbers:
            check_number(name, number, at_least=1, whole=True)
    check_number("eta", eta, above=0)
    check_arrays(x=x, y=y)
    check_examples(x=x)
    x, y = jnp.asarray(x), jnp.asarray(y)
    tables_of_widths = [_of_width(build(width), width, x, y, eta, sorted(steps), loss, seeds) for width in widths]
    return pd.concat(tables_of_widths, ignore_index=True)


def _of_width(
    model: nn.Module, width: int, x: Array, y: Array, eta: float, steps: Sequence[int], loss: str, seeds: int
) -> pd.DataFrame:
    if not isinstance(model, Model):
        raise UserError(f"build({width}) must return a Flax module, and returns a {type(model).__name__}")
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
    check_targets(checked_outputs(model, shapes, x), y, loss)
    keys = jnp.stack([jax.random.key(seed, impl=GENERATOR) for seed in range(seeds)])
    rate = eta * ntk_scale(model)

    def step(theta: Params) -> Params:
        gradient = jax.grad(lambda theta: loss_of(loss)(outputs_of(model, theta, x), y))(theta)
        return jax.tree.map(lambda t, g: t - rate * g, theta, gradient)

    def changes(key: Array) -> Float[Array, "steps layers"]:
        theta0 = model.init(key, x)["params"]
        start = preactivations(model, theta0, x)

        def once(theta: Params, _: None) -> tuple[Params, Array]:
            theta = step(theta)
            pairs = zip(preactivations(model, theta, x), start, strict=True)
            return theta, jnp.stack([jnp.sqrt(jnp.mean(jnp.square(now - then))) for now, then in pairs])

        return jax.lax.scan(once, theta0, length=steps[-1])[1][jnp.asarray(steps) - 1]

    found = np.asarray(jax.jit(jax.vmap(changes))(keys), np.float64)  # (seeds, steps, layers)
    curve, times = curves.PREACTIVATION_CHANGE.of(curves.NETWORK), [eta * number for number in steps]
    frames = [
        tables.tidy(
            [tables.rows(curve, "train", steps, times, found[seed])],
            figure="",
            cell="",
            seed=seed,
            width=width,
        )
        for seed in range(seeds)
    ]
    return pd.concat(frames, ignore_index=True)


def preactivations(model: nn.Module, theta: Params, x: Array) -> list[Array]:
    """h of every layer with weights, in natural order of their names."""

    def has_weights(module: nn.Module, method: str) -> bool:
        return isinstance(module, LAYERS) and method == "__call__"

    _, found = model.apply({"params": theta}, x, capture_intermediates=has_weights, mutable=["intermediates"])
    caught: dict[str, Any] = {"/".join(path): h for path, h in named_leaves(found.get("intermediates", {})).items()}
    if not caught:
        raise UserError(f"{type(model).__name__} has no layers of type Dense or Conv, ours or Flax's")
    return [caught[name] for name in sorted(caught, key=natural_key)]
