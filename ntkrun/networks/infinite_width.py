"""K and Theta of a composed network as all of its widths go to infinity, tile by tile.

Two passes.  Every input's covariance with itself gives the variances in front of the nonlinearities (`statistics.Own`); then
tiles of pairs of inputs are propagated layer by layer (`statistics.Between`), each layer a compiled program of its own, so
that a tile holds its input, its result and what a layer needs in between.  Networks without an average over positions keep
only equal positions of the two inputs.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.devices.float64 import in_float64
from ntkrun.devices.placement import beyond_a_cpu
from ntkrun.errors import UserError
from ntkrun.kernels.analytic import TILE_BYTES, Kernels
from ntkrun.kernels.dual import DualActivation
from ntkrun.kernels.dual_closed_forms import dual_activation
from ntkrun.kernels.finite import check_inputs, check_kernels
from ntkrun.networks.base import Layer
from ntkrun.networks.containers import Sequential, not_a_layer
from ntkrun.networks.covariances import Covariances, Needs, Signal
from ntkrun.networks.elementwise import Activation, LayerNorm
from ntkrun.networks.positions import Flatten
from ntkrun.networks.statistics import Between, Own, Site
from ntkrun.types import AnyArray, Array, NumpyArray, check_arrays, check_number

# K and Theta in front of a layer, with a border, summed along one axis, behind it; those of a shortcut; T and Tdot.  Tiles of
# half the size and of twice the size take a third longer on two cores
ARRAYS_PER_TILE = 14
_VECTORS_TOGETHER = 8  # sides of tiles of vectors are multiples of it: fewer shapes to compile
_TILES_ALONG = 8  # a symmetric kernel computes half of its tiles and all of those on the diagonal, an eighth more
_NUMBERS_OF_A_TILE = 2**16  # fewer cost more by their programs' starts


@in_float64()
def infinite_width_kernels(
    network: Layer, x1: AnyArray, x2: AnyArray | None = None, *, tile_bytes: int = TILE_BYTES, dtype: Any = np.float64
) -> Kernels:
    """(K, Theta) of the outputs of `network`, each (n1, n2), in the limit of infinite width.

    x1 (n1, ..., channels), x2 likewise; x2 = None: x1 with itself, of which one triangle is computed.  K is the covariance
    of an output at initialization, Theta = J J^T, the same for every output.  Layers in the standard parameterization count
    with the fan-in they have: divided by n it is what `ntk_scale` makes of `empirical_ntk`, (S42).

    tile_bytes: of a CPU, what a tile works in beside inputs and result, but at least what one pair of inputs takes; an
    accelerator takes as many times more as it has.  NumPy arrays of `dtype` in whatever precision the caller's JAX computes.

    Raises UserError for inputs that the layers cannot take or with nan or inf, and networks that have no such kernel.
    """
    check_arrays(x1=x1, x2=x1 if x2 is None else x2)
    check_number("tile_bytes", tile_bytes, above=0)
    plan = Plan.of(network, np.shape(x1), None if x2 is None else np.shape(x2))
    inputs = [np.asarray(x, dtype).reshape(len(x), *plan.shape) for x in ((x1,) if x2 is None else (x1, x2))]
    for x in inputs:
        check_inputs(x)
    sides = plan.sides(beyond_a_cpu(tile_bytes), np.dtype(dtype).itemsize)
    blocks = [list(_blocks(x, side)) for x, side in zip(inputs, sides, strict=False)]
    variances = [[plan.variances(block) for block in part] for part in blocks]
    duals = plan.duals([found for part in variances for found in part])
    out = Kernels(*(np.zeros((len(inputs[0]), len(inputs[-1])), dtype) for _ in range(2)))
    for i, j in plan.tiles(len(blocks[0]), len(blocks[-1])):
        is_diagonal = x2 is None and i == j
        of = Between(is_diagonal, variances[0][i], variances[-1][j], duals)
        _store(out, sides, x2 is None, i, j, plan.tile(blocks[0][i], blocks[-1][j], of))
    check_kernels(*out)
    return out


class Plan:
    """How a network's kernels are computed for inputs of one shape."""

    def __init__(self, network: Layer, shape: tuple[int, ...], rows: int, columns: int, symmetric: bool) -> None:
        *positions, features = shape
        self.network, self.shape, self.symmetric = network, shape, symmetric
        self.rows, self.columns = rows, columns
        self.signal = Signal(tuple(positions), features)
        self.needs = network.needs(Needs.EQUAL, own=False)
        self.own_needs = network.needs(Needs.NOTHING, own=True)

    @classmethod
    def of(cls, network: Layer, first: tuple[int, ...], second: tuple[int, ...] | None) -> "Plan":
        """Raises UserError for a network or inputs that have no kernel."""
        if not isinstance(network, Layer):
            raise UserError(f"the network is {not_a_layer(network)}")
        if len(first) < 2 or (second is not None and first[1:] != second[1:]):
            raise UserError(
                f"inputs are (n, ..., features) of one shape, not {first}" + (f" and {second}" if second else "")
            )
        if not math.prod(first[1:]):
            raise UserError(f"inputs of shape {first} hold no numbers: every example needs one feature at least")
        *positions, features = first[1:]
        out = network.signal(Signal(tuple(positions), features))
        if out.positions:
            last = network.layers[-1] if isinstance(network, Sequential) else network
            raise UserError(
                f"the network's outputs, of its last layer {type(last).__name__}, have positions {out.positions}: put "
                "GlobalAveragePool() or Flatten() in front of it and end it with Dense"
            )
        network, shape = _flattened(network, first[1:])
        return cls(network, shape, first[0], first[0] if second is None else second[0], second is None)

    @property
    def entries(self) -> int:
        """Numbers of K for one pair of inputs, where it is largest."""
        count = math.prod(self.signal.positions)
        return count * count if self.needs == Needs.ALL else count

    def sides(self, tile_bytes: int, itemsize: int) -> tuple[int, int]:
        """Inputs of a tile's rows, and of its columns: within the memory, and no more than symmetry can make use of."""
        most = max(1, int((tile_bytes / (ARRAYS_PER_TILE * itemsize * self.entries)) ** 0.5))
        longest = max(self.rows, self.columns)
        fewest = max(1, int((_NUMBERS_OF_A_TILE / self.entries) ** 0.5))
        side = min(most, max(fewest, -(-longest // _TILES_ALONG)))
        if not self.signal.positions:
            side = -(-side // _VECTORS_TOGETHER) * _VECTORS_TOGETHER
            rows, columns = (-(-n // _VECTORS_TOGETHER) * _VECTORS_TOGETHER for n in (self.rows, self.columns))
            return min(side, max(rows, 1)), min(side, max(columns, 1))
        rows, columns = (-(-n // max(1, -(-n // side))) for n in (self.rows, self.columns))  # as even as may be
        return max(rows, 1), max(columns, 1)

    def tiles(self, rows: int, columns: int) -> list[tuple[int, int]]:
        """Of all blocks of rows and columns, or those on and below the diagonal."""
        return [(i, j) for i in range(rows) for j in range(i + 1 if self.symmetric else columns)]

    def variances(self, x: Array) -> dict[Site, NumpyArray]:
        """In front of each layer that asks, (n, positions)."""
        found: dict[Site, NumpyArray] = {}
        if self.own_needs:
            k = _gram_of_own(x, all_positions=self.own_needs == Needs.ALL)
            own = Covariances(self.signal, k, None, self.own_needs == Needs.ALL)
            self.network.propagate(own, Own(True, found), Needs.NOTHING)
        return found

    def duals(self, variances: list[dict[Site, NumpyArray]]) -> dict[Site, DualActivation]:
        """Of every nonlinearity, for all inputs at once."""
        found: dict[Site, DualActivation] = {}
        for site, layer, _ in sites(self.network, self.signal):
            p = [block[site].reshape(-1) for block in variances if site in block]
            if p:
                check_kernels(np.concatenate(p)[None])
            if p and isinstance(layer, Activation):
                found[site] = dual_activation(layer.activation).for_variances(np.concatenate(p))
        return found

    def tile_arguments(self, sides: tuple[int, int]) -> tuple[Any, ...]:
        """Shapes of what the function of `usual_tile` takes, for tiles of so many rows and columns."""
        x1, x2 = (jax.ShapeDtypeStruct((side, *self.shape), np.float64) for side in sides)
        found = [(site, math.prod(given.positions)) for site, _, given in sites(self.network, self.signal)]
        rows, columns = ({site: jax.ShapeDtypeStruct((n, count), np.float64) for site, count in found} for n in sides)
        return x1, x2, rows, columns

    def usual_tile(self) -> Callable[..., tuple[Array, Array]]:
        """`tile` of `tile_arguments`, for duals at variance 1, which is typical: what a tile costs.

        Duals choose their size by numbers, which a trace of the tile has not: they are found here, before it.
        """
        duals = self.duals([{site: np.ones(1) for site, *_ in sites(self.network, self.signal)}])

        def tile(x1: Array, x2: Array, rows: dict[Site, Any], columns: dict[Site, Any]) -> tuple[Array, Array]:
            return self.tile(x1, x2, Between(False, rows, columns, duals))

        return tile

    def tile(self, x1: Array, x2: Array, of: Between) -> tuple[Array, Array]:
        """K and Theta of these inputs, (n1, n2)."""
        all_positions = self.needs == Needs.ALL
        first = Covariances(self.signal, _gram(x1, x2, all_positions=all_positions), None, all_positions)
        found = self.network.propagate(first, of, Needs.EQUAL)
        assert found is not None  # something is needed of the outputs
        return found.nngp, jnp.zeros_like(found.nngp) if found.ntk is None else found.ntk


def _flattened(network: Layer, shape: tuple[int, ...]) -> tuple[Layer, tuple[int, ...]]:
    """A network that begins with Flatten, on vectors: one product instead of one for each position."""
    if isinstance(network, Sequential) and network.layers and isinstance(network.layers[0], Flatten):
        return Sequential(Sequential(), *network.layers[1:]), (math.prod(shape),)  # others keep their places
    return network, shape


def sites(network: Layer, given: Signal, site: Site = ()) -> Iterator[tuple[Site, Layer, Signal]]:
    """The layers that ask for variances, and what they are given."""
    if isinstance(network, Activation | LayerNorm):
        yield site, network, given
    for place, (part, signal) in enumerate(zip(network.parts, network.given_to_parts(given), strict=True)):
        yield from sites(part, signal, (*site, place))


def _blocks(x: NumpyArray, side: int) -> Iterator[Array]:
    """Blocks of `side` inputs, the last filled up with its first: one shape for all tiles means one compilation."""
    for start in range(0, len(x), side):
        block = x[start : start + side]
        yield jnp.asarray(np.concatenate([block, np.repeat(block[:1], side - len(block), axis=0)]))


@jax.jit
def _gram_of_own_equal(x: Array) -> Array:
    k = jnp.einsum("ipc,ipc->pi", *[x.reshape(len(x), -1, x.shape[-1])] * 2) / x.shape[-1]
    return k.reshape(*x.shape[1:-1], len(x), 1)


@jax.jit
def _gram_of_own_all(x: Array) -> Array:
    flat = x.reshape(len(x), -1, x.shape[-1])
    k = jnp.einsum("ipc,iqc->ipq", flat, flat, precision="highest") / x.shape[-1]
    return k.reshape(*x.shape[:-1], 1, *x.shape[1:-1])


def _gram_of_own(x: Array, all_positions: bool) -> Array:
    """x(s).x(s')/c of every input with itself."""
    return _gram_of_own_all(x) if all_positions else _gram_of_own_equal(x)


def _gram(x1: Array, x2: Array, all_positions: bool) -> Array:
    return (_gram_all if all_positions else _gram_equal)(x1, x2)


@jax.jit
def _gram_equal(x1: Array, x2: Array) -> Array:
    """x1(s).x2(s)/c, (*positions, n1, n2)."""
    flat1, flat2 = (x.reshape(len(x), -1, x.shape[-1]) for x in (x1, x2))
    k = jnp.einsum("ipc,jpc->pij", flat1, flat2, precision="highest") / x1.shape[-1]
    return k.reshape(*x1.shape[1:-1], len(x1), len(x2))


@jax.jit
def _gram_all(x1: Array, x2: Array) -> Array:
    """x1(s).x2(s')/c, (n1, *positions, n2, *positions)."""
    flat1, flat2 = (x.reshape(-1, x.shape[-1]) for x in (x1, x2))
    k = jnp.matmul(flat1, flat2.T, precision="highest") / x1.shape[-1]
    return k.reshape(*x1.shape[:-1], *x2.shape[:-1])


def _store(out: Kernels, sides: tuple[int, int], symmetric: bool, i: int, j: int, tiles: tuple[Array, Array]) -> None:
    for matrix, computed in zip(out, tiles, strict=True):
        rows, columns = (slice(place * side, (place + 1) * side) for place, side in zip((i, j), sides, strict=True))
        target = matrix[rows, columns]
        tile = np.asarray(computed)[: target.shape[0], : target.shape[1]]
        if symmetric and i == j:
            target[:] = np.tril(tile) + np.tril(tile, -1).T  # symmetric up to rounding only
            continue
        target[:] = tile
        if symmetric:
            matrix[columns, rows] = tile.T
