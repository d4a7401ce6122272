"""Where 64-bit arithmetic comes from: JAX computes in 32 bits unless told otherwise, for a whole process or for a scope.

The command line switches it on (`devices.numerics`).  Imported as a library, ntkrun leaves the caller's configuration alone: what
is float64 by its equations computes `in_float64`, and what is float64 because the caller's arrays are refuses to round
them (`require_float64`).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ntkrun.errors import UserError


def switch_on() -> None:
    """64-bit arithmetic in this process and in those that it starts; JAX, which takes a second, is not imported for it."""
    os.environ["JAX_ENABLE_X64"] = "true"
    if "jax" in sys.modules:  # it has read its environment
        import jax

        jax.config.update("jax_enable_x64", True)


def is_on() -> bool:
    """Whether JAX computes in 64 bits here, by the caller's configuration or inside `in_float64`."""
    import jax

    config: Any = jax.config  # its hints name no flags
    return bool(config.jax_enable_x64)


@contextmanager
def in_float64() -> Iterator[None]:
    """Inside it (or as a decorator) JAX computes in 64 bits; nothing changes where it does so already.

    It holds for the current thread.  A generator must not yield inside it: its caller would go on in 64 bits.
    """
    if is_on():
        yield
        return
    with _scope()(True):
        yield


def _scope() -> Any:
    """JAX's own context: public since 0.8, among the experimental ones before."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64
    from jax import experimental

    return experimental.enable_x64  # pyright: ignore[reportAttributeAccessIssue]


def require_float64(what: str) -> None:
    """UserError where JAX would round float64 to 32 bits; `what` is the subject of the sentence."""
    if not is_on():
        raise UserError(
            f"{what} is float64, which JAX would round to float32: type jax.config.update('jax_enable_x64', True) first"
        )
