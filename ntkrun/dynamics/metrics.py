"""Losses and distances: the one place where the project's normalisation is written down.

Every loss is AVERAGED over the b examples of the batch and over the k outputs, and eta multiplies the gradient of that
average:  theta <- theta - eta dL/dtheta.  A factor b k therefore stands between eta here and one for the summed loss.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ntkrun.types import AnyArray, Array, Float

Loss = Callable[[AnyArray, AnyArray], Array]


def mse(f: Float[AnyArray, "b k"], y: Float[AnyArray, "b k"]) -> Float[Array, ""]:
    """L = 1/2 mean_{b,k} (f - y)^2, the loss that the paper's plots show."""
    return 0.5 * jnp.mean((f - y) ** 2)


def cross_entropy(f: Float[AnyArray, "b k"], y: Float[AnyArray, "b k"]) -> Float[Array, ""]:
    """L = -mean_{b,k} y log softmax(f), i.e. 1/k of the usual cross-entropy; y holds one-hot rows."""
    return -jnp.mean(y * jax.nn.log_softmax(f, axis=-1))


LOSSES: dict[str, Loss] = {"mse": mse, "cross_entropy": cross_entropy}


def accuracy(f: Float[AnyArray, "b k"], y: Float[AnyArray, "b k"]) -> Float[Array, ""]:
    """Share of examples whose class is right: the sign for k = 1 (targets +1, -1), the largest output otherwise."""
    if f.shape[1] == 1:
        return jnp.mean((jnp.sign(f) == jnp.sign(y)).astype(float))
    return jnp.mean((jnp.argmax(f, axis=1) == jnp.argmax(y, axis=1)).astype(float))


def rmse(f: Float[AnyArray, "b k"], g: Float[AnyArray, "b k"]) -> Float[Array, ""]:
    """Root of the mean over examples and outputs of (f - g)^2."""
    return jnp.sqrt(jnp.mean((f - g) ** 2))
