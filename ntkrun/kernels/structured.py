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

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ntkrun.devices.placement import working_bytes
from ntkrun.kernels.contraction import Layer, contribution, prepared, slices
from ntkrun.kernels.taps import (
    check_covered,
    last_leaf_by_layer,
    shapes_at_start,
    tapped_apply,
    tapped_layers,
    uses_by_layer,
    zero_perturbations,
)
from ntkrun.types import Array, Float, Params

_STRIP = 64  # columns per product of the symmetric half; narrower ones run below the speed of a full product
_MAX_STRIPS = 4  # already leaves 5/8 of the full product, the limit being 1/2


def _block(first: list[Layer], second: list[Layer], trace_outputs: bool) -> Array:
    """Sum over layers for two sets of examples: (n1, n2) if traced, else (n1, n2, k, k)."""
    total: Any = 0.0
    for one, other in zip(first, second, strict=True):
        total += contribution(one, other, trace_outputs=trace_outputs)
    if trace_outputs:
        return total
    return total[:, :, None, None] if total.ndim == 2 else total.transpose(0, 2, 1, 3)


def structured_ntk(
    model: nn.Module,
    params: Params,
    x1: Array,
    x2: Array | None = None,
    trace_outputs: bool = False,
    memory_bytes: int | None = None,
) -> Float[Array, "n1 n2 *kk"]:
    """The kernel from blocks of examples whose taps fit; of x1 with itself only the blocks on and below the diagonal."""
    rows, columns = blocks_of(model, params, x1, x2, memory_bytes)
    if len(rows) == len(columns) == 1:
        return _structured_ntk(model, params, x1, x2, trace_outputs)
    if isinstance(x1, Tracer):
        return _looped_ntk(
            model, params, _of_blocks(x1, rows), None if x2 is None else _of_blocks(x2, columns), trace_outputs
        )[: len(x1), : len(x1 if x2 is None else x2)]
    blocks: list[list[Any]] = [[None] * len(columns) for _ in rows]
    for i, some in enumerate(rows):
        for j, others in enumerate(columns):
            if x2 is None and j > i:
                continue
            second = x1[others] if x2 is None else x2[others]
            pair = None if x2 is None and i == j else second
            blocks[i][j] = _structured_ntk(model, params, x1[some], pair, trace_outputs)
            if x2 is None and j < i:
                blocks[j][i] = _mirrored(blocks[i][j])
    return jnp.concatenate([jnp.concatenate(row, axis=1) for row in blocks], axis=0)


def blocks_of(
    model: nn.Module, params: Params, x1: Any, x2: Any = None, memory_bytes: int | None = None
) -> tuple[list[slice], list[slice]]:
    """The examples of x1 and of x2 (None: x1) that are worked on together; of arrays or of their shapes."""
    most = max(1, int((memory_bytes or working_bytes()) // (2 * _bytes_per_example(model, params, x1))))
    return slices(x1.shape[0], most), slices((x1 if x2 is None else x2).shape[0], most)


def _bytes_per_example(model: nn.Module, params: Params, x: Any) -> int:
    """Taps and, for convolutions in the form "gradients", k gradients of one example."""
    leaves, structure = jax.tree.flatten(params)
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    return _bytes_of_shapes(model, structure, (*shapes, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)))


@lru_cache(maxsize=256)
def _bytes_of_shapes(model: nn.Module, structure: Any, shapes: tuple[jax.ShapeDtypeStruct, ...]) -> int:
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


def _of_blocks(x: Array, blocks: list[slice]) -> Array:
    """(blocks, examples of a block, ...); the last is filled up with zeros."""
    size = blocks[0].stop
    padded = jnp.pad(x, ((0, size * len(blocks) - len(x)), *((0, 0),) * (x.ndim - 1)))
    return padded.reshape(len(blocks), size, *x.shape[1:])


def _looped_ntk(model: nn.Module, params: Params, first: Array, second: Array | None, trace_outputs: bool) -> Array:
    """The same blocks inside a caller's program, as loops over them: unrolled, its compilation would grow with their number.

    first, second (blocks, examples, ...); second = None is the first with itself, from the blocks on and below the
    diagonal.
    """
    n1, n2 = len(first), len(first if second is None else second)

    def block(pair: tuple[Array, Array]) -> Array:
        return _structured_ntk(
            model, params, first[pair[0]], (first if second is None else second)[pair[1]], trace_outputs
        )

    if second is None:
        i, j = np.tril_indices(n1, -1)
        below = jax.lax.map(block, (i, j))
        within = jax.lax.map(lambda x: _structured_ntk(model, params, x, None, trace_outputs), first)
        blocks = jnp.zeros((n1, n2, *below.shape[1:]), below.dtype)
        blocks = blocks.at[np.arange(n1), np.arange(n1)].set(within)
        blocks = blocks.at[i, j].set(below).at[j, i].set(jax.vmap(_mirrored)(below))
    else:
        i, j = np.indices((n1, n2)).reshape(2, -1)
        found = jax.lax.map(block, (i, j))
        blocks = found.reshape(n1, n2, *found.shape[1:])
    blocks = blocks.swapaxes(1, 2)
    return blocks.reshape(n1 * blocks.shape[1], n2 * blocks.shape[3], *blocks.shape[4:])


def _mirrored(kernel: Array) -> Array:
    """Theta[i, j, a, b] = Theta[j, i, b, a]."""
    return kernel.swapaxes(0, 1) if kernel.ndim == 2 else kernel.transpose(1, 0, 3, 2)


@partial(jax.jit, static_argnames=("model", "trace_outputs"))
def _structured_ntk(model: nn.Module, params: Params, x1: Array, x2: Array | None, trace_outputs: bool) -> Array:
    sizes = (len(x1), len(x1 if x2 is None else x2))

    def layers(x: Array) -> list[Layer]:
        return [prepared(*tapped, sizes, trace_outputs=trace_outputs) for tapped in tapped_layers(model, params, x)]

    first = layers(x1)
    if x2 is not None:
        return _block(first, layers(x2), trace_outputs)
    n = x1.shape[0]
    strip = -(-n // max(1, min(_MAX_STRIPS, n // _STRIP)))
    columns = []
    for start in range(0, n, strip):
        below, within = (jax.tree.map(partial(_examples, start=start, stop=stop), first) for stop in (n, start + strip))
        strip_columns = _block(below, within, trace_outputs)
        columns.append(jnp.pad(strip_columns, ((start, 0), *((0, 0),) * (strip_columns.ndim - 1))))
    lower = jnp.concatenate(columns, axis=1)
    # Everything strictly below the diagonal is mirrored, strips included.  A sum: XLA compiles a choice between a matrix
    # and its transpose for n^2 10^-4 seconds.
    below = jnp.tri(n, k=-1, dtype=bool).reshape(n, n, *(1,) * (lower.ndim - 2))
    at_diagonal = jnp.eye(n, dtype=bool).reshape(below.shape)
    strict = jnp.where(below, lower, 0)
    return jnp.where(at_diagonal, lower, strict + _mirrored(strict))


def _examples(array: Array, start: int, stop: int) -> Array:
    return array[start:stop] if array.ndim else array  # the coefficients of a layer are scalars
