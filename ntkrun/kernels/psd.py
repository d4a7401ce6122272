"""Is a kernel positive semi-definite, up to the rounding it was computed with?"""

from typing import Any

import numpy as np
import scipy.linalg

from ntkrun.errors import NonFiniteError, UserError
from ntkrun.types import AnyArray, Float

_ROUNDINGS = 10  # behind one entry: a few per layer of the recursion, which small kernels feel more than their sums


def psd_tolerance(rows: int, dtype: Any, largest: float) -> float:
    """How negative rounding at the precision of `dtype` can make an eigenvalue of a kernel with lambda_max = `largest`.

    Entries rounded at eps move an eigenvalue by at most eps ||K||_F <= sqrt(r) eps lambda_max, the solver and sums of r
    terms by r eps lambda_max.
    """
    return (rows + _ROUNDINGS) * float(np.finfo(dtype).eps) * largest


def check_psd(kernel: Float[AnyArray, "n n"], name: str) -> None:
    """Raises `UserError` naming the smallest eigenvalue if it is below -`psd_tolerance`, NonFiniteError for nan or inf.

    A Cholesky factorisation (n^3/3) of K + tolerance I says yes; only where it says no are the eigenvalues computed.
    For use where no eigendecomposition of the kernel is taken anyway: `closed_form.spectrum` checks its own.
    """
    given = np.asarray(kernel)
    matrix = given.astype(np.float64)
    if not np.isfinite(matrix).all():
        raise NonFiniteError(f"kernel {name} holds nan or inf; check the inputs it was computed from")
    # The mean row sum and the largest diagonal entry are Rayleigh quotients, which lambda_max is not below.
    bound = max(float(matrix.sum()) / max(len(matrix), 1), float(np.diagonal(matrix).max(initial=0.0)), 0.0)
    shifted = matrix.copy()
    np.fill_diagonal(shifted, np.diagonal(matrix) + psd_tolerance(len(matrix), given.dtype, bound))
    try:
        scipy.linalg.cholesky(shifted, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        values = scipy.linalg.eigvalsh(matrix, check_finite=False)
        if values[0] < -psd_tolerance(len(matrix), given.dtype, max(float(values[-1]), 0.0)):
            raise UserError(
                f"kernel {name} is not positive semi-definite: its smallest eigenvalue is {values[0]:.3e}, its largest "
                f"{values[-1]:.3e}; compute it in float64 or check that it is the kernel of inputs with themselves"
            ) from None
