"""Array types with visible shapes.

Axis letters used throughout: n (training examples), m (test examples), k (outputs), d (input dimensions),
b (a mini-batch), w (watched weights).
"""

from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int, Num, PRNGKeyArray, UInt8

from ntkrun.errors import UserError

Params = Any  # a pytree of arrays: the Flax "params" collection
NumpyArray = np.ndarray
AnyArray = Array | NumpyArray  # on the device or on the host


def check_arrays(**arrays: Any) -> None:
    """UserError for what is no array of numbers, by its name; what JAX traces is one."""
    for name, value in arrays.items():
        if not (hasattr(value, "shape") and _kind(value) in "biufcV"):
            what = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
            raise UserError(f"{name} must be an array of numbers, jnp.asarray(...), not {what}")


def check_number(
    name: str, value: Any, *, above: int | None = None, at_least: int | None = None, whole: bool = False
) -> None:
    """UserError, by its name, for what is not one finite real number in the range, or no whole one where that is wanted."""
    fits = isinstance(value, (int, float, np.number)) or (hasattr(value, "dtype") and _kind(value) in "iuf")
    fits = fits and not isinstance(value, bool) and np.ndim(value) == 0 and bool(np.isrealobj(value))
    fits = fits and bool(np.isfinite(value)) and (not whole or value == int(value))
    if fits and (above is None or value > above) and (at_least is None or value >= at_least):
        return
    kind = "a whole number" if whole else "a finite number"
    bound = f" above {above:g}" if above is not None else f" from {at_least:g} on" if at_least is not None else ""
    what = repr(value) if isinstance(value, (str, int, float, np.number)) else f"a {type(value).__name__}"
    raise UserError(f"{name} must be {kind}{bound}, not {what}")


def _kind(value: Any) -> str:
    try:
        return np.dtype(value.dtype).kind
    except (AttributeError, TypeError):  # none, and that of keys
        return "?"


def check_params(params: Any) -> None:
    """UserError for what is no tree of arrays."""
    import jax  # not with this module: it is imported where nothing is computed

    leaves = jax.tree.leaves(params)
    if not leaves or not all(hasattr(leaf, "shape") for leaf in leaves):
        raise UserError(
            f"params must be a tree of arrays, as model.init(key, x)['params'] gives it, not {type(params).__name__} "
            f"{str(params)[:40]!r}"
        )


__all__ = [
    "AnyArray",
    "Array",
    "Bool",
    "Float",
    "Float64",
    "Int",
    "Num",
    "NumpyArray",
    "PRNGKeyArray",
    "Params",
    "UInt8",
    "check_arrays",
    "check_number",
    "check_params",
]
