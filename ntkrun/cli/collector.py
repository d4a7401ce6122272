"""How often Python searches for reference cycles: seldom where a picture is made, of whose objects next to none is garbage."""

import gc
from collections.abc import Sequence

NEW_OBJECTS = 100_000  # between two searches: a picture with all imports makes half a million objects that stay


def search_seldom(arguments: Sequence[str]) -> None:
    """For a command line that draws and does not compute: as usual, every 700 objects, searches are a tenth of its time.

    Not for what computes: JAX frees device memory when cycles are searched.
    """
    if "stage=report" in arguments:
        gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
