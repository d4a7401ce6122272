"""The device that kernels are computed on: how much memory they may work in, and what is left to the host beside it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from ntkrun.devices.float64 import require_float64
from ntkrun.devices.platform import platform
from ntkrun.types import AnyArray, Array

ON_A_CPU = 2**30  # bytes: what a machine of a few cores has beside everything else
# Of an accelerator's memory.  What a kernel holds is counted as if nothing of it were freed before its end: compiled for an
# H100, those of Figure S5's convolutions hold a sixth of what is counted.  States and what XLA needs lie beside it.
SHARE = 0.7


def working_bytes() -> int:
    """For a kernel, beside its inputs and its result: `SHARE` of the memory that JAX may use of its device; 1 GiB on a CPU,
    and where a device does not say.

    It decides how many blocks a kernel falls into, hence the order of float sums and nothing else.
    """
    if platform() == "cpu":
        return ON_A_CPU
    told = jax.local_devices()[0].memory_stats() or {}
    return max(ON_A_CPU, int(SHARE * told.get("bytes_limit", 0)))


def beyond_a_cpu(numbers: int) -> int:
    """`numbers`, chosen for a CPU's cache, as many times larger as the device has more working memory than a CPU."""
    return numbers * (working_bytes() // ON_A_CPU)


def on_device(a: AnyArray, dtype: Any) -> Array:
    """A copy of the array on the device; its dtype is changed on the host, where that is no program to compile.

    Raises `UserError` for float64 while JAX computes in 32 bits, in which the copy would be float32.
    """
    if np.dtype(dtype) == np.float64:
        require_float64("an array of this computation")
    if isinstance(a, Tracer):
        return a.astype(dtype)
    return jax.device_put(np.array(a, dtype))


@contextlib.contextmanager
def on_the_host() -> Iterator[None]:
    """Inside it (or as a decorator) arrays are made and computed with on the host's CPU.

    For what is small, in float64, or made of single operations: on an accelerator each of them would be a program to
    compile and a wait for the device.  Without an accelerator nothing changes.
    """
    if platform() == "cpu":
        yield
        return
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names the accelerator alone
        yield
        return
    with jax.default_device(host):
        yield
