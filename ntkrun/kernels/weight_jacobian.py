"""df_a(x)/dtheta of single weights, the columns of the Jacobian that a figure follows."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.kernels.precision import full_products
from ntkrun.kernels.taps import outputs_of
from ntkrun.models.functions import Network
from ntkrun.types import Array, Float, NumpyArray, Params

AnyArray = Array | NumpyArray
Watched = tuple[tuple[str, ...], int]  # a scalar weight: its path in the parameter tree, its flat index in that array


@full_products
def weight_jacobian(
    model: Network, params: Params, x: Float[AnyArray, "n ..."], watched: tuple[Watched, ...]
) -> Float[Array, "w n k"]:
    """df_a(x_i)/dtheta_w of single weights, each named by (path in `params`, flat index); (w, n, k).

    One linearisation, then one forward derivative per weight.  Raises `UserError` for a path or an index that is not
    there.
    """
    for path, index in watched:
        leaf = _leaf(params, path)
        if not 0 <= index < getattr(leaf, "size", 0):
            raise UserError(f"no weight {'/'.join(path)}[{index}] in the parameters")
    return _weight_jacobian(model, params, jnp.asarray(x), watched)


def _leaf(params: Params, path: tuple[str, ...]) -> Any:
    for part in path:
        params = params[part] if isinstance(params, Mapping) and part in params else None
    return params


@partial(jax.jit, static_argnames=("model", "watched"))
def _weight_jacobian(model: Network, params: Params, x: Array, watched: tuple[Watched, ...]) -> Array:
    def outputs(shifts: list[Array]) -> Array:
        # Only the watched scalars vary, so arrays without one cost nothing in the forward derivative.
        moved = params
        for (path, index), shift in zip(watched, shifts, strict=True):
            moved = _shifted(moved, path, index, shift)
        return outputs_of(model, moved, x)

    dtypes = [_leaf(params, path).dtype for path, _ in watched]
    output, jvp = jax.linearize(outputs, [jnp.zeros((), dtype) for dtype in dtypes])
    if not watched:
        return jnp.zeros((0, *output.shape), output.dtype)
    directions = [jnp.eye(len(watched), dtype=dtype)[row] for row, dtype in enumerate(dtypes)]
    return jax.lax.map(jvp, directions)


def _shifted(params: Params, path: tuple[str, ...], index: int, shift: Array) -> Params:
    """`params` with `shift` added to one scalar."""
    if not path:
        return params.reshape(-1).at[index].add(shift).reshape(params.shape)
    return {**params, path[0]: _shifted(params[path[0]], path[1:], index, shift)}
