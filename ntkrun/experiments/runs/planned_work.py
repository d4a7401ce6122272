"""What cells will have to do, known before anything is computed: their programs on shapes in place of arrays.

The rivals are the run's own classes, built from shapes; `stage=plan` counts what their programs cost, and
scripts/compile_for.py compiles them.  What a figure has beside them stands next to its `run`, in a function `work`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp

from ntkrun.costs import Piece
from ntkrun.data.batches import Batch
from ntkrun.data.dataset import Dataset
from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.optimizers import Optimizer, record_steps
from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.experiments.runs import linearity
from ntkrun.experiments.runs.image_sizes import counts, input_shape, outputs
from ntkrun.experiments.runs.prepare import (
    CRITICAL_SAMPLE,
    choose_weights,
    load,
    model_from,
    step_by_step,
)
from ntkrun.experiments.runs.recursion import description_of
from ntkrun.experiments.runs.routes import Wanted, routes_of
from ntkrun.kernels.empirical import empirical_ntk, ntk_scale
from ntkrun.kernels.jacobian_contraction import example_blocks, examples_ntk
from ntkrun.kernels.method import Method, covered_by_taps
from ntkrun.kernels.structured import blocks_of
from ntkrun.kernels.taps import shapes_at_start
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.progress import Silent
from ntkrun.models.functions import Model
from ntkrun.models.start import check_user_module, planned
from ntkrun.networks.infinite_width import Plan
from ntkrun.settings.data import DataSettings
from ntkrun.settings.models import UserModuleSettings
from ntkrun.settings.runs import RunSettings
from ntkrun.types import Params


def shape(*sizes: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def sizes(data: DataSettings, loss: str) -> tuple[int, int, int]:
    """(n, m, k): training and test images, outputs."""
    return (*counts(data), outputs(data, loss))


def span(data: DataSettings, examples: int) -> int:
    """Dimensions of the span of so many inputs, the training set among them.

    Less their mean image, where `preprocess` subtracts it, training inputs add up to 0, whatever else scales them.
    """
    return min(examples - data.subtracts_mean_image, math.prod(input_shape(data)))


def parameter_shapes(model: Model, image: tuple[int, ...], dtype: Any) -> Params:
    """theta_0 without its numbers."""
    return shapes_at_start(model, image, dtype)["params"]


def network_shapes(settings: RunSettings, model: Model, image: tuple[int, ...], k: int) -> tuple[Model, Params, Method]:
    """The network with what it holds, theta_0 without its numbers, and by which contraction Theta_hat will be formed."""
    dtype = jnp.dtype(settings.model.dtype)
    if not isinstance(settings.model, UserModuleSettings):
        return model, parameter_shapes(model, image, dtype), "structured"
    two = shape(2, *image, dtype=dtype)
    check_user_module(model, two, k)
    model, theta0 = planned(model, two, dtype)
    return model, theta0, covered_by_taps(model, theta0, two)


def count(params: Params) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


@dataclass(frozen=True)
class Lockstep:
    """What `run_lockstep` will be given, with the rivals' arrays as shapes."""

    leaves: tuple[Any, ...]
    structure: Any
    steps: int
    records: int
    batch: Batch | None  # of one step; None: all examples

    @classmethod
    def of(
        cls, build: Callable[..., tuple], *arrays: Any, steps: int, records: int, batch: Batch | None = None
    ) -> "Lockstep":
        """build(*arrays) -> rivals is traced; its arrays cost nothing."""
        kept = []

        def leaves(*given: Any) -> tuple[Any, ...]:
            flat, structure = jax.tree.flatten(build(*given))
            kept.append(structure)
            return tuple(flat)

        return cls(jax.eval_shape(leaves, *arrays), kept[0], steps, records, batch)

    def rivals(self, leaves: Any) -> tuple:
        return jax.tree.unflatten(self.structure, leaves)

    @cached_property
    def states(self) -> tuple:
        return jax.eval_shape(lambda leaves: tuple(rival.init() for rival in self.rivals(leaves)), self.leaves)

    @property
    def pieces(self) -> list[Piece]:
        """A step, and an observation."""

        def step(leaves: Any, states: tuple, batch: Batch | None) -> list[Any]:
            return [rival.step(state, batch) for rival, state in zip(self.rivals(leaves), states, strict=True)]

        def observe(leaves: Any, states: tuple) -> list[Any]:
            return [rival.observe(state) for rival, state in zip(self.rivals(leaves), states, strict=True)]

        return [
            Piece("step", step, (self.leaves, self.states, self.batch), self.steps, donated=1),
            Piece("observation", observe, (self.leaves, self.states), self.records),
        ]


