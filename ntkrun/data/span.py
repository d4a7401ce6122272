"""An orthonormal basis of the span of a figure's inputs: far fewer coordinates than pixels, and nothing else changes."""

import numpy as np

from ntkrun.errors import UserError
from ntkrun.types import Float, Float64, NumpyArray

# Relative to the largest singular value: what is below is rounding of the inputs, and inputs outside the span by less
# than a few times that are in it.
_NEGLIGIBLE = 1e-10


def span_coordinates(
    train: Float[NumpyArray, "n ..."], *others: Float[NumpyArray, "m ..."]
) -> tuple[Float64[NumpyArray, "rows r"], ...]:
    """Inputs x in the span of `train` as sqrt(r/n_0) V^T x, r = rank <= n columns of V an orthonormal basis of it.

    In the NTK parameterization this changes nothing in distribution, before or after training.  The first layer is
    h = sigma_w/sqrt(n_0) omega^T x, and x = V V^T x gives h = sigma_w/sqrt(n_0) (V^T omega)^T (V^T x), where V^T omega
    (r, n) again has independent N(0, 1) entries.  A `Dense` layer of fan-in r divides by sqrt(r): the factor
    sqrt(r/n_0) makes up for that, h = sigma_w/sqrt(r) (V^T omega)^T (sqrt(r/n_0) V^T x), and dh/d(V^T omega) likewise,
    so that gradient descent moves V^T omega as it moves omega (whose part outside the span never moves).  Inner
    products keep x.x'/n_0, and with it every kernel; ||x||^2 = n_0 becomes ||x||^2 = r.

    V has the right singular vectors of `train` as columns, each with its entry of largest modulus positive: a singular
    vector is determined up to its sign alone, and what LAPACK returns may turn with the last digit of an input.

    Raises: UserError for an input outside the span.
    """
    flat = [np.asarray(x, np.float64).reshape(len(x), -1) for x in (train, *others)]
    _, values, rows = np.linalg.svd(flat[0], full_matrices=False)
    rows = rows[values > _NEGLIGIBLE * values[0]]
    largest = np.argmax(np.abs(rows), axis=1)
    basis = (np.sign(rows[np.arange(len(rows)), largest])[:, None] * rows).T
    n0, r = basis.shape
    found = []
    for x in flat:
        coordinates = x @ basis
        if not np.allclose(coordinates @ basis.T, x, rtol=0, atol=1e-8 * np.abs(x).max(initial=0.0)):
            raise UserError("an input lies outside the span of the training inputs: it has no coordinates there")
        found.append(np.sqrt(r / n0) * coordinates)
    return tuple(found)
