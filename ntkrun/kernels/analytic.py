"""Kernels of infinitely wide fully connected networks: the recursion (S24)-(S29), tile by tile.

    K^1 = sigma_w2 x.x'/n_0 + sigma_b2,          Theta^1 = K^1,
    K^{l+1} = sigma_w2 T(K^l) + sigma_b2,        Theta^{l+1} = K^{l+1} + sigma_w2 Theta^l Tdot(K^l).

Standard parameterization (S42).  Theta is a sum over layers of (dh/dweight)^2 terms and of (dh/dbias)^2
terms.  Replacing omega by W = sqrt(sigma_w2/n_{l-1}) omega multiplies the weight term of layer l by
n_{l-1}/sigma_w2, and b = sqrt(sigma_b2) beta its bias term by 1/sigma_b2.  After division by the hidden width n:
    input weights n_0/(n sigma_w2)      hidden and readout weights 1/sigma_w2      biases 1/(n sigma_b2)
so that  Theta^1 = x.x'/n + 1/n,  Theta^{l+1} = T(K^l) + 1/n + sigma_w2 Theta^l Tdot(K^l)  (no 1/n without biases), and
as n -> inf input weights and biases drop out.  K is the same in both parameterizations.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.devices.float64 import in_float64
from ntkrun.devices.placement import beyond_a_cpu, on_the_host
from ntkrun.errors import UserError
from ntkrun.kernels.dual import DualActivation, Rows
from ntkrun.kernels.dual_closed_forms import dual_activation
from ntkrun.models.numbers import check_numbers
from ntkrun.nonlinearities import Activation
from ntkrun.types import Array, Float, NumpyArray

AnyArray = Array | NumpyArray

# Working memory of one tile, about four arrays of its size.  8 MB: 512 x 512 in float64, fastest of 256 .. 3000 (L3
# cache).
TILE_BYTES = 2**23
_ARRAYS_PER_TILE = 4
_TILE_MULTIPLE = 64


class Kernels(NamedTuple):
    """K^{L+1} and Theta^{L+1} between the same two sets of inputs, each (n1, n2)."""

    nngp: Float[AnyArray, "n1 n2"]
    ntk: Float[AnyArray, "n1 n2"]


class Coefficients(NamedTuple):
    """Theta^1 = input_weight x.x' + bias, Theta^{l+1} = weight T + bias + sigma_w2 Theta^l Tdot; 0-d, of one dtype."""

    sigma_w2: Array
    sigma_b2: Array
    input_weight: Array
    weight: Array
    bias: Array


@in_float64()
def analytic_kernels(
    x1: Float[AnyArray, "n1 ..."],
    x2: Float[AnyArray, "n2 ..."] | None = None,
    *,
    depth: int,
    activation: str | Activation,
    sigma_w2: float,
    sigma_b2: float,
    parameterization: str = "ntk",
    width: int | None = None,
    trained: str = "all",
    tile_bytes: int = TILE_BYTES,
    dtype: Any = np.float64,
) -> Kernels:
    """(K^{L+1}, Theta^{L+1}) of the readout, for L = depth hidden layers; (S24)-(S29), (S42).

    x1 (n1, ...), x2 (n2, ...), flattened to (n, n_0); x2 = None is x1 with itself, computed as one triangle of
    tiles.  Returns arrays (n1, n2) of `dtype`, in whatever precision the caller's JAX computes; NumPy arrays, because
    they are filled tile by tile: beside the result only `tile_bytes` (of a CPU; an accelerator takes as many times more
    as it has) and a few numbers per input are held (10,000 images: 1.6 GB).  Without sigma_b2 there are no biases.

    parameterization "ntk": Theta as above, `width` is not used.  "standard": the limit of J J^T / n, with the terms of
    order 1/n if `width` = n is given (see the module).

    trained "readout": Theta of the last layer alone, the layers below it frozen; K stays what it is.

    ReLU and erf are exact to rounding, every other activation to a relative 1e-9 if it is smooth (`kernels.dual_hermite`).
    Known equal: the authors' library (tests/golden).  Raises `UserError` for numbers that no network has
    (`models.numbers`), inputs of unequal dimension, unknown activation or parameterization.
    """
    if trained not in ("all", "readout"):
        raise UserError(f"unknown choice of trained layers {trained!r}: choose all or readout")
    check_numbers(depth=depth, width=width, sigma_w2=sigma_w2, sigma_b2=sigma_b2)
    with on_the_host():  # what is one number an input
        dual = dual_activation(activation)
        first = _flat(x1, dtype)
        second = first if x2 is None else _flat(x2, dtype)
        if first.shape[1] != second.shape[1]:
            raise UserError(f"inputs of {first.shape[1]} and of {second.shape[1]} dimensions have no kernel")
        c = _coefficients(first.shape[1], sigma_w2, sigma_b2, parameterization, width, np.dtype(dtype))
        variances = [_variances(x, c, dual, depth) for x in ((first,) if x2 is None else (first, second))]
        dual = dual.for_variances(np.concatenate([np.asarray(p, np.float64) for p in variances], axis=None))
        side = _tile_side(beyond_a_cpu(tile_bytes), np.dtype(dtype).itemsize, max(len(first), len(second)))
        blocks = [_blocks(x, dual, p, side) for x, p in zip((first, second), variances, strict=False)]
    kernels = _assemble(blocks, (len(first), len(second)), c, dual)
    return _of_the_readout(kernels, c) if trained == "readout" else kernels


