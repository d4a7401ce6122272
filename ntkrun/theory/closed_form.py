"""The linearised network under the squared loss, solved exactly: equations (8)-(11), flow and discrete descent.

Convention: L = 1/2 mean over the N examples AND the k outputs of (f - y)^2, so that grad_f L = (f - y)/(N k); flow
time is t = eta * steps.  With f_lin = f_0 + Theta c and omega_t = J^T c_t, c_0 = 0, every quantity is a function of
Theta alone:

    c_t = -s(Theta) (f_0 - Y),   s(lambda) = (1 - E(lambda)) / lambda,
    E(lambda) = exp(-lambda t/(N k))                     gradient flow,
    E(lambda) = prod_{j<i} (1 - eta_j lambda/(N k))      i steps of gradient descent with rates eta_j.

s is evaluated without cancellation; its limit at lambda = 0 is t/(N k), respectively sum_j eta_j/(N k).
A kernel is (n, n), the same for every output (acts as Theta kron I_k), or (n, n, k, k) with axes [i, j, a, b].
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.linalg

from ntkrun.errors import NonFiniteError, UserError
from ntkrun.kernels.psd import psd_tolerance
from ntkrun.types import Array, Float, Float64, Int, Num, NumpyArray, check_arrays

AnyArray = Array | NumpyArray
Kernel = Float[AnyArray, "m n"] | Float[AnyArray, "m n k k"]
Time = float | int | np.number | Num[AnyArray, "*times"]
SquareKernel = Float[AnyArray, "n n"] | Float[AnyArray, "n n k k"]

# Relative.  Reading one triangle would hide a mistaken argument; the rounding of float32 sums stays well below this.
_ASYMMETRY = 1e-3
_BLOCK = 256  # rates per (modes, rates) work array: 1,280 modes take 2.6 MB


@dataclass(frozen=True)
class Spectrum:
    """Theta = V diag(lambda) V^T: `values` ascending and >= 0, `vectors` in columns.

    `rounding`: eigenvalues up to here cannot be told from 0 (see `spectrum`); only the limit t = inf asks.
    """

    values: Float64[NumpyArray, "modes"]
    vectors: Float64[NumpyArray, "modes modes"]
    rounding: float

    def saturation(self, tau: Float[NumpyArray, "times"]) -> Float64[NumpyArray, "times modes"]:
        """s(lambda) = (1 - exp(-lambda tau))/lambda with tau = t/(N k), inf allowed; s(0) = tau.

        At tau = inf it is 1/lambda, and 0 for null modes (the pseudo-inverse): there J^T v = 0, so neither omega nor
        any output depends on the coefficient, which itself would grow without bound.
        """
        infinite = np.isinf(tau)
        finite = np.where(infinite, 0.0, tau)[:, None]
        z = self.values * finite
        # (1 - e^-z)/z -> 1: dividing by z = 0 is avoided by dividing by 1 instead, every z > 0 is fine with expm1.
        gain = finite * np.where(z > 0, -np.expm1(-z) / np.where(z > 0, z, 1.0), 1.0)
        moving = self.values > self.rounding
        gain[infinite] = np.where(moving, 1.0 / np.where(moving, self.values, 1.0), 0.0)
        return gain


def flatten_blocks(kernel: Kernel) -> Float64[NumpyArray, "rows cols"]:
    """Theta as a float64 matrix: (m, n) stays, (m, n, k, k) becomes (m k, n k) with flat index i*k + a."""
    check_arrays(kernel=kernel)
    if np.ndim(kernel) not in (2, 4):
        raise UserError(f"a kernel has the shape (m, n) or (m, n, k, k), not {np.shape(kernel)}")
    matrix = np.asarray(kernel, dtype=np.float64)
    if matrix.ndim == 4:
        m, n, k, _ = matrix.shape
        matrix = matrix.transpose(0, 2, 1, 3).reshape(m * k, n * k)
    return matrix


def apply_kernel(kernel: Kernel, c: Float[AnyArray, "*times n k"]) -> Float64[NumpyArray, "*times m k"]:
    """Theta c, c (..., n, k): the sum over j, b of Theta[i, j, a, b] c[j, b]; (m, n) acts on each output."""
    matrix, c = flatten_blocks(kernel), np.asarray(c, dtype=np.float64)
    *times, n, k = c.shape
    columns = c.reshape(*times, n * k, 1) if np.ndim(kernel) == 4 else c
    return (matrix @ columns).reshape(*times, len(kernel), k)


def symmetric_kernel(kernel: Kernel) -> Float64[NumpyArray, "rows rows"]:
    """The flat kernel of the training set with itself, symmetrised (rounding only).

    Raises: UserError if it is not square or not symmetric, NonFiniteError if it holds nan or inf.
    """
    matrix = flatten_blocks(kernel)
    if len(matrix) != matrix.shape[1]:
        raise UserError(f"the training kernel has shape {np.shape(kernel)}; pass Theta(X, X), which is square")
    if not np.isfinite(matrix).all():
        raise NonFiniteError(
            "the training kernel holds nan or inf; check the inputs and the width it was computed from"
        )
    asymmetry, largest = np.abs(matrix - matrix.T).max(initial=0.0), np.abs(matrix).max(initial=0.0)
    if asymmetry > _ASYMMETRY * largest:
        raise UserError(
            f"the training kernel is not symmetric: Theta and its transpose differ by {asymmetry / largest:.1e} of its largest "
            "entry; pass Theta(X, X) of the training set with itself"
        )
    return (matrix + matrix.T) / 2


def spectrum(kernel: Kernel) -> Spectrum:
    """Eigendecomposition of Theta(X, X) (n, n) or (n, n, k, k), a positive semi-definite matrix.

    Negative eigenvalues that rounding at the array's own precision explains (`psd_tolerance`) become 0.  As Theta has
    none, the most negative one also measures the kernel's own rounding: positive eigenvalues below its size, or below
    r eps_64 lambda_max, are the null modes of t = inf.

    Raises: UserError for a kernel that is not square, symmetric and positive semi-definite, NonFiniteError for nan or
    inf.
    """
    matrix = symmetric_kernel(kernel)
    # Divide and conquer: all pairs are wanted, and unlike MRRR's its vectors are orthogonal to rounding in clusters.
    values, vectors = scipy.linalg.eigh(matrix, driver="evd", overwrite_a=True, check_finite=False)
    scale = len(values) * np.abs(values).max(initial=0.0)
    smallest = float(values.min(initial=0.0))
    if -smallest > psd_tolerance(len(values), np.dtype(kernel.dtype), np.abs(values).max(initial=0.0)):
        raise UserError(
            f"the training kernel is not positive semi-definite: smallest eigenvalue {smallest:.3g}, largest "
            f"{values[-1]:.3g}; compute it in float64 or check that it is Theta(X, X)"
        )
    rounding = max(scale * float(np.finfo(np.float64).eps), -2.0 * smallest)
    return Spectrum(np.maximum(values, 0.0), vectors, rounding)


@dataclass(frozen=True)
class ClosedForm:
    """f_lin at any time from one eigendecomposition; made by `gradient_flow` or `gradient_descent`.

    `t` is flow time (>= 0, inf allowed) or the number of steps done (0 <= i <= n_steps); a scalar, or an array (T,)
    that puts an axis T in front of every result.  All arrays float64.
    """

    f0_train: Float64[NumpyArray, "n k"]
    theta: Spectrum
    residual: Float64[NumpyArray, "modes cols"]  # V^T (f_0 - Y), (n, k) or (n k, 1)
    gain: Callable[[NumpyArray], NumpyArray]  # times (T,) -> s (T, modes)

    def train_at(self, t: Time) -> Float64[NumpyArray, "*times n k"]:
        """f_lin(X) = (I - E) Y + E f_0(X), eq (10), (n, k); exactly f_0 at t = 0, Y at t = inf if Theta is regular."""
        return self.f0_train - self._rotate_back(t, self.theta.values)

    def coefficients_at(self, t: Time) -> Float64[NumpyArray, "*times n k"]:
        """c_t = -Theta^-1 (I - E)(f_0 - Y), (n, k): omega_t = J^T c_t, eq (8), and f_lin = f_0 + Theta c_t."""
        return -self._rotate_back(t, np.ones_like(self.theta.values))

    def test_at(
        self, t: Time, f0_test: Float[AnyArray, "m k"], ntk_test_train: Kernel
    ) -> Float64[NumpyArray, "*times m k"]:
        """f_lin(x) = f_0(x) + Theta(x, X) c_t = mu + gamma, eqs (10, 11); ntk_test_train (m, n) or (m, n, k, k)."""
        return np.asarray(f0_test, dtype=np.float64) + apply_kernel(ntk_test_train, self.coefficients_at(t))

    def _rotate_back(self, t: Time, weight: NumpyArray) -> NumpyArray:
        """V diag(weight * s) V^T (f_0 - Y) at the time(s) t."""
        times = np.asarray(t)
        if np.isnan(times).any() or (times < 0).any():
            raise UserError(f"times must be >= 0, got {times.min()}")
        modes = (weight * self.gain(np.atleast_1d(times)))[:, :, None] * self.residual
        outputs = np.tensordot(modes, self.theta.vectors, axes=(1, 1)).swapaxes(1, 2)  # one product for all times
        return outputs.reshape(*times.shape, *self.f0_train.shape)


def gradient_flow(
    ntk_train_train: SquareKernel, y: Float[AnyArray, "n k"], f0_train: Float[AnyArray, "n k"]
) -> ClosedForm:
    """Continuous time, eqs (8)-(11), E = exp(-Theta t/(N k)), t = eta * steps.

    ntk_train_train (n, n) or (n, n, k, k); targets y and initial outputs f0_train (n, k).

    Raises: UserError as `spectrum`.
    """
    return _closed_form(ntk_train_train, y, f0_train, lambda theta, t: theta.saturation(t / np.size(y)))


def gradient_descent(
    ntk_train_train: SquareKernel,
    y: Float[AnyArray, "n k"],
    f0_train: Float[AnyArray, "n k"],
    learning_rates: Float[AnyArray, "n_steps"],
) -> ClosedForm:
    """Full-batch descent with the rate eta_j at step j: E_i = prod_{j<i} (1 - eta_j Theta/(N k)), any schedule.

    The time of the methods is the step number i.  Pass many steps as one array: the schedule is then read once.

    Raises: UserError as `spectrum`; from the methods, UserError for a step that is not a whole number in [0, n_steps]
    and NonFiniteError once the product leaves the range of float64 (the rates diverge).
    """
    rates = schedule(learning_rates)
    if not np.isfinite(rates).all():
        raise NonFiniteError("a learning rate of the schedule is nan or inf")
    return _closed_form(
        ntk_train_train, y, f0_train, lambda theta, i: descent_gain(theta.values, rates / np.size(y), i)
    )


def schedule(learning_rates: Any) -> NumpyArray:
    """One rate a step, (n_steps,).  Raises `UserError` for what is none."""
    try:
        rates = np.asarray(learning_rates, dtype=np.float64)
    except (TypeError, ValueError):
        rates = None
    if rates is None or rates.ndim != 1:
        given = f"{learning_rates!r:.40}" if rates is None or rates.ndim == 0 else f"an array {rates.shape}"
        raise UserError(
            f"learning_rates = {given}: they are one rate a step, (n_steps,); for a constant one np.full(n_steps, 0.1)"
        )
    return rates


def steps_to_loss(descent: ClosedForm, y: Float[AnyArray, "n k"], wanted: float, max_steps: int) -> int:
    """The first step at which the train loss of f_lin, 1/2 mean (f_lin - y)^2, is at most `wanted`, else `max_steps`.

    `descent` from `gradient_descent` with rates below 2/lambda_max, under which the loss never rises.
    """

    def loss(step: int) -> float:
        return 0.5 * float(np.mean((descent.train_at(step) - np.asarray(y, np.float64)) ** 2))

    return bisect_left(range(max_steps), True, key=lambda step: loss(step) <= wanted)


def check_targets(kernel: Any, y: Any, f0: Any = None) -> None:
    """UserError unless the targets, and f_0 if given, are (n, k) for the n inputs of the kernel, of which they are."""
    check_arrays(kernel=kernel, targets=y, f0=y if f0 is None else f0)
    if np.ndim(kernel) not in (2, 4):
        raise UserError(f"the training kernel has shape {np.shape(kernel)}; pass Theta(X, X), which is square")
    n, wanted, of = np.shape(kernel)[0], np.shape(y), np.shape(kernel)[-1]
    if len(wanted) != 2 or wanted[0] != n:
        remedy = "for one output write y[:, None]" if wanted == (n,) else f"give one row for each of the {n} inputs"
        raise UserError(f"targets of shape {wanted} for {n} inputs: they must be (n, k); {remedy}")
    if np.ndim(kernel) == 4 and wanted[1] != of:
        raise UserError(
            f"the training kernel {np.shape(kernel)} is of k = {of} outputs, and the targets {wanted} are of {wanted[1]}: they "
            "must be (n, k); a kernel (n, n) is the same for every output, empirical_ntk(..., trace_outputs=True), say"
        )
    if f0 is not None and np.shape(f0) != wanted:
        raise UserError(f"initial outputs of shape {np.shape(f0)} but targets of shape {wanted}: both must be (n, k)")


def _closed_form(ntk_train_train, y, f0_train, gain: Callable[[Spectrum, NumpyArray], NumpyArray]) -> ClosedForm:
    check_targets(ntk_train_train, y, f0_train)
    theta = spectrum(ntk_train_train)
    f0 = np.asarray(f0_train, dtype=np.float64)
    residual = f0 - np.asarray(y, dtype=np.float64)
    columns = residual.reshape(-1, 1) if np.ndim(ntk_train_train) == 4 else residual
    return ClosedForm(f0, theta, theta.vectors.T @ columns, lambda t: gain(theta, t))


def descent_gain(values: NumpyArray, rates: NumpyArray, steps: Int[NumpyArray, "times"] | NumpyArray) -> NumpyArray:
    """s(lambda) (T, modes) after each of `steps` (T,); `rates` (n_steps,) are already divided by N k."""
    order, where = np.unique(steps, return_inverse=True)
    if (order != np.floor(order)).any() or (order > len(rates)).any():
        raise UserError(
            f"step numbers must be whole and at most {len(rates)} (the length of the schedule), got {order[-1]}"
        )
    order = order.astype(np.int64)
    log_size, flips, travelled = np.zeros_like(values), np.zeros(len(values), dtype=np.int64), 0.0
    gain = np.empty((len(order), len(values)))
    for row, (start, stop) in enumerate(pairwise([0, *order.tolist()])):
        more_log, more_flips = _log_product(values, rates[start:stop])
        log_size, flips, travelled = log_size + more_log, flips + more_flips, travelled + rates[start:stop].sum()
        gain[row] = _one_minus_product(values, log_size, flips, travelled, stop)
    return gain[where.reshape(-1)]


def _log_product(values: NumpyArray, rates: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
    """log |prod_j (1 - eta_j lambda)| and the number of negative factors, each (modes,)."""
    # The factors commute, so only the multiset of rates matters: a constant stretch of any length costs one logarithm.
    distinct, counts = np.unique(rates, return_counts=True)
    log_size, flips = np.zeros_like(values), np.zeros(len(values), dtype=np.int64)
    for start in range(0, len(distinct), _BLOCK):
        x, times = values[:, None] * distinct[start : start + _BLOCK], counts[start : start + _BLOCK]
        with np.errstate(divide="ignore"):  # x = 1 removes the mode at once: log 0 = -inf, E = 0
            # |1 - x| = 1 - min(x, 2 - x), and 2 - x is exact in floating point for x in [1, 4].
            log_size += np.sum(np.log1p(-np.minimum(x, 2.0 - x)) * times, axis=1)
        flips += np.sum((x > 1.0) * times, axis=1)
    return log_size, flips


def _one_minus_product(
    values: NumpyArray, log_size: NumpyArray, flips: NumpyArray, travelled: float, step: int
) -> NumpyArray:
    """(1 - E)/lambda from log|E| and the sign of E; sum_j eta_j at lambda = 0."""
    if log_size.max(initial=0.0) > 700.0:  # e^709 is the largest float64
        raise NonFiniteError(
            f"gradient descent has diverged by step {step}: lower the learning rate below 2/lambda_max(Theta/(N k))"
        )
    # E < 0 needs eta lambda > 1 somewhere, hence lambda away from 0: there 1 - E = 1 + |E| is a plain sum.
    numerator = np.where(flips % 2 == 0, -np.expm1(log_size), 1.0 + np.exp(log_size))
    moving = values > 0
    return np.where(moving, numerator / np.where(moving, values, 1.0), travelled)