@dataclass(frozen=True)
class PlannedWork:
    """Of one cell.

    parameters  scalars of one network
    programs    beside the lockstep run: kernels, draws
    spectra     rows of the matrices whose eigenvectors the host finds
    known       how far the number of steps is: where training ends may be known from Theta_hat_0 only
    """

    parameters: int
    lockstep: Lockstep | None = None
    programs: tuple[Piece, ...] = ()
    spectra: tuple[int, ...] = ()
    known: Literal["exactly", "about", "at most"] = "exactly"

    @property
    def pieces(self) -> list[Piece]:
        return [*(self.lockstep.pieces if self.lockstep else ()), *self.programs]


def side_by_side(member: Any, varying: tuple[str, ...], count: int) -> Ensemble:
    """An ensemble of so many members like this one, traced."""

    def stacked(leaf: Any) -> Any:
        return jnp.broadcast_to(leaf, (count, *leaf.shape))

    return Ensemble(member.replace(**{name: jax.tree.map(stacked, getattr(member, name)) for name in varying}), varying)


def batch_shapes(settings: RunSettings) -> Batch | None:
    """Which examples a step sees, as `batches_of` will say."""
    size, images = settings.optimizer.batch_size, settings.data
    if size is None:
        return None
    flips: Any = shape(size, dtype=jnp.bool_) if images.flip else None
    shifts: Any = shape(size, 2, dtype=jnp.int32) if images.crop else None
    rows: Any = shape(size, dtype=jnp.int32)
    return Batch(rows, flips, shifts)


def planned_images(data: DataSettings, loss: str) -> Dataset | None:
    """The images of a run, for what is known from them before it; None where they are not there, which a plan says itself.

    Those of several cells are loaded once.
    """
    key: Any = data  # pydantic gives frozen models a hash, which pyright does not see
    return _images(key, loss)


@lru_cache(maxsize=16)
def _images(data: DataSettings, loss: str) -> Dataset | None:
    try:
        return load(data, loss, Silent())
    except UserError:
        return None


def records_of(settings: RunSettings) -> int:
    record = settings.record
    return len(record_steps(Optimizer(settings.optimizer).axis_times(), record.first_time, record.per_octave))


def kernel_piece(
    model: Model,
    theta0: Params,
    x1: Any,
    x2: Any = None,
    *,
    memory_bytes: int,
    method: Method = "structured",
    times: int = 1,
) -> Piece:
    """`empirical_ntk` of x1 with x2; where it falls into blocks, the largest one as often as there are blocks."""

    pair = (x1,) if x2 is None else (x1, x2)
    if method == "jacobian":  # of examples apart: where an output depends on its batch there is no kernel in a run
        rows, columns = example_blocks(model, theta0, *pair, memory_bytes=memory_bytes)
    else:
        rows, columns = blocks_of(model, theta0, *pair, memory_bytes=memory_bytes)

    def kernel(theta: Params, *x: Any) -> Any:
        if method == "jacobian":
            with jax.default_matmul_precision("highest"):
                return examples_ntk(model, theta, False, False, x[0], x[1] if len(x) > 1 else None)
        return empirical_ntk(model, theta, *x, method=method, memory=memory_bytes)

    if len(rows) == len(columns) == 1:
        return Piece("kernel", kernel, (theta0, *pair), times)
    turns = len(rows) * (len(rows) + 1) // 2 if x2 is None else len(rows) * len(columns)
    block = [shape(part[0].stop, *x1.shape[1:], dtype=x1.dtype) for part in (rows, columns)]
    return Piece("kernel", kernel, (theta0, *block), times * turns)


