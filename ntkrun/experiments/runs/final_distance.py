"""Network against f_lin at the end of training: what one cell of Figure S5 runs and records.

The end is the first step at which f_lin has a stated train loss, the same whatever the network's output at theta_0.  It
is known in closed form from the spectrum of Theta_hat_0, before the network moves.  Curves: RMSE of f_lin to the network and
LOSS of both, on both splits, at the steps 2^j and the last.
"""

import math
import warnings
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from scipy.linalg import eigh_tridiagonal

from ntkrun import tables
from ntkrun.data.dataset import Dataset
from ntkrun.data.span import span_coordinates
from ntkrun.devices.placement import on_device, on_the_host
from ntkrun.dynamics import metrics
from ntkrun.dynamics.network import Network, predict
from ntkrun.dynamics.optimizers import record_steps
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.runs.image_sizes import input_shape
from ntkrun.experiments.runs.planned_work import (
    Lockstep,
    PlannedWork,
    count,
    kernel_piece,
    parameter_shapes,
    planned_images,
    recursion_pieces,
    shape,
    sizes,
    span,
)
from ntkrun.experiments.runs.prepare import drawn, load, model_from, outputs_at_start
from ntkrun.experiments.runs.random_keys import cell_key
from ntkrun.experiments.runs.recorded import Measured, tell
from ntkrun.experiments.runs.recursion import recursion_kernels
from ntkrun.kernels.empirical import empirical_ntk, ntk_scale
from ntkrun.kernels.precision import full_precision
from ntkrun.lockstep.loop import FullBatch, Observation, run_lockstep
from ntkrun.lockstep.progress import Progress
from ntkrun.settings.descents import ImageDistanceSettings
from ntkrun.theory.closed_form import ClosedForm, gradient_descent, steps_to_loss
from ntkrun.theory.learning_rate import eta_critical
from ntkrun.types import Array, Float, NumpyArray


def inputs_of(data: Dataset, net: str) -> np.ndarray:
    """Training, then test inputs; those of a fully-connected network in a basis of their span, if that is smaller."""
    images = np.concatenate([data.x_train, data.x_test])
    if net != "fc" or len(images) >= images[0].size:
        return images
    (z,) = span_coordinates(images.reshape(len(images), -1))
    return z


def in_one_pass(network: Network) -> tuple[Array, Array]:
    """f_0 on the training and the test images."""
    images = jnp.concatenate([network.x_train, network.x_test])
    outputs = jax.jit(predict, static_argnums=0)(full_precision(network.model), network.theta0, images)
    return outputs[: len(network.x_train)], outputs[len(network.x_train) :]


def compute(settings: ImageDistanceSettings, cell: str, progress: Progress) -> CellResult:
    """Find eta and the last step from Theta_hat_0, train, compare at the steps 2^j and the last."""
    descent, net = settings.descent, settings.model.name
    data = load(settings.data, "mse", progress)
    n, k = data.y_train.shape
    model, dtype = model_from(settings.model, n_outputs=k, matmul=settings.matmul), jnp.dtype(settings.model.dtype)
    inputs, y = inputs_of(data, net), on_device(data.y_train, dtype)
    images, x, x_test = (on_device(part, dtype) for part in (inputs, inputs[:n], inputs[n:]))
    theta0, scale = drawn(model, cell_key(settings, "theta0"), np.asarray(inputs[:1], dtype)), ntk_scale(model)
    label = f"{settings.experiment} {cell}"
    progress.phase(label, "kernels")
    # One program instead of two, which a cell would compile for its own shapes.
    kernel = scale * np.asarray(empirical_ntk(model, theta0, images, x))
    train, test = np.split(kernel, [n])
    eta = descent.share_of_critical * eta_critical(train, k)
    network = Network(theta0, x, y, x_test, model=model, tx=optax.sgd(eta * scale), loss="mse", watched=())
    f0, f0_test = (np.asarray(f, np.float64) for f in outputs_at_start(network, in_one_pass))
    linear = gradient_descent(train, data.y_train, f0, np.full(descent.max_steps, eta))
    end = steps_to_loss(linear, data.y_train, descent.end_loss, descent.max_steps)
    steps = record_steps(np.arange(end + 1.0), 1.0, 1)

    def of_linear(moved: ClosedForm, kernel: np.ndarray) -> dict[str, np.ndarray]:
        return {"train": moved.train_at(np.asarray(steps)), "test": moved.test_at(np.asarray(steps), f0_test, kernel)}

    outputs = {curves.LINEAR: of_linear(linear, test)}
    if settings.theory.analytic_kernel == "always":
        theta, theta_test = thetas(settings, data)
        infinite = gradient_descent(theta, data.y_train, f0, np.full(descent.max_steps, eta))
        outputs[curves.LINEAR_ANALYTIC] = of_linear(infinite, theta_test)
    lockstep = run_lockstep({curves.NETWORK: network}, steps, FullBatch(), progress, label, devices=settings.devices)
    seen = ((step, found[curves.NETWORK]) for step, found in lockstep)
    frames = followed(seen, outputs, data, steps, eta, progress)
    table = tables.tidy(frames, figure=settings.experiment, cell=cell, seed=settings.seed, width=settings.model.width)
    facts = {"eta": eta, "steps": end, "loss_reached": end < descent.max_steps, "data": data.describe()}
    return CellResult(table, facts)


