"""The largest stable learning rate of the linearised network: eta_critical of Theorem 2.1.

Convention: the loss is the average over the N examples and the k outputs (L = 1/2 mean (f - y)^2, or the mean of -y
log softmax f), so that the outputs move by -eta Theta/(N k) times the per-entry gradient, and eta is the rate of
Figures 1-4.
"""

from typing import Any, Literal

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import eigsh

from ntkrun.errors import UserError
from ntkrun.notation.stable_products import heavy_ball
from ntkrun.theory.closed_form import Kernel, symmetric_kernel
from ntkrun.types import NumpyArray, check_arrays, check_number

DENSE_ROWS = 2000  # half a second; beyond, the dense cost grows with the cube of the rows and Lanczos' with the square
# ARPACK stops at a residual of this fraction of lambda_max; for a symmetric matrix an eigenvalue's error is at most its
# residual, and quadratically smaller when it is separated from its neighbours.
_LANCZOS_RESIDUAL = 1e-6
# Lowest and highest eigenvalue of a loss' Hessian in the outputs of one example; derived in `eta_critical`.
CURVATURE = {"mse": (1.0, 1.0), "cross_entropy": (0.0, 0.5)}


def extreme_eigenvalues(ntk: Kernel) -> tuple[float, float]:
    """(lambda_min, lambda_max) of Theta(X, X), (n, n) or (n, n, k, k) as an (n k, n k) matrix; not divided by N k.

    Up to 2,000 rows from the whole spectrum, exact to rounding; above by Lanczos, to 1e-6 lambda_max in both ends.

    Raises: UserError for a kernel that is not square and symmetric, NonFiniteError for nan or inf.
    """
    matrix = symmetric_kernel(ntk)
    if len(matrix) <= DENSE_ROWS:
        values = scipy.linalg.eigh(matrix, eigvals_only=True, driver="evd", overwrite_a=True, check_finite=False)
        return float(values[0]), float(values[-1])
    return _lanczos_extremes(matrix)


def eta_critical(
    ntk_train_train: Kernel,
    n_outputs: int,
    *,
    loss: Literal["mse", "cross_entropy"] = "mse",
    momentum: float = 0.0,
    stable_product: float | None = None,
) -> float:
    """Theorem 2.1: eta_critical = 2/(lambda_min + lambda_max) of h Theta/(N k), for Theta (n, n) or (n, n, k, k).

    Squared loss, h = 1: below 2/lambda_max a mode contracts by |1 - eta lambda| < 1, and at 2/(lambda_min +
    lambda_max) the fastest and the slowest contract equally, the best rate there is.

    `momentum` = beta > 0, heavy ball: the limit of stability instead, 2 (1 + beta)/lambda_max (`heavy_ball`).  A mode obeys
    r^2 - (1 + beta - eta lambda) r + beta = 0, and both roots lie inside the unit circle iff beta < 1 and
    0 < eta lambda < 2 (1 + beta); at the upper end one root is -1.

    `stable_product`: stable_product/lambda_max, for any other optimizer whose steps are stable up to that eta lambda,
    (2 + 2 beta)/(1 + 2 beta) of Nesterov's, say; instead of `momentum`.

    Cross-entropy: the Hessian in the logits is diag(p) - p p^T for targets that sum to 1 (times their sum otherwise).
    Gershgorin's discs put its eigenvalues in [0, max 2 p (1 - p)], within [0, 1/2], and 0 is attained by shifting all
    logits. So lambda_min = 0 and lambda_max <= lambda_max(Theta)/(2 N k): the rate returned is never unstable, but
    larger ones may be stable too, the more so as p saturates.

    Raises: UserError as `extreme_eigenvalues`, for an unknown loss, a momentum outside [0, 1), a stable_product that is
    not positive or comes with a momentum, an n_outputs that contradicts the kernel, and a kernel that is zero.
    """
    check_arrays(kernel=ntk_train_train)
    for name, number in (("n_outputs", n_outputs), ("momentum", momentum), ("stable_product", stable_product)):
        if number is not None:
            check_number(name, number)
    n = len(ntk_train_train)
    if np.ndim(ntk_train_train) == 4 and ntk_train_train.shape[2] != n_outputs:
        raise UserError(f"the kernel has {ntk_train_train.shape[2]} outputs, n_outputs says {n_outputs}")
    if n_outputs < 1:
        raise UserError(f"n_outputs = {n_outputs}: a network has at least one output")
    if loss not in CURVATURE:
        raise UserError(f"unknown loss {loss!r}: use {' or '.join(CURVATURE)}")
    if not 0.0 <= momentum < 1.0:
        raise UserError(f"momentum must be in [0, 1), got {momentum}")
    if stable_product is not None and (momentum or not stable_product > 0.0):
        raise UserError(
            f"stable_product = {stable_product} must be above 0 and stands in place of momentum = {momentum}: give one of the two"
        )
    smallest, largest = extreme_eigenvalues(ntk_train_train)
    if not largest > 0.0:
        raise UserError("the training kernel is zero: no learning rate is too large, and nothing is learnt")
    rows = n * n_outputs
    product = heavy_ball(momentum) if momentum > 0.0 else stable_product
    return stable_rate(smallest / rows, largest / rows, loss=loss, stable_product=product)


def stable_rate(smallest: float, largest: float, *, loss: str, stable_product: float | None) -> float:
    """The rate of `eta_critical` from the extreme eigenvalues of Theta/(N k); None: of plain gradient descent."""
    lowest, highest = CURVATURE[loss]
    smallest, largest = lowest * smallest, highest * largest
    if stable_product is not None:
        return stable_product / largest
    return 2.0 / (max(smallest, 0.0) + largest)  # below 0 only by rounding


def _lanczos_extremes(matrix: NumpyArray) -> tuple[float, float]:
    """(lambda_min, lambda_max) of a positive semi-definite matrix by products with vectors; overwrites it."""
    if not matrix.any():
        return 0.0, 0.0
    start = np.random.default_rng(0).standard_normal(len(matrix))  # fixed: the same matrix gives the same numbers
    largest = _top(matrix, start)
    # ARPACK's criterion is relative to the eigenvalue sought, which lambda_min, often near 0, would never meet.  Seen
    # from the other end, 2 lambda_max I - Theta, it is the largest one and of the size of lambda_max.
    np.negative(matrix, out=matrix)
    np.fill_diagonal(matrix, np.diagonal(matrix) + 2.0 * largest)
    return 2.0 * largest - _top(matrix, start), largest


def _top(matrix: NumpyArray, start: NumpyArray) -> float:
    """The largest eigenvalue."""
    tol: Any = _LANCZOS_RESIDUAL  # scipy's hints call it an int
    values = eigsh(matrix, k=1, which="LA", v0=start, ncv=40, tol=tol, return_eigenvectors=False, maxiter=len(start))
    return float(np.asarray(values).item())
