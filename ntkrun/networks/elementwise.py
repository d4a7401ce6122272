"""Layers that take every position by itself and have no weights: nonlinearity, normalisation, dropout, a cut of gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun import nonlinearities
from ntkrun.errors import UserError
from ntkrun.kernels.dual import DualActivation
from ntkrun.networks.base import Layer
from ntkrun.networks.covariances import Covariances, Needs, Signal
from ntkrun.networks.module import Scope
from ntkrun.networks.statistics import Statistics, beside, grid
from ntkrun.types import AnyArray, Array


def need_gaussian(given: Signal, layer: str) -> None:
    """UserError unless the units are Gaussian at infinite width."""
    if not given.gaussian:
        raise UserError(
            f"{layer} has a kernel behind Dense, Conv, or a sum, pool or LayerNorm of these, whose units are Gaussian at "
            f"infinite width: put one of them in front"
        )


@dataclass(frozen=True)
class Activation(Layer):
    """phi of every unit, by name or as `ntkrun.Activation("swish", jax.nn.swish)`.

    K' = T = E[phi(u) phi(v)], Theta' = Theta E[phi'(u) phi'(v)] over Gaussians of covariance K: (S25)-(S29).
    """

    activation: str | nonlinearities.Activation

    def __post_init__(self) -> None:
        nonlinearities.resolve_activation(self.activation)

    def signal(self, given: Signal) -> Signal:
        need_gaussian(given, "Activation")
        return replace(given, gaussian=False, centred=False)

    def needs(self, after: Needs, own: bool) -> Needs:
        return max(after, Needs.EQUAL) if own else after  # its variances

    def forward(self, x: Array, scope: Scope) -> Array:
        return nonlinearities.resolve_activation(self.activation)(x)

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances:
        p, q = map(jnp.asarray, of.variances(k))
        nngp, ntk = _activated(of.dual(self.activation), p, q, k.nngp, k.ntk, k.all_positions, of.own)
        return replace(k, nngp=nngp, ntk=ntk)


@partial(jax.jit, static_argnames=("dual", "all_positions", "own"))
def _activated(
    dual: DualActivation, p: Array, q: Array, k: Array, theta: Array | None, all_positions: bool, own: bool
) -> tuple[Array, Array | None]:
    if own and not all_positions:
        return jnp.swapaxes(dual.second_moment(p), 0, 1).reshape(k.shape), None
    rows, columns = beside(dual.rows(p), dual.rows(q), all_positions, own)
    t, tdot = dual.elementwise(rows, columns, grid(k, all_positions))
    return t.reshape(k.shape), None if theta is None else theta * tdot.reshape(k.shape)


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Every input less its mean, over its standard deviation, both over the channels (axis -1) and whatever other axes.

    axes     of (n, ..., channels), as Flax' `reduction_axes`; the channels must be among them
    epsilon  added to the variance

    At infinite width the mean is 0 and the variance is K(x, x), so that K and Theta are divided by sqrt(K(x, x) K(x', x')).
    No scale and offset are trained.
    """

    axes: int | Sequence[int] = -1
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", self.axes if isinstance(self.axes, int) else tuple(self.axes))

    def _over(self, positions: int) -> tuple[int, ...]:
        """The axes of positions, counted from 0, over which the variance is averaged."""
        ndim = positions + 2
        given = (self.axes,) if isinstance(self.axes, int) else self.axes
        axes = {axis % ndim if -ndim <= axis < ndim else 0 for axis in given}
        if 0 in axes or ndim - 1 not in axes:
            raise UserError(
                f"LayerNorm: axes={self.axes} of inputs (n, ..., channels) with {positions} axes of positions must "
                "have the channels, -1, among them and not the inputs, 0"
            )
        return tuple(sorted(axis - 1 for axis in axes if axis != ndim - 1))

    def signal(self, given: Signal) -> Signal:
        need_gaussian(given, "LayerNorm")
        self._over(len(given.positions))
        return given

    def needs(self, after: Needs, own: bool) -> Needs:
        return max(after, Needs.EQUAL) if own else after

    def forward(self, x: Array, scope: Scope) -> Array:
        axes = (*(axis + 1 for axis in self._over(x.ndim - 2)), x.ndim - 1)
        centred = x - jnp.mean(x, axis=axes, keepdims=True)
        variance = jnp.mean(centred * centred, axis=axes, keepdims=True)
        return centred * jax.lax.rsqrt(variance + self.epsilon)

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances:
        over, positions = self._over(len(k.signal.positions)), k.signal.positions

        def inverse_roots(p: AnyArray) -> Array:
            spread = p.reshape(-1, *positions)
            mean = jnp.mean(spread, axis=tuple(axis + 1 for axis in over), keepdims=True)
            return (1 / jnp.sqrt(jnp.broadcast_to(mean, spread.shape) + self.epsilon)).reshape(p.shape)

        rows, columns = map(inverse_roots, of.variances(k))
        return k.each(partial(_scaled, rows=rows, columns=columns, all_positions=k.all_positions, own=of.own))


@partial(jax.jit, static_argnames=("all_positions", "own"))
def _scaled(k: Array, rows: Array, columns: Array, all_positions: bool, own: bool) -> Array:
    first, second = beside(rows, columns, all_positions, own)
    return (grid(k, all_positions) * first * second).reshape(k.shape)


@dataclass(frozen=True)
class Dropout(Layer):
    """Each unit is 0 with probability `rate` and else divided by 1 - rate, in training; as it is otherwise.

    The kernels are expectations over which units are dropped, drawn for each input by itself: K and Theta of a unit with
    itself grow by 1/(1 - rate), those between inputs, or positions, stay what they are.
    """

    rate: float

    def __post_init__(self) -> None:
        if not isinstance(self.rate, int | float) or not 0 <= self.rate < 1:
            raise UserError(f"Dropout: rate={self.rate!r} is the share that is dropped and must lie in [0, 1)")

    def signal(self, given: Signal) -> Signal:
        return replace(given, gaussian=given.gaussian and self.rate == 0)

    def forward(self, x: Array, scope: Scope) -> Array:
        return nn.Dropout(self.rate, deterministic=not scope.train)(x)

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances:
        layout = dict(all_positions=k.all_positions, own=of.own)
        return k.each(lambda a: _with_itself(a, 1 / (1 - self.rate), of.own or of.is_diagonal, **layout))


@partial(jax.jit, static_argnames=("all_positions", "own"))
def _with_itself(k: Array, factor: float | Array, is_diagonal: bool | Array, all_positions: bool, own: bool) -> Array:
    """The entries of an input and a position with themselves times the factor."""
    entries = grid(k, all_positions)
    n1, n2 = entries.shape[0 if all_positions else 1], entries.shape[2 if all_positions else 3]
    same = is_diagonal & (jnp.ones((n1, n2), bool) if own else jnp.eye(n1, n2, dtype=bool))
    if all_positions:
        equal = jnp.eye(entries.shape[1], dtype=bool)[None, :, None, :]
        where = same[:, None, :, None] & equal
    else:
        where = same[None, :, None, :]
    return jnp.where(where, factor * entries, entries).reshape(k.shape)


@dataclass(frozen=True)
class StopGradient(Layer):
    """No layer below is trained; the function stays what it is."""

    def signal(self, given: Signal) -> Signal:
        return given

    def forward(self, x: Array, scope: Scope) -> Array:
        return jax.lax.stop_gradient(x)

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances:
        return replace(k, ntk=None)