def thetas(settings: ImageDistanceSettings, data: Dataset) -> tuple[NumpyArray, NumpyArray]:
    """Theta(X, X) and Theta(x, X) of the infinitely wide network."""
    model, theory = settings.model, settings.theory
    train, test = (
        recursion_kernels(model, theory, *x, width=model.width) for x in ((data.x_train,), (data.x_test, data.x_train))
    )
    return np.asarray(train.ntk), np.asarray(test.ntk)


def followed(
    seen: Iterable[tuple[int, Observation]],
    outputs: dict[str, dict[str, np.ndarray]],
    data: Dataset,
    steps: list[int],
    eta: float,
    progress: Progress,
) -> list[pd.DataFrame]:
    """Rows of `compared` at all steps, each told as it is seen; outputs: of every f_lin by split, (T, n, k)."""
    measures: list[Measured] = []
    for place, (step, found) in enumerate(seen):
        rivals = {rival: {split: f[place] for split, f in of.items()} for rival, of in outputs.items()}
        measures.append(compared(found, rivals, data))
        tell(progress, step, eta * step, eta, measures[-1])
    times = [eta * i for i in steps]
    return [
        tables.rows(curve, split, steps, times, np.asarray([found[curve, split] for found in measures]))
        for curve, split in measures[0]
    ]


@on_the_host()
def compared(seen: Observation, rivals: dict[str, dict[str, np.ndarray]], data: Dataset) -> Measured:
    """The distance of the network to each f_lin, and the losses of all, on both splits at one record point."""
    found, targets = {}, {"train": data.y_train, "test": data.y_test}
    for rival, outputs in rivals.items():
        for split, f_lin in outputs.items():
            f, y = np.asarray(seen[split], np.float64), targets[split]
            found[curves.RMSE.of(rival), split] = float(metrics.rmse(f, f_lin))
            if rival == curves.LINEAR:
                found[curves.LOSS.of(curves.NETWORK), split] = float(metrics.mse(f, y))
            found[curves.LOSS.of(rival), split] = float(metrics.mse(f_lin, y))
    return found


