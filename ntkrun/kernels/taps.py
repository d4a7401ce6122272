"""What the taps of a network's layers give: their inputs, and the derivatives of all outputs by what they return.

The protocol stands in `models.layers`; a network is asked for it here and nowhere else.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.devices import float64
from ntkrun.errors import UserError
from ntkrun.kernels.dependence import moved
from ntkrun.models.functions import Model, ModelLike, is_nnx, network_of
from ntkrun.types import Array, Float, Params

Path = tuple[str, ...]  # of a layer in the parameter tree


def outputs_of(model: ModelLike, params: Params, x: Array) -> Any:
    """f(x, theta).  A program that JAX compiles for an NNX module would not see it change: `UserError`."""
    if is_nnx(model):
        raise UserError(f"{type(model).__name__} is an NNX module: pass f of f, params = ntkrun.as_function(module)")
    return network_of(model).apply({"params": params}, x)


def tapped_apply(model: Model, params: Params, perturbations: Any, x: Array) -> tuple[Array, Any]:
    """(f with `perturbations` added to every tapped h, what the layers sowed)."""
    variables = {"params": params, "perturbations": perturbations}
    output, state = model.apply(variables, x, mutable=["taps"])
    return output, state.get("taps", {})


def zero_perturbations(model: Model, x: Array) -> Any:
    """A zero for every tapped h on these examples."""
    shapes = shapes_at_start(model, x.shape[1:], x.dtype).get("perturbations", {})
    return jax.tree.map(lambda shape: jnp.zeros((x.shape[0], *shape.shape[1:]), shape.dtype), shapes)


def shapes_at_start(model: Model, image: tuple[int, ...], dtype: Any) -> dict[str, Any]:
    """Of the parameters ("params"), and of h of one example in every tapped layer ("perturbations")."""
    return _shapes_at_start(model, image, dtype, float64.is_on())


# A trace of the network takes as long as its kernel on small sets; its dtypes may depend on the precision of JAX.
@lru_cache(maxsize=256)
def _shapes_at_start(model: Model, image: tuple[int, ...], dtype: Any, in_64_bits: bool) -> dict[str, Any]:
    return jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *image), dtype))


def uses_by_layer(taps: Any, path: Path = ()) -> dict[Path, Any]:
    """Path of each tapped layer -> what it sowed at each use, in the order of the forward pass (Flax keeps that of first use)."""
    layers = {}
    for name, node in taps.items():
        layers |= {path: node} if isinstance(node, tuple) else uses_by_layer(node, (*path, name))
    return layers


def last_leaf_by_layer(tree: Any) -> dict[Path, Any]:
    """Path of the enclosing layer -> its last leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {tuple(part.key for part in path[:-1]): leaf for path, leaf in leaves}


def uncovered(params: Params, layers: dict[Path, Any]) -> list[str]:
    """Layers whose parameters no tap sees, and tapped ones that are used more than once; of the module's own parameters, which
    lie in no layer, the names."""
    reused = {path for path, uses in layers.items() if len(uses) > 1}
    missed = (set(last_leaf_by_layer(params)) - set(layers)) | reused
    at_the_top = [name for name, leaf in params.items() if hasattr(leaf, "shape")] if () in missed else []
    return sorted(["/".join(path) for path in missed - {()}] + at_the_top)


def check_covered(params: Params, layers: dict[Path, Any]) -> None:
    """Raises `UserError` unless every array of `params` lies directly in a tapped layer that is used once."""
    if names := uncovered(params, layers):
        raise UserError(f"no structured kernel for the parameters of {', '.join(names)}: use method='jacobian'")


def tapped_layers(
    model: Model, params: Params, x: Array
) -> dict[str, tuple[dict[str, Array], Float[Array, "n k *width"]]]:
    """Path of every layer -> (what it sowed, delta), delta[i, a] = df_a(x_i)/dh: one forward, one backward pass per output.

    Of a layer that no output depends on, x and delta are those of no inputs and no features, whose products are zeros.
    """
    zeros = zero_perturbations(model, x)
    output, vjp, taps = jax.vjp(lambda h: tapped_apply(model, params, h, x), zeros, has_aux=True)
    layers = uses_by_layer(taps)
    check_covered(params, layers)
    one_hot = jnp.eye(output.shape[1], dtype=output.dtype)
    cotangents = jnp.broadcast_to(one_hot[:, None, :], (output.shape[1], *output.shape))
    (deltas,) = jax.vmap(vjp, out_axes=1)(cotangents)
    used = [slice(None if moves else 0) for moves in moved(vjp, output)]
    delta_of, used_of = (
        last_leaf_by_layer(tree) for tree in (deltas, jax.tree.unflatten(jax.tree.structure(deltas), used))
    )
    return {
        "/".join(path): (sown | {"x": sown["x"][..., used_of[path]]}, delta_of[path][..., used_of[path]])
        for path, (sown,) in layers.items()
    }


def readout_taps(model: Model, params: Params, x: Array) -> dict[str, Array]:
    """What the last layer sowed.

    Raises `UserError` where parameters lie outside of tapped layers, so that the last tapped layer need not be the last.
    """
    return _covered_uses(model, params, zero_perturbations(model, x), x)[-1][1][0]


def _covered_uses(model: Model, params: Params, zeros: Any, x: Array) -> list[tuple[Path, Any]]:
    """Layers and what they sowed, in forward order; `UserError` unless they have all parameters."""
    layers = uses_by_layer(tapped_apply(model, params, zeros, x)[1])
    if names := uncovered(params, layers):
        raise UserError(
            f"K_hat is read from the readout's input, and {type(model).__name__} has layers without taps "
            f"({', '.join(names)}): make them of `Dense` and `Conv` of ntkrun.models.layers, each used once"
        )
    return list(layers.items())


def check_readout(model: Model, params: Params, x: Array) -> None:
    """Raises `UserError` unless outputs move as what the last layer with taps returns does: seen at the first of these
    inputs."""
    zeros = zero_perturbations(model, x[:1])
    last = _covered_uses(model, params, zeros, x[:1])[-1][0]

    def moved(path: Any, h: Array) -> Array:
        return jnp.ones_like(h) if tuple(part.key for part in path[:-1]) == last else jnp.zeros_like(h)

    direction = jax.tree_util.tree_map_with_path(moved, zeros)
    _, change = jax.jvp(lambda h: tapped_apply(model, params, h, x[:1])[0], (zeros,), (direction,))
    if not np.allclose(change, 1.0, atol=1e-5):
        raise UserError(
            f"K_hat is read from the readout's input, and {type(model).__name__} changes what its last layer "
            f"({'/'.join(last)}) returns: return it as it is"
        )
