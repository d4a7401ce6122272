"""The network seen by how far it has moved: relative Frobenius changes of its weights and of its kernels.

At step i, with ||.|| the Frobenius norm,
    weight_change    ||omega^l_i - omega^l_0|| / ||omega^l_0|| of every layer l = 1 .. L+1,
    ntk_change       ||Theta_hat_i - Theta_hat_0|| / ||Theta_hat_0|| on the training set, all k x k blocks,
    nngp_change      the same for K_hat.
`ObservedDistances` has the absolute distances of Theorem 2.1 instead.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ntkrun.data.batches import Batch
from ntkrun.dynamics.metrics import LOSSES, accuracy
from ntkrun.dynamics.network import Network, predict
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk
from ntkrun.kernels.precision import full_precision
from ntkrun.models.parameters import layer_names
from ntkrun.types import Array, Float, Params


def _norm(a: Array) -> Array:
    # A sum of 1e6 float32 squares keeps too few digits of a change of 1e-4.
    return jnp.sqrt(jnp.sum(jnp.square(a.astype(jnp.float64))))


def relative_change(a: Array, a0: Array, unseen: float | Array = 0.0) -> Float[Array, ""]:
    """||a - a0||_F / sqrt(||a0||_F^2 + unseen); `unseen`: squares of entries of a0 that never move and are not held."""
    return _norm(a - a0) / jnp.sqrt(_norm(a0) ** 2 + unseen)


@struct.dataclass(kw_only=True)
class ObservedChanges(Network):
    """The rival `Network`, whose observations are the changes above and the training loss.

    ntk0 (n, n, k, k) and nngp0 (n, n): both kernels at theta0; unseen (): squares of the part of omega^1_0 that inputs
    in the basis of their span leave out (`data.span`), 0 for full inputs.
    """

    ntk0: Array
    nngp0: Array
    unseen: Array

    VARYING = ("theta0", "ntk0", "nngp0", "unseen")  # between the members of an ensemble

    @classmethod
    def of(cls, network: Network, unseen: float = 0.0) -> "ObservedChanges":
        fields: dict[str, Any] = {name: getattr(network, name) for name in Network.__dataclass_fields__}
        ntk0 = empirical_ntk(network.model, network.theta0, network.x_train)
        nngp0 = empirical_nngp(network.model, network.theta0, network.x_train)
        return cls(**fields, ntk0=ntk0, nngp0=nngp0, unseen=jnp.asarray(unseen, jnp.float64))

    def observe(self, state: tuple[Params, Any]) -> dict[str, Array]:
        theta = state[0]
        f = predict(full_precision(self.model), theta, self.x_train)
        return {
            "weight_change": self._weight_changes(theta),
            "ntk_change": relative_change(empirical_ntk(self.model, theta, self.x_train), self.ntk0),
            "nngp_change": relative_change(empirical_nngp(self.model, theta, self.x_train), self.nngp0),
            "loss": LOSSES[self.loss](f, self.y_train),
        }

    def _weight_changes(self, theta: Params) -> Float[Array, " layers"]:
        """In the order of the layers; biases are not counted."""

        def weight(layer: Params) -> Array:
            return layer["omega"] if "omega" in layer else layer["W"]

        names = layer_names(theta)
        unseen = [self.unseen, *[jnp.zeros(())] * (len(names) - 1)]
        changes = [
            relative_change(weight(theta[name]), weight(self.theta0[name]), rest)
            for name, rest in zip(names, unseen, strict=True)
        ]
        return jnp.stack(changes)


@struct.dataclass(kw_only=True)
class ObservedDistances(Network):
    """The rival `Network`, whose observations are those of Theorem 2.1: outputs, ||theta_t - theta_0||, and
    ||Theta_hat_t - Theta_hat_0||_F with the bare Theta_hat = J J^T on the training set.

    ntk0 (n, n, k, k), cross0 (m, n, k, k): J J^T at theta0, train with train and test with train.
    """

    ntk0: Array
    cross0: Array

    VARYING = ("theta0", "ntk0", "cross0")  # between the members of an ensemble

    @classmethod
    def of(cls, network: Network) -> "ObservedDistances":
        fields: dict[str, Any] = {name: getattr(network, name) for name in Network.__dataclass_fields__}
        ntk0 = empirical_ntk(network.model, network.theta0, network.x_train)
        cross0 = empirical_ntk(network.model, network.theta0, network.x_test, network.x_train)
        return cls(**fields, ntk0=ntk0, cross0=cross0)

    def observe(self, state: tuple[Params, Any]) -> dict[str, Array]:
        theta, model = state[0], full_precision(self.model)
        moved = jax.tree.leaves(jax.tree.map(lambda a, a0: _norm(a - a0) ** 2, theta, self.theta0))
        return {
            "train": predict(model, theta, self.x_train),
            "test": predict(model, theta, self.x_test),
            "theta_distance": jnp.sqrt(jnp.sum(jnp.stack(moved))),
            "ntk_distance": _norm(empirical_ntk(self.model, theta, self.x_train) - self.ntk0),
        }


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
