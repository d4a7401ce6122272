"""What passes between two layers of a composed network.

Notation: K(x, x') is the covariance of one unit's values for two inputs, averaged over units; Theta(x, x') is the sum of the
products of its derivatives by all parameters below.  Between layers both may depend on a position of each input:
K(x, s; x', s').
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.types import Array


@dataclass(frozen=True)
class Signal:
    """What is known of the values between two layers before there is any number.

    positions  the axes of an image, () for vectors
    features   channels, or units
    gaussian   at infinite width the units are independent Gaussians of mean 0, all with the same covariance
    centred    they have mean 0 given every other signal of the network: fresh weights lie in front
    """

    positions: tuple[int, ...]
    features: int
    gaussian: bool = False
    centred: bool = False


class Needs(IntEnum):
    """Of which pairs of positions (s, s') the layers above will ask for K and Theta."""

    NOTHING = 0
    EQUAL = 1  # s = s': N^2 d numbers
    ALL = 2  # N^2 d^2, below an average over positions


@dataclass(frozen=True)
class Covariances:
    """K and Theta between two sets of inputs, n1 and n2 of them.

    Shapes: (*positions, n1, n2) for equal positions, (n1, *positions, n2, *positions) for `all_positions`.
    Theta = None: no parameter below is trained.
    """

    signal: Signal
    nngp: Array
    ntk: Array | None
    all_positions: bool

    def each(self, function: Callable[[Array], Array], **changed: Any) -> "Covariances":
        """The same linear function of K and of Theta."""
        ntk = None if self.ntk is None else function(self.ntk)
        return replace(self, nngp=function(self.nngp), ntk=ntk, **changed)

    @property
    def axes(self) -> tuple[tuple[int, ...], ...]:
        """For each axis of positions the axes of the arrays along which it runs."""
        d = len(self.signal.positions)
        return tuple((1 + a, 2 + d + a) if self.all_positions else (a,) for a in range(d))

    def at_equal_positions(self) -> "Covariances":
        return self.each(_equal_positions, all_positions=False) if self.all_positions else self


@jax.jit
def _equal_positions(k: Array) -> Array:
    """(n1, *positions, n2, *positions) -> (*positions, n1, n2)."""
    half = k.ndim // 2
    n1, positions, n2 = k.shape[0], k.shape[1:half], k.shape[half]
    flat = k.reshape(n1, math.prod(positions), n2, -1)
    return jnp.einsum("ipjp->pij", flat).reshape(*positions, n1, n2)
