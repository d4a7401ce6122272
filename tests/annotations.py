"""beartype as the tests use it: the check of a function that is defined anew with each call of another is made once."""

import inspect
from collections.abc import Callable

from beartype import beartype

_made: dict[tuple, Callable] = {}


def checked(bare: Callable) -> Callable:
    """`bare` with its arguments checked; jaxtyping hands over functions that have another's name and signature and do nothing."""
    if "<locals>" not in bare.__qualname__:
        return beartype(bare)
    key = (bare.__module__, bare.__qualname__, inspect.signature(bare))
    try:
        if key not in _made:
            _made[key] = beartype(bare)
    except TypeError:  # a default that cannot be hashed
        return beartype(bare)
    return _made[key]