def _of_the_readout(kernels: Kernels, c: Coefficients) -> Kernels:
    """All layers below the readout frozen: Theta^L = 0 leaves Theta^{L+1} = weight T + bias, T = (K - sigma_b2)/sigma_w2.

    That is K itself in the NTK parameterization, (S20).
    """
    t = (kernels.nngp - np.asarray(c.sigma_b2)) / np.asarray(c.sigma_w2)
    return Kernels(kernels.nngp, np.asarray(c.weight) * t + np.asarray(c.bias))


def _flat(x: AnyArray, dtype: Any) -> Array:
    x = jnp.asarray(x, dtype)
    return x.reshape(x.shape[0], -1)


def _coefficients(
    n0: int, sigma_w2: float, sigma_b2: float, parameterization: str, width: int | None, dtype: Any
) -> Coefficients:
    """The weights of the terms of Theta; derived in the module's docstring."""
    inverse_width = 1 / width if width else 0.0
    if parameterization == "ntk":
        numbers = (sigma_w2 / n0, sigma_w2, sigma_b2)
    elif parameterization == "standard":
        numbers = (inverse_width, 1.0, inverse_width if sigma_b2 > 0 else 0.0)
    else:
        raise UserError(f"unknown parameterization {parameterization!r}: choose ntk or standard")
    return Coefficients(*(np.asarray(number, dtype) for number in (sigma_w2, sigma_b2, *numbers)))  # type: ignore


def _variances(x: Float[Array, "n d"], c: Coefficients, dual: DualActivation, depth: int) -> Float[Array, "depth n"]:
    """K^l(x, x) for l = 1 .. L, by the recursion on the diagonal alone."""
    p = [c.sigma_w2 / x.shape[1] * jnp.einsum("nd,nd->n", x, x, precision="highest") + c.sigma_b2]
    for _ in range(depth - 1):
        p.append(c.sigma_w2 * dual.second_moment(p[-1]) + c.sigma_b2)
    return jnp.stack(p)


def _tile_side(tile_bytes: int, itemsize: int, longest: int) -> int:
    """Side of a square tile: within the memory, a multiple of 64, and no larger than the problem."""
    side = int((tile_bytes / (_ARRAYS_PER_TILE * itemsize)) ** 0.5)
    return max(min(side, longest + _TILE_MULTIPLE - 1) // _TILE_MULTIPLE, 1) * _TILE_MULTIPLE


def _blocks(
    x: Float[Array, "n d"], dual: DualActivation, p: Float[Array, "depth n"], side: int
) -> list[tuple[Array, Rows]]:
    """Blocks of `side` inputs, the last filled up with zeros, each with the per-input terms of the dual, layers first.

    One shape for all tiles means one compilation.
    """
    padding = -x.shape[0] % side
    x = jnp.pad(x, ((0, padding), (0, 0)))
    rows = jax.vmap(dual.rows)(jnp.pad(p, ((0, 0), (0, padding))))
    starts = range(0, x.shape[0], side)
    return [(x[i : i + side], jax.tree.map(lambda row, i=i: row[..., i : i + side], rows)) for i in starts]


@partial(jax.jit, static_argnames=("dual",))
def _tile(x1: Array, rows1: Rows, x2: Array, rows2: Rows, c: Coefficients, dual: DualActivation) -> tuple[Array, Array]:
    """The recursion as a scan: unrolled, XLA computes a layer again for every use that the next one makes of it."""

    def layer(kernels: tuple[Array, Array], rows: tuple[Rows, Rows]) -> tuple[tuple[Array, Array], None]:
        nngp, ntk = kernels
        t, tdot = dual.pair(*rows, nngp)
        return (c.sigma_w2 * t + c.sigma_b2, c.weight * t + c.bias + c.sigma_w2 * ntk * tdot), None

    gram = jnp.matmul(x1, x2.T, precision="highest")
    first = (c.sigma_w2 / x1.shape[1] * gram + c.sigma_b2, c.input_weight * gram + c.bias)
    return jax.lax.scan(layer, first, (rows1, rows2))[0]


def _assemble(
    blocks: list[list[tuple[Array, Rows]]], shape: tuple[int, int], c: Coefficients, dual: DualActivation
) -> Kernels:
    """All tiles, or those on and below the diagonal and their mirror images."""
    symmetric = len(blocks) == 1
    side = blocks[0][0][0].shape[0]
    out = Kernels(*(np.empty(shape, c.sigma_w2.dtype) for _ in range(2)))
    pairs = [(i, j) for i in range(len(blocks[0])) for j in range(i + 1 if symmetric else len(blocks[-1]))]
    pending: list[tuple[int, int, tuple[Array, Array]]] = []
    for i, j in pairs:
        # One tile is computed while the one before it is copied out.
        pending.append((i, j, _tile(*blocks[0][i], *blocks[-1][j], c, dual)))
        if len(pending) > 1:
            _store(out, side, symmetric, *pending.pop(0))
    _store(out, side, symmetric, *pending.pop())
    return out


def _store(out: Kernels, side: int, symmetric: bool, i: int, j: int, tiles: tuple[Array, Array]) -> None:
    for matrix, computed in zip(out, tiles, strict=True):
        target = matrix[i * side : (i + 1) * side, j * side : (j + 1) * side]
        tile = np.asarray(computed)[: target.shape[0], : target.shape[1]]
        if symmetric and i == j:
            target[:] = np.tril(tile) + np.tril(tile, -1).T  # the product x x^T is symmetric up to rounding only
            continue
        target[:] = tile
        if symmetric:
            matrix[j * side : (j + 1) * side, i * side : (i + 1) * side] = tile.T
