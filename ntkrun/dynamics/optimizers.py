"""Optimizers and schedules, all from Optax, and the time axis that belongs to them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntkrun.devices.placement import on_the_host
from ntkrun.settings.optimizers import OptimizerSettings, Schedule
from ntkrun.types import Float, NumpyArray

Rate = float | optax.Schedule

# `optimizer.name` -> the Optax transformation that these settings mean at a rate
TRANSFORMATIONS: dict[str, Callable[[Any, Rate], optax.GradientTransformation]] = {
    "gd": lambda settings, rate: optax.sgd(rate),
    "momentum": lambda settings, rate: optax.sgd(rate, momentum=settings.momentum),
    "nesterov": lambda settings, rate: optax.sgd(rate, momentum=settings.momentum, nesterov=True),
    "adam": lambda settings, rate: optax.adam(rate, b1=settings.momentum, b2=settings.beta2, eps=settings.epsilon),
}

# `optimizer.schedule.name` -> the Optax schedule from a first rate over so many steps
SCHEDULES: dict[str, Callable[[Any, float, int], optax.Schedule]] = {
    "constant": lambda settings, rate, steps: optax.constant_schedule(rate),
    "piecewise_constant": lambda settings, rate, steps: optax.piecewise_constant_schedule(
        rate, dict(zip(settings.boundaries, settings.factors, strict=True))
    ),
    "cosine": lambda settings, rate, steps: optax.cosine_decay_schedule(rate, steps, alpha=settings.final_factor),
    "exponential": lambda settings, rate, steps: optax.exponential_decay(
        rate, settings.decay_steps, settings.decay_rate
    ),
}


def _schedule(rate: float, settings: Schedule, steps: int) -> optax.Schedule:
    return SCHEDULES[settings.name](settings, rate, steps)


# Cached, because jit tells programs apart by the identity of the transformation: cells that differ in their seed share one.
@functools.cache
def _transformation(settings: OptimizerSettings, factor: float, weight_decay: float) -> optax.GradientTransformation:
    rate: Rate = settings.learning_rate * factor
    if not settings.schedule.constant:
        rate = _schedule(rate, settings.schedule, settings.steps)
    moved = TRANSFORMATIONS[settings.name](settings, rate)
    return optax.chain(optax.add_decayed_weights(weight_decay), moved) if weight_decay > 0 else moved


@dataclass(frozen=True)
class Optimizer:
    """The transformation that moves theta, and its rates and times.

    Gradient descent, heavy ball (S1) `theta_{i+1} = theta_i + beta (theta_i - theta_{i-1}) - eta grad L`, Nesterov:
    linear in the gradient, so that they drive theta and the coefficients c alike; and Adam, which is not.  eta may
    follow a schedule.  `weight_decay` adds weight_decay theta to the gradient, in front of everything else: that of
    weight_decay/2 ||theta||^2.  `scaled(factor)` is the same with every rate multiplied by `factor`: the standard
    parameterization steps with eta_0 / n (S36).
    """

    settings: OptimizerSettings
    weight_decay: float = 0.0

    def scaled(self, factor: float) -> optax.GradientTransformation:
        # pydantic gives frozen models a hash, which pyright does not see
        return _transformation(self.settings, factor, self.weight_decay)  # pyright: ignore[reportArgumentType]

    @on_the_host()
    def learning_rates(self) -> Float[NumpyArray, " steps"]:
        """eta_i of every step, float64."""
        schedule = _schedule(self.settings.learning_rate, self.settings.schedule, self.settings.steps)
        steps = jnp.arange(self.settings.steps)
        return np.broadcast_to(np.asarray(jax.vmap(schedule)(steps), np.float64), (self.settings.steps,))

    def flow_times(self) -> Float[NumpyArray, " points"]:
        """Time of gradient flow after i = 0..steps: sum_{j<i} eta_j, or sum_j sqrt(eta_j) with momentum (S3)."""
        rates = self.learning_rates()
        per_step = np.sqrt(rates) if self.settings.time_is_root_of_rate else rates
        return np.concatenate([[0.0], np.cumsum(per_step)])

    def axis_times(self) -> Float[NumpyArray, " points"]:
        """The figures' time axis: `time_per_eta` x flow time."""
        return self.flow_times() * (self.settings.time_per_eta or 1.0)


def record_steps(times: Float[NumpyArray, " points"], first_time: float, per_octave: int) -> list[int]:
    """Steps to record: 0, the last, and the first step at or after each t = first_time * 2^(j / per_octave).

    A step counts as being at a time that it misses by less than 1e-9 of it: sums of rates carry rounding.
    """
    octaves = np.log2(max(times[-1] / first_time, 1.0))
    wanted = first_time * 2.0 ** (np.arange(int(octaves * per_octave) + 1) / per_octave)
    wanted = wanted[wanted <= times[-1] * (1 + 1e-9)]
    found = np.searchsorted(times, wanted * (1 - 1e-9))
    return sorted({0, len(times) - 1, *(int(i) for i in found)})
