"""Losses and distances: the one place where the project's normalisation is written down.

Every loss is AVERAGED over the b examples of the batch and over the k outputs, and eta multiplies the gradient of that
average:  theta <- theta - eta dL/dtheta.  A factor b k therefore stands between eta here and one for the summed loss.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.errors import UserError
from ntkrun.types import AnyArray, Array, Float

Loss = Callable[[AnyArray, AnyArray], Array]


def check_same_shape(f: AnyArray, y: AnyArray) -> None:
    """UserError unless both are (n, k): (n, 1) against (n,) would broadcast to (n, n) and be another loss."""
    if np.ndim(f) != 2 or np.shape(f) != np.shape(y):
        raise UserError(
            f"outputs of shape {np.shape(f)} against targets of shape {np.shape(y)}: both must be (n, k); for one output "
            "write y[:, None]"
        )


def mse(f: Float[AnyArray, "b k"], y: Float[AnyArray, "b k"]) -> Float[Array, ""]:
    """L = 1/2 mean_{b,k} (f - y)^2, the loss that the paper's plots show."""
    check_same_shape(f, y)
    return 0.5 * jnp.mean((f - y) ** 2)


def cross_entropy(f: Float[AnyArray, "b k"], y: Float[AnyArray, "b k"]) -> Float[Array, ""]:
    """L = -mean_{b,k} y log softmax(f), i.e. 1/k of the usual cross-entropy; y holds one-hot rows."""
    check_same_shape(f, y)
    return -jnp.mean(y * jax.nn.log_softmax(f, axis=-1))


LOSSES: dict[str, Loss] = {"mse": mse, "cross_entropy": cross_entropy}


def loss_of(name: str) -> Loss:
    """The loss of this name; UserError where there is none."""
    if name not in LOSSES:
        raise UserError(f"unknown loss {name!r}: choose {' or '.join(LOSSES)}")
    return LOSSES[name]


def accuracy(f: Float[AnyArray, "b k"], y: Float[AnyArray, "b k"]) -> Float[Array, ""]:
    """Share of examples whose class is right: the sign for k = 1 (targets +1, -1), the largest output otherwise."""
    check_same_shape(f, y)
    if f.shape[1] == 1:
        return jnp.mean((jnp.sign(f) == jnp.sign(y)).astype(float))
    return jnp.mean((jnp.argmax(f, axis=1) == jnp.argmax(y, axis=1)).astype(float))


def rmse(f: Float[AnyArray, "b k"], g: Float[AnyArray, "b k"]) -> Float[Array, ""]:
    """Root of the mean over examples and outputs of (f - g)^2."""
    check_same_shape(f, g)
    return jnp.sqrt(jnp.mean((f - g) ** 2))
