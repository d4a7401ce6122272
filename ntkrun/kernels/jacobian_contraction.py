"""Theta_hat = J J^T of any network, from gradients of single outputs.

`jacobian_ntk` takes f(X; theta) as one function of the whole batch X, right for every network: a column Theta_hat[:, j, :, b]
at a time, by a backward pass over x2 and a forward one over x1, without J.

`examples_ntk` is for networks whose output for one example does not depend on others: the gradients of each example by
themselves, k P numbers for P parameters, then one product of them, in blocks of examples.
"""

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.costs import Piece
from ntkrun.kernels.blocks import WHOLE, ByLayer, blocks_within
from ntkrun.kernels.contraction import gram
from ntkrun.kernels.dependence import moved
from ntkrun.kernels.leaves import moving, put, those
from ntkrun.kernels.taps import outputs_of
from ntkrun.models.functions import Model
from ntkrun.types import Array, Float, Params

_COLUMNS_PER_BLOCK = 8  # gradients held at once


def groups(params: Params, by_layer: bool) -> dict[str, list[int]]:
    """Places of the parameters of every layer, or of all of them under `WHOLE`."""
    layers = moving(params)
    return layers if by_layer else {WHOLE: [place for places in layers.values() for place in places]}


@partial(jax.jit, static_argnames=("model", "trace_outputs"))
def jacobian_ntk(model: Model, params: Params, x1: Array, x2: Array, trace_outputs: bool) -> Float[Array, "n1 n2 *kk"]:
    """Theta_hat of f(X; theta) as one function of each batch."""
    return _batch_ntk(model, params, x1, x2, groups(params, by_layer=False)[WHOLE], trace_outputs)


@partial(jax.jit, static_argnums=(0, 2, 3))
def batches_ntk(
    model: Model, params: Params, trace_outputs: bool, by_layer: bool, x1: Array, x2: Array | None
) -> ByLayer:
    """The same by layer: as many passes again for each of them."""
    second = x1 if x2 is None else x2
    return {
        layer: _batch_ntk(model, params, x1, second, places, trace_outputs)
        for layer, places in groups(params, by_layer).items()
    }


def _batch_ntk(
    model: Model, params: Params, x1: Array, x2: Array, places: list[int], trace_outputs: bool
) -> Float[Array, "n1 n2 *kk"]:
    def outputs(theta: list[Array], x: Array) -> Array:
        return outputs_of(model, put(params, places, theta), x)

    theta = those(params, places)
    output, vjp = jax.vjp(partial(outputs, x=x2), theta)
    _, jvp = jax.linearize(partial(outputs, x=x1), theta)
    n2, k = output.shape

    def column(index: Array) -> Array:
        cotangent = jax.nn.one_hot(index, n2 * k, dtype=output.dtype).reshape(n2, k)
        theta_column = jvp(*vjp(cotangent))
        return theta_column[:, index % k] if trace_outputs else theta_column

    columns = jax.lax.map(column, jnp.arange(n2 * k), batch_size=_COLUMNS_PER_BLOCK)
    if trace_outputs:
        return columns.reshape(n2, k, -1).mean(axis=1).T
    return columns.reshape(n2, k, -1, k).transpose(2, 0, 3, 1)


@partial(jax.jit, static_argnums=(0, 2, 3))
def examples_ntk(
    model: Model, params: Params, trace_outputs: bool, by_layer: bool, x1: Array, x2: Array | None
) -> ByLayer:
    """Theta_hat of f(x_i; theta), every example by itself; x2 = None is x1 with itself."""
    places_of = groups(params, by_layer)
    places = [place for found in places_of.values() for place in found]
    first = dict(zip(places, example_gradients(model, params, x1, places), strict=True))
    second = first if x2 is None else dict(zip(places, example_gradients(model, params, x2, places), strict=True))
    return {
        layer: _product([first[place] for place in found], [second[place] for place in found], trace_outputs)
        for layer, found in places_of.items()
    }


def example_gradients(model: Model, params: Params, x: Array, places: list[int]) -> list[Float[Array, "n k p"]]:
    """df_a(x_i)/dtheta, a leaf at a time: one forward pass and k backward passes for every example.

    A leaf that no output depends on has p = 0: products of its gradients are zeros.
    """

    def gradients(example: Array) -> list[Array]:
        def outputs(theta: list[Array]) -> Array:
            return outputs_of(model, put(params, places, theta), example[None])[0]

        f, vjp = jax.vjp(outputs, those(params, places))
        (leaves,) = jax.vmap(vjp)(jnp.eye(f.size, dtype=f.dtype))
        return [
            leaf.reshape(f.size, -1)[:, : None if moves else 0]
            for leaf, moves in zip(leaves, moved(vjp, f), strict=True)
        ]

    return jax.vmap(gradients)(x)


def _product(first: list[Array], second: list[Array], trace_outputs: bool) -> Array:
    (n1, k, _), n2 = first[0].shape, second[0].shape[0]
    rows = (lambda g: (g.shape[0], -1)) if trace_outputs else (lambda g: (g.shape[0] * k, -1))
    total: Any = 0.0
    for one, other in zip(first, second, strict=True):
        total += gram(one.reshape(rows(one)), other.reshape(rows(other)))
    return total / k if trace_outputs else total.reshape(n1, k, n2, k).transpose(0, 2, 1, 3)


def example_blocks(
    model: Model, params: Params, x1: Any, x2: Any = None, memory_bytes: int | None = None
) -> tuple[list[slice], list[slice]]:
    """The examples of x1 and of x2 (None: x1) that `examples_ntk` works on together; of arrays or of their shapes."""
    return blocks_within(_bytes_per_example(model, params, x1), x1, x2, memory_bytes)


def _bytes_per_example(model: Model, params: Params, x: Any) -> int:
    """What is held at once for the gradients of one example, those included."""
    leaves, structure = jax.tree.flatten(params)
    shapes = [jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]
    return _bytes_of_shapes(model, structure, (*shapes, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)))


@lru_cache(maxsize=256)
def _bytes_of_shapes(model: Model, structure: Any, shapes: tuple[jax.ShapeDtypeStruct, ...]) -> int:
    *leaves, x = shapes
    params = jax.tree.unflatten(structure, leaves)
    places = groups(params, by_layer=False)[WHOLE]
    piece = Piece("gradients", lambda theta, x: example_gradients(model, theta, x, places), (params, x))
    return max(1, piece.peak_bytes - sum(leaf.size * leaf.dtype.itemsize for leaf in leaves))
