"""The linearised network by an ODE solver: flow under any loss, with or without momentum, (S3, S4), (S8)-(S11).

Convention: the loss is the AVERAGE over the N examples and the k outputs, and so is its gradient dL/df.  Flow time is
t = eta * steps; with heavy-ball momentum beta it is t = sqrt(eta) * steps.  A full-batch trajectory never leaves the
span of the initial gradients, omega_t = J^T c_t, so the (n, k) coefficients c are integrated instead of outputs or
parameters:

    f_lin = f_0 + Theta c,    c' = -dL/df                                             (S8)-(S11)
    c'' = ((beta - 1)/sqrt(eta)) c' - dL/df,   c(0) = c'(0) = 0                       (S3, S4)

and test outputs, weights and training outputs all follow from one solution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.devices.float64 import in_float64
from ntkrun.devices.placement import on_the_host
from ntkrun.errors import UserError
from ntkrun.theory.closed_form import AnyArray, Kernel, SquareKernel, apply_kernel, check_targets, symmetric_kernel
from ntkrun.types import Array, Float, Float64, NumpyArray

LossGradient = Callable[[Any, Any], Any]  # (f (n, k), y (n, k)) -> dL/df (n, k), traced by JAX


@dataclass(frozen=True)
class LinearFlow:
    """f_lin at T times: `train` (T, n, k), `test` (T, m, k) or None, `coefficients` c (T, n, k) with omega_t = J^T c_t.

    `solver_steps`: steps tried, accepted or not, to be compared with `max_steps`.
    """

    train: Float64[NumpyArray, "times n k"]
    test: Float64[NumpyArray, "times m k"] | None
    coefficients: Float64[NumpyArray, "times n k"]
    solver_steps: int


@in_float64()
def linear_flow(
    ntk_train_train: SquareKernel,
    y: Float[AnyArray, "n k"],
    f0_train: Float[AnyArray, "n k"],
    times: Float[AnyArray, "times"],
    *,
    loss_gradient: LossGradient,
    ntk_test_train: Kernel | None = None,
    f0_test: Float[AnyArray, "m k"] | None = None,
    momentum: float | None = None,
    learning_rate: float | None = None,
    rtol: float,
    atol: float,
    max_steps: int,
) -> LinearFlow:
    """Integrate c; outputs at `times` (T,), finite and >= 0, in any order, in the units of the module's docstring.

    Kernels (n, n), (m, n) or (n, n, k, k), (m, n, k, k); y, f0_train (n, k); f0_test (m, k).  `momentum` = beta needs
    `learning_rate` = eta, which enters only the friction (1 - beta)/sqrt(eta).  `rtol`, `atol` bound the local error of
    N k c, whose derivative is of the size of f - y whatever N and k are.

    The solver is explicit: its steps stay below about 5 / (h lambda_max) for a loss whose Hessian in f is at most h
    (for the squared loss h = 1/(N k)), so a horizon t takes at least t h lambda_max / 5 of them however smooth the
    late solution is.

    Raises: UserError for unusable times, an incomplete pair of arguments or a loss in place of its gradient, and if
    `max_steps` do not reach the last time.
    """
    _check(times, ntk_test_train, f0_test, momentum, learning_rate)
    check_targets(ntk_train_train, y, f0_train)
    _check_gradient(loss_gradient, np.shape(y))
    y, f0 = np.asarray(y, dtype=np.float64), np.asarray(f0_train, dtype=np.float64)
    ts, where = np.unique(np.asarray(times, dtype=np.float64), return_inverse=True)
    friction = None if momentum is None or learning_rate is None else (1.0 - momentum) / np.sqrt(learning_rate)
    # hundreds of short operations in float64 with a decision of the host behind each step are no work for an accelerator
    with on_the_host():
        u, reached, tried, solved = _integrate(
            symmetric_kernel(ntk_train_train) / y.size, y, f0, ts, friction, rtol, atol, loss_gradient, max_steps
        )
    if not solved or not np.isfinite(u).all():
        raise UserError(
            f"the ODE solver stopped at t = {float(reached):.4g} of {ts[-1]:.4g} after {int(tried)} steps (max_steps = "
            f"{max_steps}, rtol = {rtol:g}): raise max_steps, loosen rtol, or shorten the horizon"
        )
    c = np.asarray(u)[where] / y.size
    test = None if ntk_test_train is None else np.asarray(f0_test, np.float64) + apply_kernel(ntk_test_train, c)
    return LinearFlow(f0 + apply_kernel(ntk_train_train, c), test, c, int(tried))


def _check(times, ntk_test_train, f0_test, momentum: float | None, learning_rate: float | None) -> None:
    t = np.asarray(times)
    if t.ndim != 1:
        raise UserError(f"times of shape {t.shape}: give them in an array (T,), np.array([1.0]) for one")
    if t.size == 0 or not (np.isfinite(t) & (t >= 0)).all():
        raise UserError(f"times must be finite and >= 0, got {t.tolist()}; for t = inf use closed_form.gradient_flow")
    if (ntk_test_train is None) != (f0_test is None):
        raise UserError("test outputs need both ntk_test_train and f0_test")
    if momentum is None:
        return
    if learning_rate is None or not learning_rate > 0 or not 0 <= momentum < 1:
        raise UserError(f"momentum needs 0 <= momentum < 1 and learning_rate > 0, got {momentum}, {learning_rate}")


def _check_gradient(loss_gradient: LossGradient, shape: tuple[int, ...]) -> None:
    outputs = jax.ShapeDtypeStruct(shape, jnp.float64)
    found = jax.eval_shape(loss_gradient, outputs, outputs)
    if getattr(found, "shape", None) != shape:
        raise UserError(
            f"loss_gradient returns {getattr(found, 'shape', found)} for outputs of shape {shape}: it must return dL/df of the "
            "same shape; of a loss give jax.grad(loss)"
        )


@partial(jax.jit, static_argnames=("loss_gradient", "max_steps"))
def _integrate(
    theta: Float[Array, "rows rows"],
    y: Float[Array, "n k"],
    f0: Float[Array, "n k"],
    ts: Float[Array, "times"],
    friction: Float[Array, ""] | None,
    rtol: Float[Array, ""],
    atol: Float[Array, ""],
    loss_gradient: LossGradient,
    max_steps: int,
):
    """u = N k c (T, n, k) at the increasing times ts, the time reached, the steps tried, whether the solver succeeded.

    theta: flat Theta/(N k), so that f = f_0 + theta u and u' = -N k dL/df are free of N and k.
    """

    def force(u):
        rows = theta @ (u if len(theta) == len(y) else u.reshape(-1, 1))
        return -y.size * loss_gradient(f0 + rows.reshape(y.shape), y)

    def flow(t, state, args):
        if friction is None:
            return (force(state[0]),)
        u, velocity = state
        return velocity, -friction * velocity + force(u)

    # Landing on every requested time makes the tolerance apply to the output itself, not to an interpolant.  The
    # proportional term damps the step size's oscillation about the stability limit, where late times are spent.
    controller = diffrax.PIDController(rtol=rtol, atol=atol, pcoeff=0.3, icoeff=0.4)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(flow),
        diffrax.Dopri8(),
        t0=0.0,
        t1=ts[-1],
        dt0=None,
        y0=(jnp.zeros_like(y),) * (1 if friction is None else 2),
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=ts, fn=lambda t, state, args: state[0]), _LAST_TIME]),
        stepsize_controller=diffrax.ClipStepSizeController(controller, step_ts=ts),
        adjoint=diffrax.ForwardMode(),  # nothing is differentiated: a plain loop, no checkpoints
        max_steps=max_steps,
        throw=False,
    )
    ys: Any = solution.ys  # Optional in the hints: a SaveAt could ask for nothing
    u, reached = ys
    return u, reached[-1], solution.stats["num_steps"], solution.result == diffrax.RESULTS.successful


_LAST_TIME = diffrax.SubSaveAt(t1=True, fn=lambda t, state, args: t)
