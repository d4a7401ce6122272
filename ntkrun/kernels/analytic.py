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

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ntkrun.devices.float64 import in_float64, require_float64
from ntkrun.devices.placement import beyond_a_cpu, on_the_host
from ntkrun.errors import UserError
from ntkrun.kernels.dual import DualActivation, Rows
from ntkrun.kernels.dual_closed_forms import dual_activation
from ntkrun.kernels.finite import check_inputs, check_kernels, check_variances
from ntkrun.models.numbers import check_numbers
from ntkrun.nonlinearities import Activation
from ntkrun.types import Array, Float, NumpyArray, check_arrays, check_number

AnyArray = Array | NumpyArray
Scalar = float | Array  # a number, or what JAX differentiates by

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


def analytic_kernels(
    x1: Float[AnyArray, "n1 ..."],
    x2: Float[AnyArray, "n2 ..."] | None = None,
    *,
    depth: int,
    activation: str | Activation,
    sigma_w2: Scalar,
    sigma_b2: Scalar,
    parameterization: str = "ntk",
    width: int | None = None,
    trained: str = "all",
    tile_bytes: int = TILE_BYTES,
    dtype: Any = np.float64,
    largest_variance: float | None = None,
) -> Kernels:
    """(K^{L+1}, Theta^{L+1}) of the readout, for L = depth hidden layers; (S24)-(S29), (S42).

    x1 (n1, ...), x2 (n2, ...), flattened to (n, n_0); x2 = None is x1 with itself, computed as one triangle of
    tiles.  Returns arrays (n1, n2) of `dtype`, in whatever precision the caller's JAX computes; NumPy arrays, because
    they are filled tile by tile: beside the result only `tile_bytes` (of a CPU; an accelerator takes as many times more
    as it has) and a few numbers per input are held (10,000 images: 1.6 GB).  Without sigma_b2 there are no biases;
    without examples, n1 = 0 or n2 = 0, the kernels are empty.

    Under jax.grad, jax.jvp, jax.jit or jax.vmap of x1, x2, sigma_w2 or sigma_b2: JAX arrays, each computed as one tile.
    An activation without a closed form then needs `largest_variance`, a bound for all K^l(x, x), l <= L, whose values are
    not known while JAX traces; inputs beyond it get nan.  `kernels.dual` says what derivatives are at equal inputs.

    parameterization "ntk": Theta as above, `width` is not used.  "standard": the limit of J J^T / n, with the terms of
    order 1/n if `width` = n is given (see the module).

    trained "readout": Theta of the last layer alone, the layers below it frozen; K stays what it is.

    Closed forms are exact to rounding, every other activation to a relative 1e-9 (`kernels.dual_closed_forms`).  `sign` and
    `step` have an infinite Theta at equal inputs unless only the readout is trained.  Known equal: the authors' library
    (tests/golden).  Raises `UserError` for numbers that no network has (`models.numbers`), inputs of unequal dimension or
    with nan or inf, kernels beyond the range of float64, and an unknown activation or parameterization.
    """
    if trained not in ("all", "readout"):
        raise UserError(f"unknown choice of trained layers {trained!r}: choose all or readout")
    check_numbers(depth=depth, width=width, sigma_w2=sigma_w2, sigma_b2=sigma_b2)
    check_number("tile_bytes", tile_bytes, above=0)
    dual = dual_activation(activation)
    how = _How(depth, parameterization, width, trained == "all", np.dtype(dtype))
    if any(isinstance(one, Tracer) for one in (x1, x2, sigma_w2, sigma_b2)):
        return _traced(x1, x2, dual, sigma_w2, sigma_b2, how, largest_variance)
    return _in_tiles(x1, x2, dual, sigma_w2, sigma_b2, how, tile_bytes)


class _How(NamedTuple):
    """The arguments of `analytic_kernels` beside its numbers; below: whether layers below the readout are trained."""

    depth: int
    parameterization: str
    width: int | None
    below: bool
    dtype: np.dtype


@in_float64()
def _in_tiles(
    x1: AnyArray,
    x2: AnyArray | None,
    dual: DualActivation,
    sigma_w2: Scalar,
    sigma_b2: Scalar,
    how: _How,
    tile_bytes: int,
) -> Kernels:
    """NumPy arrays, filled tile by tile."""
    with on_the_host():  # what is one number an input
        first, second = _both_flat(x1, x2, how.dtype)
        c = _coefficients(first.shape[1], sigma_w2, sigma_b2, how, partial(np.asarray, dtype=how.dtype))
        if not (len(first) and len(second)):
            return Kernels(*(np.empty((len(first), len(second)), how.dtype) for _ in range(2)))
        variances = [_variances(x, c, dual, how.depth) for x in ((first,) if x2 is None else (first, second))]
        check_variances(variances)
        dual = dual.for_variances(np.concatenate([np.asarray(p, np.float64) for p in variances], axis=None))
        side = _tile_side(beyond_a_cpu(tile_bytes), how.dtype.itemsize, max(len(first), len(second)))
        blocks = [_blocks(x, dual, p, side) for x, p in zip((first, second), variances, strict=False)]
    kernels = _assemble(blocks, (len(first), len(second)), c, dual, how.below)
    check_kernels(*kernels)
    return kernels if how.below else _of_the_readout(kernels, c)


