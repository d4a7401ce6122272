"""Losses and distances: the one place where the project's normalisation is written down.

Every loss is AVERAGED over the b examples of the batch and over the k outputs, and eta multiplies the gradient of that
average:  theta <- theta - eta dL/dtheta.  A factor b k therefore stands between eta here and one for the summed loss.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ntkrun.errors import UserError, did_you_mean
from ntkrun.types import AnyArray, Array, Float, check_arrays

Loss = Callable[[AnyArray, AnyArray], Array]


def check_same_shape(f: AnyArray | jax.ShapeDtypeStruct, y: AnyArray) -> None:
    """UserError unless both are (n, k): (n, 1) against (n,) would broadcast to (n, n) and be another loss."""
    check_arrays(outputs=f, targets=y)
    if len(f.shape) == 2 and f.shape == np.shape(y):
        return
    what = f"outputs of shape {f.shape} against targets of shape {np.shape(y)}: both must be (n, k)"
    raise UserError(f"{what}; {_remedy(f.shape, y)}")


def _remedy(outputs: tuple[int, ...], y: AnyArray) -> str:
    """What to write for targets that are none of these outputs."""
    if len(outputs) != 2:
        return "let the network return (n, k)"
    (n, k), shape = outputs, np.shape(y)
    if shape[:1] != (n,):
        return f"give one row of targets for each of the {n} examples"
    if shape == (n,) and k == 1:
        return "for one output write y[:, None]"
    if shape in ((n,), (n, 1)):
        labels = "y" if shape == (n,) else "y[:, 0]"
        return f"labels become targets of {k} outputs by jax.nn.one_hot({labels}, {k})"
    if len(shape) == 2:
        return (
            f"the targets have k = {shape[1]} columns and the network {k} outputs: build it with n_outputs={shape[1]}"
        )
    return f"write y.reshape({n}, {k})" if np.size(y) == n * k else "give one number for each example and output"


def check_targets(f: AnyArray | jax.ShapeDtypeStruct, y: AnyArray, loss: str) -> None:
    """UserError unless y are targets of the outputs f under this loss: those of a known loss, of one shape, and under the
    cross-entropy one distribution over classes for each example; numbers that JAX traces go unseen."""
    loss_of(loss)
    check_same_shape(f, y)
    if loss != "cross_entropy":
        return
    if f.shape[1] == 1:
        raise UserError(
            "loss='cross_entropy' of one output is 0 whatever it says: give the network an output for each class"
        )
    if not isinstance(y, Tracer) and not (np.min(y) >= 0 and np.allclose(np.sum(y, axis=1), 1, atol=1e-3)):
        raise UserError(
            "loss='cross_entropy' takes targets whose rows are probabilities of the classes, and these are not above 0 with a "
            "sum of 1: write jax.nn.one_hot(labels, k), or take loss='mse'"
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
        raise UserError(f"unknown loss {name!r}{did_you_mean(name, LOSSES) or ':'} choose {' or '.join(LOSSES)}")
    return LOSSES[name]


def check_training(tx: Any, loss: str) -> None:
    """UserError for what is no transformation of Optax, and for an unknown loss."""
    if not (callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))):
        raise UserError(f"tx is an optimizer of Optax, optax.sgd(0.1), say, not {tx!r}")
    loss_of(loss)


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
