"""df_a(x)/dtheta of single weights, the columns of the Jacobian that a figure follows."""

from functools import partial

import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.kernels.precision import full_products
from ntkrun.kernels.taps import outputs_of
from ntkrun.models.functions import Model, ModelLike
from ntkrun.models.parameters import named_leaves
from ntkrun.types import Array, Float, Num, NumpyArray, Params, check_arrays

AnyArray = Array | NumpyArray
Watched = tuple[tuple[str, ...], int]  # a scalar weight: its path in the parameter tree, its flat index in that array


@full_products
def weight_jacobian(
    model: ModelLike, params: Params, x: Num[AnyArray, "n ..."], watched: tuple[Watched, ...]
) -> Float[Array, "w n k"]:
    """df_a(x_i)/dtheta_w of single weights, each named by (path in `params`, flat index); (w, n, k).

    One linearisation, then one forward derivative per weight.  Raises `UserError` for a path or an index that is not
    there.
    """
    check_arrays(x=x)
    leaves = named_leaves(params)
    if not all(isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], tuple) for one in watched):
        raise UserError(f"watched weights are pairs, ((('layer_1', 'omega'), 0), ...), not {watched!r:.60}")
    for path, index in watched:
        if path not in leaves or not 0 <= index < leaves[path].size:
            raise UserError(f"no weight {'/'.join(path)}[{index}] in the parameters")
    return _weight_jacobian(model, params, jnp.asarray(x), watched)


@partial(jax.jit, static_argnames=("model", "watched"))
def _weight_jacobian(model: Model, params: Params, x: Array, watched: tuple[Watched, ...]) -> Array:
    names = list(named_leaves(params))
    places = [names.index(path) for path, _ in watched]

    def outputs(shifts: list[Array]) -> Array:
        # Only the watched scalars vary, so arrays without one cost nothing in the forward derivative.
        leaves, structure = jax.tree.flatten(params)
        for place, (_, index), shift in zip(places, watched, shifts, strict=True):
            leaf = leaves[place]
            leaves[place] = leaf.reshape(-1).at[index].add(shift).reshape(leaf.shape)
        return outputs_of(model, jax.tree.unflatten(structure, leaves), x)

    dtypes = [jax.tree.leaves(params)[place].dtype for place in places]
    output, jvp = jax.linearize(outputs, [jnp.zeros((), dtype) for dtype in dtypes])
    if not watched:
        return jnp.zeros((0, *output.shape), output.dtype)
    directions = [jnp.eye(len(watched), dtype=dtype)[row] for row, dtype in enumerate(dtypes)]
    return jax.lax.map(jvp, directions)
