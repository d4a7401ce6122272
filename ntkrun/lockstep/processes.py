"""Several processes that compute one run together, usually one a host: all trace the same programs over all devices.

The process of index 0 leads: what depends on a clock, a file or a signal is decided there and told to the others.
Without `start` there is one process, which leads nobody, and nothing here communicates.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from ntkrun.errors import UserError


def start() -> None:
    """Join the other processes through `jax.distributed`; before anything else asks JAX for a device.

    They find each other by JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID, or
    by what SLURM and other launchers tell their tasks.

    Raises:
        UserError: nothing tells where the others are, or they do not come.
    """
    count, process = (os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
    if jax.distributed.is_initialized():  # an earlier job of a multirun
        return
    try:
        jax.distributed.initialize(
            num_processes=None if count is None else int(count), process_id=None if process is None else int(process)
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"distributed=true found no other processes ({' '.join(str(error).split())[:120]}): start it as the tasks of "
            "a launcher, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID"
        ) from error


END = -1  # no further cell


def several() -> bool:
    return jax.process_count() > 1


def leads() -> bool:
    """Whether this process decides and writes."""
    return jax.process_index() == 0


def leave(code: int) -> None:
    """End this process at once if there are others: they wait in the middle of a step for what will not come.

    The usual way out would wait for them in turn; JAX ends them when it misses this one.
    """
    if several():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextlib.contextmanager
def ended_by_any() -> Iterator[None]:
    """Around what several processes compute together: one that fails by itself ends, and with it the others.

    A UserError passes: all of them meet it, or the leader has told them of it.
    """
    try:
        yield
    except UserError:
        raise
    except Exception:
        if several():
            traceback.print_exc(file=sys.stderr)
            leave(1)
        raise


def tell(array: np.ndarray) -> np.ndarray:
    """The leader's array, bit for bit, in every process; the others give one of its shape and dtype."""
    if not several() or not array.size:
        return array
    numbers = np.ascontiguousarray(array).reshape(-1).view(np.uint8)  # a sum with zeros would lose the sign of -0.
    heard = np.asarray(multihost_utils.broadcast_one_to_all(numbers))
    return heard.view(array.dtype).reshape(array.shape)


def whole(array: jax.Array) -> np.ndarray:
    """All of an array that is dealt out over the processes; all have to call this in the same order."""
    if array.is_fully_replicated or not several():
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def agree(number: int) -> int:
    """The leader's number, in every process; all have to call this in the same order."""
    return int(multihost_utils.broadcast_one_to_all(np.int32(number))) if several() else number