def recursion_pieces(settings: Any, image: tuple[int, ...], n: int, m: int) -> list[Piece]:
    """Theta(X, X) and Theta(x, X) of an infinitely wide network with convolutions, a tile at a time."""
    model, tile_bytes = settings.model, settings.theory.tile_bytes
    if model.name == "fc":
        return []
    pieces = []
    for rows, columns in ((n, None), (m, n)):
        plan = Plan.of(
            description_of(model, "all", model.width), (rows, *image), None if columns is None else (columns, *image)
        )
        sides = plan.sides(tile_bytes, 8)
        tiles = plan.tiles(-(-rows // sides[0]), -(-(columns or rows) // sides[1]))
        pieces.append(Piece("recursion", plan.usual_tile(), plan.tile_arguments(sides), len(tiles)))
    return pieces


def training_work(settings: RunSettings, memory_bytes: int, wanted: Wanted = Wanted()) -> PlannedWork:  # noqa: B008 frozen
    """`trajectories.compute`.  Left out: the ODE solver, and power iteration for eta_critical of convolutions."""
    n, m, k = sizes(settings.data, settings.loss)
    dtype, image = jnp.dtype(settings.model.dtype), input_shape(settings.data)
    model = model_from(settings.model, n_outputs=k, trained=settings.trained, matmul=settings.matmul)
    model, theta0, method = network_shapes(settings, model, image, k)
    optimizer = Optimizer(settings.optimizer, settings.weight_decay)
    routes = routes_of(settings, n, k, wanted)
    watched, tx = choose_weights(theta0, settings.record.weights), optimizer.scaled(ntk_scale(model))
    x, y, x_test = (shape(rows, *row, dtype=dtype) for rows, row in ((n, image), (n, (k,)), (m, image)))

    def rivals(theta0: Params, x: Any, y: Any, x_test: Any) -> tuple:
        arrays = dict(theta0=theta0, x_train=x, y_train=y, x_test=x_test)
        found = step_by_step(settings, model, tx, watched, routes, **arrays)
        found[curves.NETWORK] = linearity.planned(settings, found[curves.NETWORK])

        def linear(*kk: int) -> LinearFunctionSpace:
            f, f_test, ntk, cross = (jnp.zeros(size) for size in ((n, k), (m, k), (n, n, *kk), (m, n, *kk)))
            moved = optimizer.scaled(1.0)
            jacobian = jnp.zeros((len(watched), n, k))
            return LinearFunctionSpace.build(f, f_test, f, ntk, cross, jacobian, moved, settings.loss)

        if routes.linear == "function_space":
            found[curves.LINEAR] = linear(k, k)
        if routes.analytic:
            found[curves.LINEAR_ANALYTIC] = linear()
        return tuple(found.values())

    batch, steps = batch_shapes(settings), settings.optimizer.steps
    lockstep = Lockstep.of(rivals, theta0, x, y, x_test, steps=steps, records=records_of(settings), batch=batch)
    programs, spectra = linearity.planned_kernels(settings, model, theta0, x), []
    if routes.critical_rate == "kernel":
        sample = shape(min(n, CRITICAL_SAMPLE), *image, dtype=dtype)
        programs.append(Piece("kernel", lambda *of: empirical_ntk(model, *of, trace_outputs=True), (theta0, sample)))
        spectra.append(sample.shape[0])
    if routes.kernels:
        how: Any = dict(memory_bytes=memory_bytes, method=method)
        programs += [kernel_piece(model, theta0, *of, **how) for of in ((x,), (x_test, x))]
        spectra += [n * k, *([n] if routes.analytic else [])] if routes.flow == "spectrum" else []
    if routes.analytic:
        programs += recursion_pieces(settings, image, n, m)
    return PlannedWork(count(theta0), lockstep, tuple(programs), tuple(spectra))
