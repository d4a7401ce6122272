"""What a function is given once and for all: settings and arrays that are compared by what they hold."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ntkrun.errors import UserError


class Constants:
    """A tree of arrays and of values that can be hashed.  Equal where all of them are equal, in type and content."""

    def __init__(self, value: Any) -> None:
        leaves, structure = jax.tree.flatten(value)
        self.value = value
        self._identity = (structure, tuple(map(_identified, leaves)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constants) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


def digest(array: Any) -> str:
    """Of dtype, shape and content of an array; random keys count by their numbers."""
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    content = np.ascontiguousarray(array)
    return hashlib.sha256(f"{content.dtype} {content.shape} ".encode() + content.tobytes()).hexdigest()


def _identified(leaf: Any) -> tuple[Any, ...]:
    if isinstance(leaf, Tracer):
        raise UserError(
            "variables of a network have to be arrays, and these are traced by JAX: make the function outside of jax.jit, "
            "vmap and grad"
        )
    if isinstance(leaf, jax.Array | np.ndarray):
        return ("array", digest(leaf))
    try:
        hash(leaf)
    except TypeError as error:
        raise UserError(
            f"a network's argument of type {type(leaf).__name__} is neither an array nor hashable"
        ) from error
    return (type(leaf), leaf)


NOTHING = Constants({})
