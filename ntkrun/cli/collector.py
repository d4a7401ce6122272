"""Python's collector of reference cycles rests while a picture is made: next to nothing is garbage before it is done."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resting() -> Iterator[None]:
    """No search for cycles inside; what is garbage by then is found by the first search after it.

    Imports and drawing make millions of objects that stay, which are looked through again and again: a tenth of the time of
    stage=report.  Not for what computes: JAX frees device memory when cycles are searched.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
