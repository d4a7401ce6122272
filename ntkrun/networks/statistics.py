"""What layers need to know of single inputs: the variances K(x, s; x, s), and how K depends on them.

A first pass propagates every input's covariance with itself and records the variances in front of each layer that asks
(`Own`); the second pass, over pairs of inputs, looks them up (`Between`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.kernels.dual import DualActivation
from ntkrun.kernels.dual_closed_forms import dual_activation
from ntkrun.networks.covariances import Covariances
from ntkrun.nonlinearities import Activation
from ntkrun.types import AnyArray, Array, Float, NumpyArray

Site = tuple[int, ...]  # of a layer in the tree of containers


@dataclass(frozen=True)
class Statistics(ABC):
    """Of the inputs of one block of a kernel, at one site of the network.

    own          whether the block holds covariances of inputs with themselves: n2 = 1, the input itself
    is_diagonal  whether rows and columns are the same inputs in the same order, each of which sees one draw of dropped units
    """

    own: ClassVar[bool]
    is_diagonal: bool
    site: Site = field(default=(), kw_only=True)

    def at(self, part: int) -> "Statistics":
        """The same for a part of the network here."""
        return replace(self, site=(*self.site, part))

    @abstractmethod
    def variances(self, k: Covariances) -> tuple[Float[AnyArray, "n1 positions"], Float[AnyArray, "n2 positions"]]:
        """Of the inputs of the rows and of the columns, in front of the layer at this site."""

    @abstractmethod
    def dual(self, activation: str | Activation) -> DualActivation:
        """Accurate for the variances at this site, which `variances` must have told before."""


@dataclass(frozen=True)
class Own(Statistics):
    """Records the variances."""

    found: dict[Site, NumpyArray]
    own: ClassVar[bool] = True

    def variances(self, k: Covariances) -> tuple[AnyArray, AnyArray]:
        p = _diagonal(k.nngp, k.all_positions)
        self.found[self.site] = np.asarray(p)
        return p, p

    def dual(self, activation: str | Activation) -> DualActivation:
        return dual_activation(activation).for_variances(self.found[self.site].reshape(-1))


@dataclass(frozen=True)
class Between(Statistics):
    """Looks them up, by site."""

    rows: Mapping[Site, AnyArray]
    columns: Mapping[Site, AnyArray]
    duals: dict[Site, DualActivation]
    own: ClassVar[bool] = False

    def variances(self, k: Covariances) -> tuple[AnyArray, AnyArray]:
        return self.rows[self.site], self.columns[self.site]

    def dual(self, activation: str | Activation) -> DualActivation:
        return self.duals[self.site]


def _diagonal(k: Array, all_positions: bool) -> Float[Array, "n positions"]:
    """K(x, s; x, s) from covariances of inputs with themselves."""
    if all_positions:
        half = k.ndim // 2
        count = math.prod(k.shape[1:half])
        return jnp.einsum("ipp->ip", k.reshape(k.shape[0], count, count))
    return k.reshape(-1, k.shape[-2]).T


def grid(k: Array, all_positions: bool) -> Float[Array, "a b c d"]:
    """With all positions counted in one axis: (positions, n1, 1, n2), or (n1, positions, n2, positions)."""
    if all_positions:
        half = k.ndim // 2
        return k.reshape(k.shape[0], math.prod(k.shape[1:half]), k.shape[half], -1)
    n1, n2 = k.shape[-2:]
    return k.reshape(-1, n1, 1, n2)


def beside(rows: Any, columns: Any, all_positions: bool, own: bool) -> tuple[Any, Any]:
    """What belongs to the row and to the column of every entry of `grid`, from trees of arrays (..., n, positions)."""
    if not all_positions:
        rows, columns = (jax.tree.map(lambda a: jnp.swapaxes(a, -1, -2), side) for side in (rows, columns))
    first = jax.tree.map(lambda a: a[..., :, :, None, None], rows)
    if own:
        same = jax.tree.map(lambda a: a[..., :, None, None, :], columns) if all_positions else first
        return first, same
    if all_positions:
        return first, jax.tree.map(lambda a: a[..., None, None, :, :], columns)
    return first, jax.tree.map(lambda a: a[..., :, None, None, :], columns)
