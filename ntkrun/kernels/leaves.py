"""The parameters that a kernel sums over: the real numbers of the tree, layer by layer."""

import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.models.parameters import named_leaves
from ntkrun.types import Array, Params


def moving(params: Params) -> dict[str, list[int]]:
    """Layer -> places, among the leaves of the tree, of its parameters; "encoder/block_0" for those in params[encoder][block_0].

    A leaf beside which there is no layer around is one by itself.  Numbers that are no floating-point numbers have no
    derivative and are left out.  Raises `UserError` for complex ones.
    """
    layers: dict[str, list[int]] = {}
    for place, (names, leaf) in enumerate(named_leaves(params).items()):
        dtype = jnp.result_type(leaf)
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise UserError(
                f"the parameter {'/'.join(names)} is complex: hold its real and its imaginary part as two arrays"
            )
        if jnp.issubdtype(dtype, jnp.floating):
            layers.setdefault("/".join(names[:-1] or names), []).append(place)
    if not layers:
        raise UserError("params holds no floating-point numbers: pass the parameters that are trained")
    return layers


def those(params: Params, places: list[int]) -> list[Array]:
    """The leaves at these places."""
    leaves = jax.tree.leaves(params)
    return [jnp.asarray(leaves[place]) for place in places]


def put(params: Params, places: list[int], values: list[Array]) -> Params:
    """The tree with these leaves in their places."""
    leaves, structure = jax.tree.flatten(params)
    for place, value in zip(places, values, strict=True):
        leaves[place] = value
    return jax.tree.unflatten(structure, leaves)
