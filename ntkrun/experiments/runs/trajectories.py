"""Network and rivals along one training run: what Figures 3, S8 and the free combination `lockstep` record.

Rivals, all from the same theta0 (so the same f_0):
network          the Flax network, trained
linear           its linearization at theta0, trained in lockstep (same optimizer, same batches)
linear_analytic  the same with the infinite-width kernel Theta in place of Theta_hat_0
flow_empirical   eqs (8)-(11), gradient flow, Theta_hat_0            (squared loss, gradient descent, full batch)
flow_analytic    eqs (8)-(11), gradient flow, Theta                  (likewise)
Both flows also under cross-entropy and heavy ball, by the ODE solver, with theory.flow.by_solver=true.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd

from ntkrun import tables
from ntkrun.devices.placement import on_device, on_the_host
from ntkrun.dynamics import metrics
from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.linearity import layers_of
from ntkrun.dynamics.network import Network, Watched, predict
from ntkrun.dynamics.optimizers import record_steps
from ntkrun.experiments import curves
from ntkrun.experiments.base import CellResult
from ntkrun.experiments.curves import Quantity
from ntkrun.experiments.runs import linearity
from ntkrun.experiments.runs.planned_work import training_work
from ntkrun.experiments.runs.prepare import (
    TrainingSetup,
    batches_of,
    check_learning_rate,
    outputs_at_start,
    set_up_training,
    step_by_step,
)
from ntkrun.experiments.runs.recorded import Measured, rate_at, tell
from ntkrun.experiments.runs.recursion import recursion_kernels
from ntkrun.kernels.analytic import Kernels
from ntkrun.kernels.empirical import empirical_ntk, ntk_scale
from ntkrun.kernels.precision import full_precision
from ntkrun.kernels.psd import check_psd
from ntkrun.kernels.weight_jacobian import weight_jacobian
from ntkrun.lockstep.loop import Observation, run_lockstep
from ntkrun.lockstep.progress import Progress
from ntkrun.models import declarations
from ntkrun.settings.runs import RunSettings
from ntkrun.theory.closed_form import apply_kernel, gradient_flow
from ntkrun.types import Array


def analytic_pair(settings: RunSettings, x1: np.ndarray, x2: np.ndarray | None = None) -> Kernels:
    """K of the infinitely wide network and Theta of its trained layers, with the terms of order 1/n that (S42) has."""
    return recursion_kernels(
        settings.model, settings.theory, x1, x2, trained=settings.trained, width=settings.model.width
    )


def analytic(settings: RunSettings, x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray:
    """Theta of `analytic_pair`, (n1, n2)."""
    return np.asarray(analytic_pair(settings, x1, x2).ntk)


@dataclass
class KernelsAtInit:
    """Theta_hat_0 (dtype of theta0, whose rounding it has) and Theta (float64) on (train, train) and (test, train), and
    df/dtheta of the watched weights; Theta is None where it is no rival."""

    empirical_train: np.ndarray
    empirical_test: np.ndarray
    analytic_train: np.ndarray | None
    analytic_test: np.ndarray | None
    jacobian: np.ndarray  # (w, n, k)


def kernels_at_init(setup: TrainingSetup) -> KernelsAtInit | None:
    """None where no rival of this run moves in function space."""
    settings, data, has_analytic = setup.settings, setup.data, setup.routes.analytic
    if not setup.routes.kernels:
        return None
    scale = ntk_scale(setup.model)

    def empirical(x1: Array, x2: Array | None = None) -> np.ndarray:
        return scale * np.asarray(empirical_ntk(setup.model, setup.theta0, x1, x2, method=setup.contraction))

    return KernelsAtInit(
        empirical_train=empirical(setup.x_train),
        empirical_test=empirical(setup.x_test, setup.x_train),
        analytic_train=analytic(settings, data.x_train) if has_analytic else None,
        analytic_test=analytic(settings, data.x_test, data.x_train) if has_analytic else None,
        jacobian=scale
        * np.asarray(weight_jacobian(setup.model, setup.theta0, setup.x_train, setup.watched), np.float64),
    )


def one_by_one(network: Network) -> tuple[Array, Array]:
    """f_0 on the training and the test examples, operation by operation."""
    model = full_precision(network.model)
    f0_train, f0_test = (predict(model, network.theta0, x) for x in (network.x_train, network.x_test))
    return f0_train, f0_test


def build_rivals(setup: TrainingSetup, kernels: KernelsAtInit | None) -> dict[str, Any]:
    """The rivals that move step by step."""
    settings, data = setup.settings, setup.data
    tx, tx_kernel = setup.optimizer.scaled(ntk_scale(setup.model)), setup.optimizer.scaled(1.0)
    y_train = on_device(data.y_train, setup.x_train.dtype)
    arrays: dict[str, Any] = dict(theta0=setup.theta0, x_train=setup.x_train, y_train=y_train, x_test=setup.x_test)
    rivals = step_by_step(settings, setup.model, tx, setup.watched, setup.routes, **arrays)
    rivals[curves.NETWORK] = linearity.observed_in(settings, rivals[curves.NETWORK])
    if kernels is None:
        return rivals
    f0_train, f0_test = outputs_at_start(rivals[curves.NETWORK], one_by_one)
    common: dict[str, Any] = dict(f0_train=f0_train, f0_test=f0_test, y_train=data.y_train, jacobian=kernels.jacobian)
    common |= dict(tx=tx_kernel, loss=settings.loss)
    if setup.routes.linear == "function_space":
        rivals[curves.LINEAR] = LinearFunctionSpace.build(
            ntk_train=kernels.empirical_train, ntk_test=kernels.empirical_test, **common
        )
    if kernels.analytic_train is not None and kernels.analytic_test is not None:
        check_psd(kernels.analytic_train, "Theta(X, X)")
        rivals[curves.LINEAR_ANALYTIC] = LinearFunctionSpace.build(
            ntk_train=kernels.analytic_train, ntk_test=kernels.analytic_test, **common
        )
    return rivals


def flow_rivals(
    setup: TrainingSetup, kernels: KernelsAtInit, network: Network, steps: list[int]
) -> dict[str, list[Observation]]:
    """Gradient flow with both kernels at the flow times of the recorded steps."""
    f0_train, f0_test = (np.asarray(f, np.float64) for f in outputs_at_start(network, one_by_one))
    times = setup.optimizer.flow_times()[steps]
    found: dict[str, list[Observation]] = {}
    kernels_of = {
        curves.FLOW_EMPIRICAL: (kernels.empirical_train, kernels.empirical_test),
        curves.FLOW_ANALYTIC: (kernels.analytic_train, kernels.analytic_test),
    }
    for rival, (train, test) in kernels_of.items():
        if train is None or test is None:
            continue
        c = flow_coefficients(setup, train, f0_train, times)
        found[rival] = [
            {
                "train": f0_train + apply_kernel(train, c_t),
                "test": f0_test + apply_kernel(test, c_t),
                "weights": np.einsum("wnk,nk->w", kernels.jacobian, c_t),
            }
            for c_t in c
        ]
    return found


def flow_coefficients(setup: TrainingSetup, ntk: np.ndarray, f0: np.ndarray, times: np.ndarray) -> np.ndarray:
    """c_t (T, n, k) of f_lin = f_0 + Theta c: from the spectrum where it decides, else by the solver."""
    settings, optimizer = setup.settings, setup.settings.optimizer
    if setup.routes.flow == "spectrum":
        return np.asarray(gradient_flow(ntk, setup.data.y_train, f0).coefficients_at(times))
    from ntkrun.theory.gradient_flow import linear_flow  # brings diffrax, which takes a second to import

    with_momentum, flow = optimizer.flow == "momentum", settings.theory.flow
    return linear_flow(
        ntk,
        setup.data.y_train,
        f0,
        times,
        loss_gradient=_gradient_of(settings.loss),
        momentum=optimizer.momentum if with_momentum else None,
        learning_rate=optimizer.learning_rate if with_momentum else None,
        rtol=flow.rtol,
        atol=flow.atol,
        max_steps=flow.max_steps,
    ).coefficients


@functools.cache
def _gradient_of(loss: str) -> Callable[[Any, Any], Any]:
    return jax.grad(metrics.LOSSES[loss])


def compute(settings: RunSettings, cell: str, progress: Progress) -> CellResult:
    """Run one cell: train network and rivals in lockstep, evaluate the closed forms, and stack what was seen."""
    setup = set_up_training(settings, progress)
    facts = check_learning_rate(setup, progress) | {
        "data": setup.data.describe(),
        "watched_weights": _names(setup.watched),
    }
    label = f"{settings.experiment} {cell}"
    if setup.routes.kernels:
        progress.phase(label, "kernels")
    kernels = kernels_at_init(setup)
    facts |= {"theta_hat_by": setup.contraction} if kernels is not None else {}
    facts |= {"layers": list(layers_of(setup.theta0))} if linearity.is_recorded(settings) else {}
    axis = setup.optimizer.axis_times()
    steps = record_steps(axis, settings.record.first_time, settings.record.per_octave)
    rivals = build_rivals(setup, kernels)
    # before the network moves: a horizon that the solver cannot reach ends the run here
    flows = {}
    if kernels is not None and setup.routes.flow is not None:
        progress.phase(label, "gradient flow")
        flows = flow_rivals(setup, kernels, rivals["network"], steps)
    seen: dict[str, list[Observation]] = {}
    measures, rates = [], setup.optimizer.learning_rates()
    lockstep = run_lockstep(rivals, steps, batches_of(setup), progress, label, devices=settings.devices)
    for place, (step, moved) in enumerate(lockstep):
        observations = moved | {rival: found[place] for rival, found in flows.items()}
        for rival, observation in observations.items():
            seen.setdefault(rival, []).append(observation)
        measures.append(measured(setup, observations))
        looked_at = linearity.measured(setup, moved[curves.NETWORK])
        tell(progress, step, axis[step], rate_at(rates, step), measures[-1] | looked_at)
    table = stack(setup, seen, measures, steps, axis[steps])
    width = declarations.of(setup.model).width
    return CellResult(tables.tidy(table, figure=settings.experiment, cell=cell, seed=settings.seed, width=width), facts)


def _names(watched: tuple[Watched, ...]) -> list[str]:
    return [f"{'/'.join(path)}[{index}]" for path, index in watched]


def targets_of(setup: TrainingSetup) -> dict[str, np.ndarray]:
    """The targets of the examples that are recorded, by split."""
    return {"train": setup.data.y_train[: setup.settings.record.train_examples], "test": setup.data.y_test}


@on_the_host()
def measured(setup: TrainingSetup, observations: Mapping[str, Observation]) -> Measured:
    """Loss, accuracy, and rmse to the network, of every rival at one record point."""
    loss, found = metrics.LOSSES[setup.settings.loss], {}
    for split, y in targets_of(setup).items():
        outputs = {rival: np.asarray(seen[split], np.float64)[: len(y)] for rival, seen in observations.items()}
        for rival, f in outputs.items():
            found[curves.LOSS.of(rival), split] = float(loss(f, y))
            if setup.data.has_classes:
                found[curves.ACCURACY.of(rival), split] = float(metrics.accuracy(f, y))
            if rival != curves.NETWORK:
                found[curves.RMSE.of(rival), split] = float(metrics.rmse(f, outputs[curves.NETWORK]))
    return found


@on_the_host()
def stack(
    setup: TrainingSetup,
    seen: dict[str, list[Observation]],
    measures: list[Measured],
    steps: list[int],
    times: np.ndarray,
) -> list[pd.DataFrame]:
    """Rows of every quantity: output, weight_change, and those of `measured`."""
    record = setup.settings.record
    frames = (
        linearity.rows_of(setup, seen[curves.NETWORK], steps, list(times))
        if linearity.is_recorded(setup.settings)
        else []
    )
    for rival, observations in seen.items():

        def add(quantity: Quantity, split: str, values: list[Any], rival: str = rival) -> None:
            frames.append(tables.rows(quantity.of(rival), split, steps, list(times), np.asarray(values)))

        if setup.watched:
            add(curves.WEIGHT_CHANGE, "", [o["weights"] for o in observations])
        for split, y in targets_of(setup).items():
            outputs = [np.asarray(o[split], np.float64)[: len(y)] for o in observations]
            add(curves.OUTPUT, split, [shown(f, record.outputs, record.follow) for f in outputs])
            for quantity in (curves.LOSS, curves.ACCURACY, curves.RMSE):
                if (quantity.of(rival), split) in measures[0]:
                    add(quantity, split, [found[quantity.of(rival), split] for found in measures])
    return frames


def shown(f: np.ndarray, count: int, follow: str = "auto") -> np.ndarray:
    """The outputs that are followed one by one: the first of `count` examples, or `count` of the first example."""
    examples = follow == "examples" or (follow == "auto" and f.shape[1] == 1)
    return f[:count, 0] if examples else f[0, :count]


planned_work = training_work
