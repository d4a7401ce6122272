"""What every layer of a composed network offers."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ntkrun.networks.covariances import Covariances, Needs, Signal
from ntkrun.networks.module import Composed, Scope
from ntkrun.networks.statistics import Statistics
from ntkrun.types import Array


class Layer(ABC):
    """One layer, or a network of several: frozen, hashable, without any array."""

    @abstractmethod
    def signal(self, given: Signal) -> Signal:
        """What comes out of it; UserError, with what to write, where it cannot take what is given."""

    @abstractmethod
    def forward(self, x: Array, scope: Scope) -> Array:
        """The finite layer, called inside a Flax module."""

    @abstractmethod
    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances | None:
        """The layer at infinite width; None where nothing above needs it.  The result's `signal` is set by `propagate`.

        of     what depends on one input alone
        after  the pairs of positions that are needed of the result
        """

    def needs(self, after: Needs, own: bool) -> Needs:
        """What it needs of its input so that `after` is known of its output; own: of an input with itself."""
        return after

    def propagate(self, k: Covariances | None, of: Statistics, after: Needs) -> Covariances | None:
        """`covariances` with no more positions than are needed; None where nothing is."""
        needed = self.needs(after, of.own)
        if k is None or needed == Needs.NOTHING:
            return None
        k = k.at_equal_positions() if needed == Needs.EQUAL else k
        found = self.covariances(k, of, after)
        if found is None:
            return None
        found = replace(found, signal=self.signal(k.signal))
        return found.at_equal_positions() if after == Needs.EQUAL else found

    def module(self, dtype: Any = jnp.float32, matmul: str = "as_dtype") -> nn.Module:
        """The finite network as a Flax module: x (n, ..., features) -> (n, k) by `apply({"params": params}, x)`.

        Its parameters have `dtype`; matmul: the precision of products (`ntkrun.models.products`).  With `train=True`, and a
        key `rngs={"dropout": key}`, units are dropped.
        """
        return Composed(self, dtype=dtype, matmul=matmul)

    @property
    def parts(self) -> "tuple[Layer, ...]":
        """The layers that it is made of."""
        return ()

    def given_to_parts(self, given: Signal) -> "tuple[Signal, ...]":
        """What each of its parts is given."""
        return ()

    def affine_layers(self) -> tuple[Any, ...]:
        """Its layers with parameters, in forward order."""
        return sum((part.affine_layers() for part in self.parts), ())
