"""Layers that average over positions, or take all of them together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.networks.base import Layer
from ntkrun.networks.covariances import Covariances, Needs, Signal
from ntkrun.networks.module import Scope
from ntkrun.networks.statistics import Statistics
from ntkrun.networks.windows import Window, counts, per_axis, window_sums, windows
from ntkrun.types import Array


@dataclass(frozen=True)
class AveragePool(Layer):
    """Mean over windows of `size` positions, `strides` apart (None: 1); zeros outside are counted.

    K'(s, s') = the mean of K over all pairs of positions in the two windows.
    """

    size: Sequence[int] = (2, 2)
    strides: Sequence[int] | None = None
    padding: str = "VALID"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", per_axis(self.size, "AveragePool: size"))
        object.__setattr__(self, "strides", per_axis(self.strides, "AveragePool: strides"))
        _ = self.over

    @property
    def over(self) -> tuple[Window, ...]:
        return windows(self.size, self.strides, self.padding, "AveragePool")

    def signal(self, given: Signal) -> Signal:
        return replace(given, positions=counts(self.over, given.positions, "AveragePool"))

    def needs(self, after: Needs, own: bool) -> Needs:
        return Needs.ALL if after else Needs.NOTHING

    def forward(self, x: Array, scope: Scope) -> Array:
        counts(self.over, x.shape[1:-1], "AveragePool")  # refuses images that it does not fit
        return self._means(x, range(1, x.ndim - 1))

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances:
        def pooled(a: Array) -> Array:
            for side in zip(*k.axes, strict=True):  # the positions of the one input, then those of the other
                a = self._means(a, side)
            return a

        return k.each(pooled)

    def _means(self, x: Array, axes: Sequence[int]) -> Array:
        share = 1 / math.prod(window.size for window in self.over)
        return window_sums([(share, x)], self.over, [(axis,) for axis in axes])


@dataclass(frozen=True)
class GlobalAveragePool(Layer):
    """Mean over all positions of every channel: K' is the mean of K over all pairs of positions."""

    def signal(self, given: Signal) -> Signal:
        if not given.positions:
            raise UserError(
                "GlobalAveragePool needs inputs with positions, (n, ..., channels): leave it out for vectors"
            )
        return replace(given, positions=())

    def needs(self, after: Needs, own: bool) -> Needs:
        return Needs.ALL if after else Needs.NOTHING

    def forward(self, x: Array, scope: Scope) -> Array:
        return jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances:
        return k.each(partial(_mean, axes=sum(k.axes, ())))


@dataclass(frozen=True)
class Flatten(Layer):
    """All positions of all channels as one vector: K' is the mean of K over equal positions."""

    def signal(self, given: Signal) -> Signal:
        if not given.positions:
            return given
        # units at different positions have different variances
        return replace(given, positions=(), features=given.features * math.prod(given.positions), gaussian=False)

    def needs(self, after: Needs, own: bool) -> Needs:
        return Needs.EQUAL if after else Needs.NOTHING

    def forward(self, x: Array, scope: Scope) -> Array:
        return jnp.reshape(x, (x.shape[0], -1))

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances:
        k = k.at_equal_positions()
        return k.each(partial(_mean, axes=sum(k.axes, ())))


@partial(jax.jit, static_argnames=("axes",))
def _mean(k: Array, axes: tuple[int, ...]) -> Array:
    return jnp.mean(k, axis=axes)
