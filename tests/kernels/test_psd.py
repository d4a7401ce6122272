"""What is refused as indefinite, and what rounding excuses."""

import numpy as np
import pytest

from ntkrun.errors import NonFiniteError, UserError
from ntkrun.kernels.psd import check_psd, psd_tolerance

EPS = np.finfo(np.float64).eps


def with_smallest(value: float, n: int = 40) -> np.ndarray:
    """A symmetric matrix of eigenvalues `value`, 0, ..., 0, 1 and random eigenvectors."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))
    kernel = q @ np.diag([value, *np.zeros(n - 2), 1.0]) @ q.T
    return (kernel + kernel.T) / 2


def test_an_eigenvalue_below_rounding_is_named():
    message = r"kernel K is not positive semi-definite: its smallest eigenvalue is -1\.000e\+00"
    with pytest.raises(UserError, match=message):
        check_psd(np.array([[0.0, 1.0], [1.0, 0.0]]), "K")
    with pytest.raises(UserError, match=r"smallest eigenvalue is -1\.0\d\de-12"):
        check_psd(with_smallest(-1e-12), "K")


def test_what_rounding_can_do_is_no_error():
    check_psd(np.ones((3, 3)), "ones")
    check_psd(np.zeros((3, 3)), "zero")
    check_psd(with_smallest(0.0), "singular")
    check_psd(with_smallest(-0.5 * psd_tolerance(40, np.float64, 1.0)), "K")
    single = with_smallest(-1e-6).astype(np.float32)  # 50 eps of float32 are 6e-6
    check_psd(single, "float32")
    with pytest.raises(UserError, match="smallest eigenvalue"):
        check_psd(single.astype(np.float64), "the same in float64")


def test_nan_is_another_error():
    with pytest.raises(NonFiniteError, match="kernel K holds nan"):
        check_psd(np.array([[np.nan]]), "K")