def _traced(
    x1: AnyArray,
    x2: AnyArray | None,
    dual: DualActivation,
    sigma_w2: Scalar,
    sigma_b2: Scalar,
    how: _How,
    largest_variance: float | None,
) -> Kernels:
    """JAX arrays, as one tile: what jit, grad and vmap see."""
    if how.dtype == np.float64:
        require_float64("a kernel under jax.grad or jax.jit")
    if dual.needs_variances and largest_variance is None:
        raise UserError(
            "under jax.grad or jax.jit the variances are not known, from which the quadrature of this activation chooses its "
            "size: pass largest_variance=10.0, say, a bound for K^l(x, x) of all layers"
        )
    bound = np.inf if largest_variance is None else largest_variance
    if dual.needs_variances:
        with jax.ensure_compile_time_eval():
            dual = dual.for_variances(bound * np.geomspace(1e-3, 1, 16))
    first, second = _both_flat(x1, x2, how.dtype)
    c = _coefficients(first.shape[1], sigma_w2, sigma_b2, how, partial(jnp.asarray, dtype=how.dtype))
    p, q = (_variances(x, c, dual, how.depth) for x in (first, second))
    tile = _tile(first, jax.vmap(dual.rows)(p), second, jax.vmap(dual.rows)(q), c, dual, how.below)
    # the product x x^T is symmetric up to rounding only
    kernels = Kernels(*(jnp.tril(one) + jnp.tril(one, -1).T if x2 is None else one for one in tile))
    inside = jnp.all(p <= bound, axis=0)[:, None] & jnp.all(q <= bound, axis=0)[None, :]
    kernels = Kernels(*(one * jnp.where(inside, 1, jnp.nan) for one in kernels))  # a factor is nan in derivatives, too
    return kernels if how.below else _of_the_readout(kernels, c)


def _of_the_readout(kernels: Kernels, c: Coefficients) -> Kernels:
    """All layers below the readout frozen: Theta^L = 0 leaves Theta^{L+1} = weight T + bias, T = (K - sigma_b2)/sigma_w2.

    That is K itself in the NTK parameterization, (S20).
    """
    t = (kernels.nngp - c.sigma_b2) / c.sigma_w2
    return Kernels(kernels.nngp, c.weight * t + c.bias)


def _both_flat(x1: AnyArray, x2: AnyArray | None, dtype: np.dtype) -> tuple[Array, Array]:
    first = _flat(x1, dtype)
    second = first if x2 is None else _flat(x2, dtype)
    if first.shape[1] != second.shape[1]:
        raise UserError(f"inputs of {first.shape[1]} and of {second.shape[1]} dimensions have no kernel")
    return first, second


def _flat(x: AnyArray, dtype: Any) -> Array:
    check_arrays(x=x)
    x = jnp.asarray(x, dtype)
    if x.ndim < 2:
        raise UserError(f"inputs of shape {x.shape}: they must be (n, ...), an example a row; x[None] is one example")
    if not math.prod(x.shape[1:]):
        raise UserError(f"inputs of shape {x.shape} hold no numbers: x.x'/n_0 needs n_0 of them in every example")
    check_inputs(x)
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _coefficients(
    n0: int, sigma_w2: Scalar, sigma_b2: Scalar, how: _How, asarray: Callable[[Any], Any]
) -> Coefficients:
    """The weights of the terms of Theta; derived in the module's docstring."""
    inverse_width = 1 / how.width if how.width else 0.0
    if how.parameterization == "ntk":
        numbers = (sigma_w2 / n0, sigma_w2, sigma_b2)
    elif how.parameterization == "standard":
        numbers = (inverse_width, 1.0, inverse_width * (sigma_b2 > 0))  # no biases, no term
    elif how.parameterization == "mup":
        raise UserError(
            "parameterization 'mup' has no kernel at infinite width, which moves with training: choose ntk or standard"
        )
    else:
        raise UserError(f"unknown parameterization {how.parameterization!r}: choose ntk or standard")
    return Coefficients(*(asarray(number) for number in (sigma_w2, sigma_b2, *numbers)))


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


@partial(jax.jit, static_argnames=("dual", "below"))
def _tile(
    x1: Array, rows1: Rows, x2: Array, rows2: Rows, c: Coefficients, dual: DualActivation, below: bool
) -> tuple[Array, Array]:
    """The recursion as a scan: unrolled, XLA computes a layer again for every use that the next one makes of it.

    below  whether layers below the readout are trained; Theta is nobody's otherwise, and Tdot, which may be infinite, not used
    """

    def layer(kernels: tuple[Array, Array], rows: tuple[Rows, Rows]) -> tuple[tuple[Array, Array], None]:
        nngp, ntk = kernels
        t, tdot = dual.pair(*rows, nngp)
        ntk = c.weight * t + c.bias + c.sigma_w2 * ntk * tdot if below else ntk
        return (c.sigma_w2 * t + c.sigma_b2, ntk), None

    gram = jnp.matmul(x1, x2.T, precision="highest")
    first = (c.sigma_w2 / x1.shape[1] * gram + c.sigma_b2, c.input_weight * gram + c.bias)
    return jax.lax.scan(layer, first, (rows1, rows2))[0]


def _assemble(
    blocks: list[list[tuple[Array, Rows]]], shape: tuple[int, int], c: Coefficients, dual: DualActivation, below: bool
) -> Kernels:
    """All tiles, or those on and below the diagonal and their mirror images."""
    symmetric = len(blocks) == 1
    side = blocks[0][0][0].shape[0]
    out = Kernels(*(np.empty(shape, c.sigma_w2.dtype) for _ in range(2)))
    pairs = [(i, j) for i in range(len(blocks[0])) for j in range(i + 1 if symmetric else len(blocks[-1]))]
    pending: list[tuple[int, int, tuple[Array, Array]]] = []
    for i, j in pairs:
        # One tile is computed while the one before it is copied out.
        pending.append((i, j, _tile(*blocks[0][i], *blocks[-1][j], c, dual, below)))
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
