"""Durations and sizes as a person reads them."""

from itertools import pairwise

UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """ "0 s", "1.4 s", "14 s", "3 min 20 s", "5 h 10 min", "12 d 3 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "0 s"
    for (large, size), (small, part) in pairwise(UNITS):
        if seconds >= size:
            parts = round(seconds / part)
            whole, rest = divmod(parts, size // part)
            return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
    return f"{round(seconds)} s"


def memory(size: int | float) -> str:
    """Bytes as "12 KiB", "1.6 MiB", "79.2 GiB"."""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= one:
            return f"{size / one:.3g} {unit}" if size < 1000 * one else f"{size / one:,.0f} {unit}"
    return f"{size / 2**10:.3g} KiB"
