"""Inputs in an orthonormal basis of their own span: the same networks, a narrower first layer.

n inputs of d > n dimensions span at most n of them: X = Z Q^T with orthonormal columns Q (d, r), r = n.  The first
layer computes sigma_w / sqrt(d) X omega = sigma_w / sqrt(d) Z (Q^T omega), and Q^T omega is again standard normal; the
gradient with respect to omega is Q times that with respect to Q^T omega, so the d - r left-out dimensions never move.
Exact in distribution for every network, rule of descent and time: outputs, both kernels and theta_t - theta_0 are those
of the full inputs; only ||omega|| lacks the left-out part, whose square is chi^2 with (d - r) n_1 degrees of freedom.
"""

import numpy as np

from ntkrun.types import Float, NumpyArray


def span_coordinates(x: Float[NumpyArray, "n *d"]) -> Float[NumpyArray, "n r"]:
    """sqrt(r/d) Z for r = min(n, d), in the dtype of x; the factor makes sigma_w / sqrt(fan-in) of a layer that sees r
    inputs what it is on d.

    All inputs that a network will see have to be given at once.  Known equal: x x'/d = z z'/r for every pair (tests).
    """
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    rank = min(flat.shape)
    # Q from the QR of X^T: Z = R^T, orthonormal whatever the rank of X; r is a matter of shapes, never of a tolerance.
    if flat.shape[1] <= len(flat):
        return flat.astype(x.dtype, copy=False)
    triangle = np.asarray(np.linalg.qr(flat.T, mode="r"))
    return (np.sqrt(rank / flat.shape[1]) * triangle.T).astype(x.dtype, copy=False)
