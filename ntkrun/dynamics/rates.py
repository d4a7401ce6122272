"""Networks that differ in their learning rate alone, some of which diverge."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ntkrun.data.batches import Batch
from ntkrun.dynamics.network import Network, predict
from ntkrun.kernels.precision import full_precision
from ntkrun.metrics import accuracy
from ntkrun.types import Array, Params


@struct.dataclass(kw_only=True)
class AtRate(Network):
    """The rival `Network` whose every step is `rate` times that of `tx`, which Optax scales by its own rate last.

    rate is a scalar, y_test (m, k).  Observed are the test accuracy and whether all test outputs are finite; the
    accuracy of a network that diverged is 0.
    """

    rate: Array
    y_test: Array

    VARYING = ("rate",)  # between the members of an ensemble

    def step(self, state: tuple[Params, Any], batch: Batch | None) -> tuple[Params, Any]:
        theta, optimizer_state = state
        updates, optimizer_state = self.tx.update(self.gradient(theta, batch), optimizer_state, theta)
        return jax.tree.map(lambda t, u: t + self.rate * u, theta, updates), optimizer_state

    def observe(self, state: tuple[Params, Any]) -> dict[str, Array]:
        f = predict(full_precision(self.model), state[0], self.x_test, self.chunk)
        finite = jnp.all(jnp.isfinite(f))
        return {"accuracy": jnp.where(finite, accuracy(f, self.y_test), 0.0), "finite": finite.astype(jnp.float64)}
