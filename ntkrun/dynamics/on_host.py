"""What is computed beside the accelerator."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def on_the_host() -> Iterator[None]:
    """Inside it (or as a decorator) arrays are made and computed with on the host's CPU.

    For what is small, in float64, or made of single operations: on an accelerator each of them would be a program to
    compile and a wait for the device.  Without an accelerator nothing changes.
    """
    if jax.default_backend() == "cpu":
        yield
        return
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names the accelerator alone
        yield
        return
    with jax.default_device(host):
        yield
