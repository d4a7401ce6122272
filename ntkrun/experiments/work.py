"""What the cells of the figures will have to do, as pieces whose cost can be traced before anything is run."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ntkrun.costs import Piece
from ntkrun.data.batches import Batch
from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.optimizers import Optimizer, record_steps
from ntkrun.experiments.setup import KERNEL_ROWS, function_space, has_analytic_kernel, model_from, step_by_step
from ntkrun.kernels.empirical import Method, blocks_of, empirical_nngp, empirical_ntk, ntk_scale, shapes_at_start
from ntkrun.kernels.projected import drawn_projections, is_projectable, projected_kernels
from ntkrun.kernels.route import covered_by_taps
from ntkrun.models import build_model
from ntkrun.models.own import check_own
from ntkrun.sections import DataSettings, OwnSettings
from ntkrun.settings import EnsembleSettings, MonteCarloSettings, RunSettings
from ntkrun.types import Params

IMAGES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
EXAMPLES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}  # train, test; CIFAR-10's classes are of equal size


def shape(*sizes: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def sizes(data: DataSettings, loss: str) -> tuple[int, int, int]:
    """(n, m, k): training and test images, outputs."""
    classes = 10 if data.classes is None else len(data.classes)
    train, test = (count * classes // 10 for count in EXAMPLES[data.name])
    return data.n_train or train, data.n_test or test, 1 if data.target_kind(loss) == "signed" else classes


def parameter_shapes(model: nn.Module, image: tuple[int, ...], dtype: Any) -> Params:
    """theta_0 without its numbers."""
    return shapes_at_start(model, image, dtype)["params"]


def network_shapes(settings: RunSettings, model: nn.Module, image: tuple[int, ...], k: int) -> tuple[Params, Method]:
    """theta_0 without its numbers, and by which contraction Theta_hat will be formed."""
    dtype = jnp.dtype(settings.model.dtype)
    if not isinstance(settings.model, OwnSettings):
        return parameter_shapes(model, image, dtype), "structured"
    two = shape(2, *image, dtype=dtype)
    check_own(model, two, k)
    theta0 = parameter_shapes(model, image, dtype)
    return theta0, covered_by_taps(model, theta0, two)


def count(params: Params) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def training_work(
    settings: RunSettings, inputs: tuple[int, ...] | None = None, networks: int | None = None
) -> tuple[int, list[Piece]]:
    """Parameters of a network, and the pieces of `trajectories.follow`, or of that many networks without rivals.

    inputs: shape of an input where it is not an image.  Left out: the rivals of gradient flow and of the analytic
    kernel, whose cost does not grow with the width.
    """
    n, m, k = sizes(settings.data, settings.loss)
    dtype, image = jnp.dtype(settings.model.dtype), inputs or IMAGES[settings.data.name]
    model = model_from(settings.model, n_outputs=k, trained=settings.trained, matmul=settings.matmul)
    theta0, method = network_shapes(settings, model, image, k)
    optimizer = Optimizer(settings.optimizer, settings.weight_decay)
    steps, record = settings.optimizer.steps, settings.record
    records = len(record_steps(optimizer.axis_times(), record.first_time, record.per_octave))
    arrays = tuple(shape(rows, *row, dtype=dtype) for rows, row in ((n, image), (n, (k,)), (m, image)))
    size = settings.optimizer.batch_size
    rows: Any = None if size is None else shape(size, dtype=jnp.int32)
    tx = optimizer.scaled(ntk_scale(model))

    def rivals(theta0: Params, x: Any, y: Any, x_test: Any) -> tuple[Any, ...]:
        found = step_by_step(settings, model, tx, (), theta0=theta0, x_train=x, y_train=y, x_test=x_test)
        return tuple(found.values()) if networks is None else (found["network"],)

    def step(states: Any, theta0: Params, rows: Any, *arrays: Any) -> Any:
        moving, batch = rivals(theta0, *arrays), None if rows is None else Batch(rows)
        return [rival.step(state, batch) for rival, state in zip(moving, states, strict=True)]

    def observe(states: Any, theta0: Params, *arrays: Any) -> Any:
        moving = rivals(theta0, *arrays)
        return [rival.observe(state) for rival, state in zip(moving, states, strict=True)]

    states = jax.eval_shape(lambda *given: [rival.init() for rival in rivals(*given)], theta0, *arrays)
    copies = networks or 1
    pieces = [
        Piece("step", step, (states, theta0, rows, *arrays), steps, copies),
        Piece("observation", observe, (states, theta0, *arrays), records, copies),
    ]
    if networks is not None:
        return count(theta0), pieces
    if n * k <= KERNEL_ROWS and (function_space(settings) or has_analytic_kernel(settings)):
        pieces += kernel_pieces(model, theta0, arrays[0], arrays[2], method)
    if function_space(settings):
        pieces.append(function_space_piece(settings, n, k, steps))
    return count(theta0), pieces


def kernel_pieces(model: nn.Module, theta0: Params, x: Any, x_test: Any, method: Method = "structured") -> list[Piece]:
    """Theta_hat_0 on the training set and between test and training set."""
    return [kernel_piece(model, theta0, *of, method=method) for of in ((x,), (x_test, x))]


def kernel_piece(model: nn.Module, theta0: Params, x1: Any, x2: Any = None, *, method: Method = "structured") -> Piece:
    """`empirical_ntk` of x1 with x2; where it falls into blocks, the largest one as often as there are blocks."""

    def kernel(theta: Params, *x: Any) -> Any:
        return empirical_ntk(model, theta, *x, method=method)

    pair = (x1,) if x2 is None else (x1, x2)
    if method == "jacobian":
        return Piece("kernel", kernel, (theta0, *pair))
    rows, columns = blocks_of(model, theta0, *pair)
    if len(rows) == len(columns) == 1:
        return Piece("kernel", kernel, (theta0, *pair))
    turns = len(rows) * (len(rows) + 1) // 2 if x2 is None else len(rows) * len(columns)
    block = [shape(part[0].stop, *x1.shape[1:], dtype=x1.dtype) for part in (rows, columns)]
    return Piece("kernel", kernel, (theta0, *block), turns)


def function_space_piece(settings: RunSettings, n: int, k: int, steps: int) -> Piece:
    """Every step of f_lin = f_0 + Theta_hat c, whose kernel has n k rows, of all examples whatever the batch."""
    tx, wide = Optimizer(settings.optimizer).scaled(1.0), jnp.float64
    rows = n * k

    def step(kernel: Any, f: Any, c: Any) -> Any:
        empty = (jnp.zeros((1, k)), jnp.zeros((1, rows)), jnp.zeros((0, n, k)))
        rival = LinearFunctionSpace(f, empty[0], f, kernel, empty[1], empty[2], flattened=True, tx=tx, loss="mse")
        return rival.step((c, tx.init(c)), None)

    return Piece("step", step, (shape(rows, rows, dtype=wide), *[shape(n, k, dtype=wide)] * 2), steps)


def span_work(settings: EnsembleSettings) -> tuple[int, list[Piece]]:
    """An ensemble on inputs in a basis of their span, of at most n dimensions."""
    n, *_ = sizes(settings.data, settings.loss)
    return training_work(settings, (min(n, math.prod(IMAGES[settings.data.name])),), settings.networks)


def change_work(settings: EnsembleSettings) -> tuple[int, list[Piece]]:
    """`width_changes.run`: the networks, and both kernels of each at every record point."""
    in_span = getattr(settings, "inputs", "full") == "span"
    parameters, pieces = span_work(settings) if in_span else training_work(settings, networks=settings.networks)
    step, observation = pieces[:2]
    _, theta0, _, x, *_ = step.arguments
    model = model_from(settings.model, n_outputs=sizes(settings.data, settings.loss)[2], trained=settings.trained)
    kernels = [
        Piece("kernel", lambda theta, x, of=of: of(model, theta, x), (theta0, x), observation.times, observation.copies)
        for of in (empirical_ntk, empirical_nngp)
    ]
    return parameters, [step, *kernels]


def draw_work(settings: MonteCarloSettings) -> tuple[int, list[Piece]]:
    """`kernel_estimates.estimate`: both kernels of every drawn network on the inputs."""
    fields = settings.model.model_dump()
    model = build_model(fields.pop("name"), n_outputs=1, **fields)
    dtype = jnp.dtype(settings.model.dtype)
    theta = parameter_shapes(model, (settings.inputs,), dtype)  # n_0 dimensions in a basis of the inputs' span
    x = shape(settings.inputs, settings.inputs, dtype=dtype)
    if is_projectable(model, settings.inputs):
        key = jax.eval_shape(lambda: jax.random.key(0))

        def draw(x: Any, key: Any) -> Any:
            return projected_kernels(model, x, key, drawn_projections(key))

        return count(theta), [Piece("draw", draw, (x, key), settings.draws)]
    kernels: tuple[Callable[..., Any], ...] = (empirical_ntk, empirical_nngp)
    pieces = [Piece("draw", lambda theta, x, of=of: of(model, theta, x), (theta, x), settings.draws) for of in kernels]
    return count(theta), pieces