def planned_work(settings: ImageDistanceSettings, block_bytes: int) -> PlannedWork:
    n, m, k = sizes(settings.data, "mse")
    dtype, image = jnp.dtype(settings.model.dtype), input_shape(settings.data)
    side, net = settings.data.averaged, settings.model.name
    if side > 1:
        image = (image[0] // side, image[1] // side, image[2])
    if net == "fc" and n + m < math.prod(image):
        image = (span(settings.data, n + m),)
    model = model_from(settings.model, n_outputs=k, matmul=settings.matmul)
    theta0 = parameter_shapes(model, image, dtype)
    x, y, x_test = (shape(rows, *row, dtype=dtype) for rows, row in ((n, image), (n, (k,)), (m, image)))

    def rivals(*arrays: Any) -> tuple:
        return (Network(*arrays, model=model, tx=optax.sgd(1.0), loss="mse", watched=()),)

    end = steps_expected(settings)
    steps = settings.descent.max_steps if end is None else end
    records = len(record_steps(np.arange(steps + 1.0), 1.0, 1))
    lockstep = Lockstep.of(rivals, theta0, x, y, x_test, steps=steps, records=records)
    both = shape(n + m, *image, dtype=dtype)
    programs = (kernel_piece(model, theta0, both, x, memory_bytes=block_bytes),)
    if settings.theory.analytic_kernel == "always":
        programs += tuple(recursion_pieces(settings, image, n, m))
    return PlannedWork(count(theta0), lockstep, programs, (n * k,), "at most" if end is None else "about")


def steps_expected(settings: ImageDistanceSettings) -> int | None:
    """The first step at which f_lin of the infinitely wide network has the wanted train loss, in the mean over f_0.

    A network's own Theta_hat_0 has smaller eigenvalues the narrower and deeper it is, and takes longer.  None for networks
    without an analytic kernel that costs little, and where the images are not there.
    """
    if not (settings.model.analytic_kernel and settings.model.cheap_kernel):
        return None
    same: Any = settings.model_copy(update={"model": settings.model.model_copy(update={"width": 1}), "seed": 0})
    return _steps_expected(same)


NODES = (
    200  # (1 - eta lambda)^(2 i) is a polynomial of degree sqrt(20 i) to a per cent: 2 x 200 are enough for i = 8,000
)
EXAMPLES_DRAWN = 2048  # entries of all draws of f_0 together: the sum over many modes averages by itself


@lru_cache(maxsize=64)
def _steps_expected(settings: ImageDistanceSettings) -> int | None:
    data, descent = planned_images(settings.data, "mse"), settings.descent
    if data is None:
        return None
    y, rng = np.asarray(data.y_train), np.random.default_rng(0)
    # bright images and a large sigma_w^2 cost 1e-8 of a dual, which moves no number of steps
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "activation .* Hermite terms", UserWarning)
        kernels = recursion_kernels(settings.model, settings.theory, data.x_train)
    n, k = y.shape
    root = np.linalg.cholesky(np.asarray(kernels.nngp) + 1e-9 * np.trace(kernels.nngp) / n * np.eye(n))
    theta, draws = np.asarray(kernels.ntk, np.float32), max(1, EXAMPLES_DRAWN // n)
    found = [spectral_weights(theta, (root @ rng.standard_normal(n)) - y[:, i % k], NODES) for i in range(draws * k)]
    values, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rate = descent.share_of_critical * 2.0 / (max(values.min(), 0.0) + values.max())

    def loss(step: int) -> float:
        return 0.5 * float(np.sum(weights * (1.0 - rate * np.maximum(values, 0.0)) ** (2.0 * step))) / (n * k * draws)

    return bisect_left(range(descent.max_steps), True, key=lambda step: loss(step) <= descent.end_loss)


def spectral_weights(
    theta: Float[NumpyArray, "n n"], r: Float[NumpyArray, " n"], nodes: int
) -> tuple[Float[NumpyArray, " nodes"], Float[NumpyArray, " nodes"]]:
    """(x, w) with sum_j w_j g(x_j) = r.g(Theta) r for all polynomials g of degree below 2 nodes, by Lanczos' recurrence.

    The best such rule (Golub and Meurant 1994): exact for nodes = n, where x are the eigenvalues.
    """
    n = len(theta)
    basis, diagonal, beside = np.zeros((min(nodes, n), n), theta.dtype), [], []
    v = (r / np.linalg.norm(r)).astype(theta.dtype)
    for row in range(len(basis)):
        basis[row] = v
        w = theta @ v
        diagonal.append(float(v @ w))
        for _ in range(2):  # rounding would bring found directions back
            w -= basis[: row + 1].T @ (basis[: row + 1] @ w)
        length = float(np.linalg.norm(w))
        if length <= 1e-6 * abs(diagonal[0]):
            break
        beside.append(length)
        v = w / length
    x, vectors = eigh_tridiagonal(diagonal, beside[: len(diagonal) - 1])
    return x, float(r @ r) * vectors[0] ** 2
