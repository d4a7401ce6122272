"""Theta_hat of a network whose layers have taps: sums of Gram products, in blocks of examples and as one half.

For a dense layer h = scale_w x W + scale_b b the gradient of output a at one example is (scale_w x delta_a^T, scale_b
delta_a), delta_a = df_a/dh, so the layer adds
    Theta_hat[i, j, a, b] += (c_w x_i.x_j + c_b) delta_a(x_i).delta_b(x_j),   c_w = scale_w^2, c_b = scale_b^2:
two Gram products of width n instead of one of width n^2 (`kernels.contraction`, also for convolutions).  x and delta
come from the taps of the layers (`models.layers`): c_w = sigma_w2/fan_in, c_b = sigma_b2 in the NTK parameterization, 1
and 1 in the standard one.
"""

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.kernels.blocks import WHOLE, ByLayer, blocks_within, in_blocks, mirrored
from ntkrun.kernels.contraction import Layer, contribution, prepared
from ntkrun.kernels.taps import (
    check_covered,
    last_leaf_by_layer,
    shapes_at_start,
    tapped_apply,
    tapped_layers,
    uses_by_layer,
    zero_perturbations,
)
from ntkrun.models.functions import Model
from ntkrun.types import Array, Float, Params

_STRIP = 64  # columns per product of the symmetric half; narrower ones run below the speed of a full product
_MAX_STRIPS = 4  # already leaves 5/8 of the full product, the limit being 1/2


def _block(names: list[str], first: list[Layer], second: list[Layer], trace_outputs: bool) -> ByLayer:
    """The layers' addends for two sets of examples, those of one name summed: (n1, n2) if traced, else (n1, n2, k, k)."""
    sums: dict[str, Any] = {}
    for name, one, other in zip(names, first, second, strict=True):
        sums[name] = sums.get(name, 0.0) + contribution(one, other, trace_outputs=trace_outputs)
    return {name: _with_outputs(total, trace_outputs) for name, total in sums.items()}


def _with_outputs(total: Array, trace_outputs: bool) -> Array:
    if trace_outputs:
        return total
    return total[:, :, None, None] if total.ndim == 2 else total.transpose(0, 2, 1, 3)


def structured_ntk(
    model: Model,
    params: Params,
    x1: Array,
    x2: Array | None = None,
    trace_outputs: bool = False,
    memory_bytes: int | None = None,
) -> Float[Array, "n1 n2 *kk"]:
    """The kernel from blocks of examples whose taps fit; of x1 with itself only the blocks on and below the diagonal."""
    blocks = blocks_of(model, params, x1, x2, memory_bytes)
    return in_blocks(partial(structured_block, model, params, trace_outputs, False), x1, x2, blocks)[WHOLE]


def blocks_of(
    model: Model, params: Params, x1: Any, x2: Any = None, memory_bytes: int | None = None
) -> tuple[list[slice], list[slice]]:
    """The examples of x1 and of x2 (None: x1) that are worked on together; of arrays or of their shapes."""
    return blocks_within(_bytes_per_example(model, params, x1), x1, x2, memory_bytes)


def _bytes_per_example(model: Model, params: Params, x: Any) -> int:
    """Taps and, for convolutions in the form "gradients", k gradients of one example."""
    leaves, structure = jax.tree.flatten(params)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    return _bytes_of_shapes(model, structure, (*shapes, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)))


@lru_cache(maxsize=256)
def _bytes_of_shapes(model: Model, structure: Any, shapes: tuple[jax.ShapeDtypeStruct, ...]) -> int:
    *leaves, x = shapes
    params = jax.tree.unflatten(structure, leaves)
    output, taps = jax.eval_shape(
        lambda theta, x: tapped_apply(model, theta, zero_perturbations(model, x), x), params, x
    )
    layers = uses_by_layer(taps)
    check_covered(params, layers)
    k, held = output.shape[1], 0
    h_of = last_leaf_by_layer(shapes_at_start(model, x.shape[1:], x.dtype).get("perturbations", {}))
    for path, (sown,) in layers.items():
        delta = k * h_of[path].size * h_of[path].dtype.itemsize
        held += delta + sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(sown))
        if len(sown["x"].shape) == 3:
            held += k * sown["x"].shape[-1] * h_of[path].shape[-1] * h_of[path].dtype.itemsize
    return held


@partial(jax.jit, static_argnums=(0, 2, 3))
def structured_block(
    model: Model, params: Params, trace_outputs: bool, by_layer: bool, x1: Array, x2: Array | None
) -> ByLayer:
    """By layer, or all of them under `WHOLE`; x2 = None is x1 with itself, of which one half is computed."""
    sizes = (len(x1), len(x1 if x2 is None else x2))

    def layers(x: Array) -> dict[str, Layer]:
        tapped = tapped_layers(model, params, x)
        return {path: prepared(*of, sizes, trace_outputs=trace_outputs) for path, of in tapped.items()}

    found = layers(x1)
    first, names = list(found.values()), list(found) if by_layer else [WHOLE] * len(found)
    if x2 is not None:
        return _block(names, first, list(layers(x2).values()), trace_outputs)
    n = x1.shape[0]
    strip = -(-n // max(1, min(_MAX_STRIPS, n // _STRIP)))
    columns = []
    for start in range(0, n, strip):
        below, within = (jax.tree.map(partial(_examples, start=start, stop=stop), first) for stop in (n, start + strip))
        strip_columns = _block(names, below, within, trace_outputs)
        columns.append(jax.tree.map(partial(_below_nothing, rows=start), strip_columns))
    return {layer: _whole([column[layer] for column in columns]) for layer in dict.fromkeys(names)}


def _below_nothing(columns: Array, rows: int) -> Array:
    return jnp.pad(columns, ((rows, 0), *((0, 0),) * (columns.ndim - 1)))


def _whole(columns: list[Array]) -> Array:
    """The kernel from its columns on and below the diagonal."""
    lower = jnp.concatenate(columns, axis=1)
    n = lower.shape[0]
    # Everything strictly below the diagonal is mirrored, strips included.  A sum: XLA compiles a choice between a matrix
    # and its transpose for n^2 10^-4 seconds.
    below = jnp.tri(n, k=-1, dtype=bool).reshape(n, n, *(1,) * (lower.ndim - 2))
    at_diagonal = jnp.eye(n, dtype=bool).reshape(below.shape)
    strict = jnp.where(below, lower, 0)
    return jnp.where(at_diagonal, lower, strict + mirrored(strict))


def _examples(array: Array, start: int, stop: int) -> Array:
    return array[start:stop] if array.ndim else array  # the coefficients of a layer are scalars
