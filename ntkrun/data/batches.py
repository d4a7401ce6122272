"""The order of mini-batches as a pure function of a key and the step."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.data.augment import augment
from ntkrun.errors import UserError
from ntkrun.types import AnyArray, Array, Bool, Float, Int, NumpyArray, PRNGKeyArray

# Indices permuted in one call: small data sets have many short epochs, and a call costs 0.1 ms.
PERMUTE_AT_ONCE = 2**17
# Up to so many epochs are permuted one by one, which is cheaper than a block of which most is thrown away.
SINGLE_AT_MOST = 16


class Batch(NamedTuple):
    """The training examples of one step (or of many, with an axis in front): rows, and how each image is changed."""

    rows: Int[AnyArray, "*steps b"]
    flips: Bool[AnyArray, "*steps b"] | None = None
    shifts: Int[AnyArray, "*steps b 2"] | None = None

    def of(self, x: Float[Array, "n *d"], y: Float[Array, "n k"]) -> tuple[Float[Array, "b *d"], Float[Array, "b k"]]:
        """Inputs and targets of a single step; one gather from the set on the device, traced."""
        chosen = x[self.rows]
        changed = self.flips is not None or self.shifts is not None
        return augment(chosen, self.flips, self.shifts) if changed else chosen, y[self.rows]


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Whole batches in an epoch; n mod batch_size examples sit it out, other ones in each epoch.

    Raises:
        UserError: batch_size < 1 or > n.
    """
    if not 1 <= batch_size <= n:
        raise UserError(f"optimizer.batch_size={batch_size} does not fit {n} training examples; use 1..{n}")
    return n // batch_size


def batch_indices(
    key: PRNGKeyArray, n: int, batch_size: int, first_step: int, n_steps: int
) -> Int[NumpyArray, "steps batch"]:
    """Rows of the training set that steps first_step .. first_step + n_steps - 1 use, int32.

    Step i lies in epoch e = i // steps_per_epoch, whose order is permutation(fold_in(key, e), n), and takes its
    slice number i mod steps_per_epoch.  So the rows of step i depend on (key, n, batch_size, i) alone: a run that was
    interrupted, or reads its batches in other portions, sees the same ones.

    Raises:
        UserError: batch_size does not fit n, or a negative step.
    """
    per_epoch = steps_per_epoch(n, batch_size)
    if first_step < 0 or n_steps < 0:
        raise UserError(f"batches from step {first_step}, {n_steps} of them: neither may be negative")
    if n_steps == 0:
        return np.empty((0, batch_size), np.int32)
    first_epoch, last_epoch = first_step // per_epoch, (first_step + n_steps - 1) // per_epoch
    steps = np.empty(((last_epoch - first_epoch + 1) * per_epoch, batch_size), np.int32)
    row = 0
    for orders in _orders(key, first_epoch, last_epoch, n):
        batches = orders[:, : per_epoch * batch_size].reshape(-1, batch_size)
        steps[row : row + len(batches)] = batches
        row += len(batches)
    offset = first_step - first_epoch * per_epoch
    return steps[offset : offset + n_steps]


def _orders(key: PRNGKeyArray, first_epoch: int, last_epoch: int, n: int) -> Iterator[NumpyArray]:
    """The orders (epochs, n) of first_epoch .. last_epoch, one epoch or one block of them at a time.

    Two block sizes, hence two programs to compile for each n, whatever portions a run asks for.
    """
    block = min(max(1, PERMUTE_AT_ONCE // n), 1024)
    epoch = first_epoch
    while epoch <= last_epoch:
        left = last_epoch + 1 - epoch
        size = block if left > min(SINGLE_AT_MOST, block) else 1
        orders = permutations(key, np.arange(epoch, epoch + size, dtype=np.int32), n)
        yield np.asarray(orders)[:left]
        epoch += size


@functools.partial(jax.jit, static_argnums=2)
def permutations(key: PRNGKeyArray, epochs: Int[Array, " e"], n: int) -> Int[Array, "e n"]:
    """The order of every epoch."""

    def one(epoch: Array) -> Array:
        return jax.random.permutation(jax.random.fold_in(key, epoch), jnp.arange(n, dtype=jnp.int32))

    return jax.vmap(one)(epochs)
