"""What else than outputs is looked at on a network while it moves; each is the `observer` of a `Network`.

Where members of an ensemble are held against their own start, theta_0 and observer vary between them: `FROM_THEIR_START`.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from ntkrun.dynamics.metrics import accuracy, loss_of
from ntkrun.dynamics.network import Network, predict
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk
from ntkrun.kernels.precision import full_precision
from ntkrun.models.parameters import layer_names
from ntkrun.types import Array, Float, Params

FROM_THEIR_START = ("theta0", "observer")  # fields of `Network`


def _norm(a: Array) -> Array:
    # A sum of 1e6 float32 squares keeps too few digits of a change of 1e-4.
    return jnp.sqrt(jnp.sum(jnp.square(a.astype(jnp.float64))))


def relative_change(a: Array, a0: Array, unseen: float | Array = 0.0) -> Float[Array, ""]:
    """||a - a0||_F / sqrt(||a0||_F^2 + unseen); `unseen`: squares of entries of a0 that never move and are not held."""
    return _norm(a - a0) / jnp.sqrt(_norm(a0) ** 2 + unseen)


@struct.dataclass
class Changes:
    """Relative Frobenius changes since theta_0, and the training loss (Figures 1, S6).

    weight_change    ||omega^l_t - omega^l_0|| / ||omega^l_0|| of every layer l = 1 .. L+1,
    ntk_change       ||Theta_hat_t - Theta_hat_0|| / ||Theta_hat_0|| on the training set, all k x k blocks,
    nngp_change      the same for K_hat.

    ntk0 (n, n, k, k) and nngp0 (n, n): both kernels at theta_0; unseen (): squares of the part of omega^1_0 that inputs
    in the basis of their span leave out (`data.span`), 0 for full inputs.
    """

    ntk0: Array
    nngp0: Array
    unseen: Array

    def __call__(self, network: Network, theta: Params) -> dict[str, Array]:
        f = predict(full_precision(network.model), theta, network.x_train)
        return {
            "weight_change": self._of_weights(network.theta0, theta),
            "ntk_change": relative_change(empirical_ntk(network.model, theta, network.x_train), self.ntk0),
            "nngp_change": relative_change(empirical_nngp(network.model, theta, network.x_train), self.nngp0),
            "loss": loss_of(network.loss)(f, network.y_train),
        }

    def _of_weights(self, theta0: Params, theta: Params) -> Float[Array, " layers"]:
        """In the order of the layers; biases are not counted."""

        def weight(layer: Params) -> Array:
            return layer["omega"] if "omega" in layer else layer["W"]

        names = layer_names(theta)
        unseen = [self.unseen, *[jnp.zeros(())] * (len(names) - 1)]
        changes = [
            relative_change(weight(theta[name]), weight(theta0[name]), rest)
            for name, rest in zip(names, unseen, strict=True)
        ]
        return jnp.stack(changes)


@struct.dataclass
class Distances:
    """Outputs, ||theta_t - theta_0||_2, and ||Theta_hat_t - Theta_hat_0||_F with the bare Theta_hat = J J^T on the training
    set (Theorem 2.1).

    ntk0 (n, n, k, k), cross0 (m, n, k, k): J J^T at theta_0, train with train and test with train.
    """

    ntk0: Array
    cross0: Array

    @classmethod
    def at_start(cls, model: nn.Module, theta0: Params, x_train: Array, x_test: Array) -> "Distances":
        return cls(empirical_ntk(model, theta0, x_train), empirical_ntk(model, theta0, x_test, x_train))

    def __call__(self, network: Network, theta: Params) -> dict[str, Array]:
        model = full_precision(network.model)
        moved = jax.tree.leaves(jax.tree.map(lambda a, a0: _norm(a - a0) ** 2, theta, network.theta0))
        return {
            "train": predict(model, theta, network.x_train),
            "test": predict(model, theta, network.x_test),
            "theta_distance": jnp.sqrt(jnp.sum(jnp.stack(moved))),
            "ntk_distance": _norm(empirical_ntk(network.model, theta, network.x_train) - self.ntk0),
        }


@struct.dataclass
class TestAccuracy:
    """Test accuracy, 0 for a network that diverged, and whether all test outputs are finite (Figure S7).

    y_test (m, k).
    """

    __test__ = False  # for pytest, which collects by names

    y_test: Array

    def __call__(self, network: Network, theta: Params) -> dict[str, Array]:
        f = predict(full_precision(network.model), theta, network.x_test, network.chunk)
        finite = jnp.all(jnp.isfinite(f))
        return {"accuracy": jnp.where(finite, accuracy(f, self.y_test), 0.0), "finite": finite.astype(jnp.float64)}
