"""The distribution of outputs of infinitely wide networks after training: equations (13)-(16), (S20)-(S23).

Convention: L = 1/2 mean over the N examples and the k outputs of (f - y)^2, so E = exp(-Theta t/(N k)) with
t = eta * steps.  Outputs are independent with one covariance; the mean differs per output through its targets.
In the eigenbasis of the driving kernel, Theta(X, X) = V diag(lambda) V^T, only the diagonal matrix of
s = (1 - exp(-lambda t/(N k)))/lambda depends on time, so one decomposition and one rotation of the other kernels serve
all times.  For N = 1,000, `ntk_gp` at 100 times costs 1.1, 1.4, 1.6 times one time for 20, 50, 100 test points.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ntkrun.errors import UserError
from ntkrun.kernels.blocks import slices
from ntkrun.kernels.psd import check_psd
from ntkrun.theory.closed_form import AnyArray, Spectrum, check_targets, descent_gain, schedule, spectrum
from ntkrun.types import Float, Float64, NumpyArray, check_arrays

_BLOCK_POINTS = 128  # test points treated together: r 128 N numbers, 30 MB for N = 1,000
_BLOCK_MODES = 256  # columns of A H formed together: 20 MB for 100 times and 100 points


@runtime_checkable
class KernelPair(Protocol):
    """The two infinite-width kernels between the same two sets of inputs, each (rows, cols)."""

    @property
    def nngp(self) -> Float[AnyArray, "rows cols"]:
        """K, the covariance of the outputs at initialization."""
        ...

    @property
    def ntk(self) -> Float[AnyArray, "rows cols"]:
        """Theta, the tangent kernel."""
        ...


@dataclass(frozen=True)
class OutputDistribution:
    """A Gaussian over functions at each time: `mean` (T, m, k), `covariance` (T, m, m), the same for every output.

    The covariance is symmetric to the bit, and otherwise as computed: where the true variance vanishes (training
    points, late times) rounding of the size 1e-16 K may leave it slightly negative; clip before taking a square root.
    With `diagonal_only` the covariance is (T, m), the variances.
    """

    mean: Float64[NumpyArray, "times m k"]
    covariance: Float64[NumpyArray, "times m *other"]


def ntk_gp(
    train_train: KernelPair,
    test_train: KernelPair,
    test_test: KernelPair,
    y_train: Float[AnyArray, "n k"],
    times: Float[AnyArray, "times"],
    *,
    learning_rates: Float[AnyArray, "n_steps"] | None = None,
    diag_reg: float = 0.0,
    diagonal_only: bool = False,
) -> OutputDistribution:
    """All layers trained by gradient flow, eqs (14, 15), and (16) at t = inf; times (T,) = eta * steps >= 0.

        mu    = A Y,                                     A = Theta(x, X) Theta^-1 (I - E)    (m, n)
        Sigma = K(x, x') + A K(X, X) A^T - (A K(X, x') + h.c.)

    With `learning_rates` it is gradient descent instead, E_i = prod_{j<i} (I - eta_j Theta/(N k)), and `times` are the
    numbers of steps i: (14, 15) hold for any E that is a function of Theta.

    Kernels (n, n), (m, n), (m, m); y_train (n, k).  `diag_reg` replaces Theta(X, X) in E and in the inverse by

        Theta(X, X) + r I,    r = diag_reg * mean of diag Theta(X, X),

    so that it means the same whatever the kernel's scale; an amount r itself is diag_reg = r / mean of the diagonal.
    Theta(x, X) and K stay as they are, at every x: at a training point the row is Theta(x, X) without r, and at t = inf
    the mean there is Theta (Theta + r I)^-1 Y, short of the target.  0 is safe for singular kernels: a null mode never
    moves an output, and t = inf leaves it out.

    Raises: UserError for kernels of other shapes, one that is not positive semi-definite, or a negative time;
    NonFiniteError.
    """
    _check_kernels(train_train, test_train, test_test, ("nngp", "ntk"))
    check_targets(train_train.ntk, y_train)
    theta = _driving_spectrum(train_train.ntk, diag_reg)
    check_psd(train_train.nngp, "K(X, X)")
    check_psd(test_test.nngp, "K(x, x')")
    b = _float64(test_train.ntk) @ theta.vectors
    g = _float64(test_train.nngp) @ theta.vectors
    rotated = theta.vectors.T @ (_float64(train_train.nngp) @ theta.vectors)
    gain = _gain(theta, times, y_train, learning_rates)
    z = _half_change(b, g, (rotated + rotated.T) / 2, gain, diagonal_only)
    covariance = _add_prior(test_test.nngp, z, diagonal_only)
    return OutputDistribution(_mean(theta, b, gain, y_train), covariance)


def nngp_gp(
    train_train: KernelPair,
    test_train: KernelPair,
    test_test: KernelPair,
    y_train: Float[AnyArray, "n k"],
    times: Float[AnyArray, "times"],
    *,
    learning_rates: Float[AnyArray, "n_steps"] | None = None,
    diag_reg: float = 0.0,
    diagonal_only: bool = False,
) -> OutputDistribution:
    """Only the readout trained, eqs (S22, S23); the NNGP posterior (13) at t = inf; times (T,) = eta * steps >= 0.

        mu    = K(x, X) K^-1 (I - exp(-K t/(N k))) Y
        Sigma = K(x, x') - K(x, X) K^-1 (I - exp(-2 K t/(N k))) K(X, x')

    The 2 is missing in the printed (S23); (S20) has it: with Theta = K and e = exp(-lambda t/(N k)) each mode of (15)
    gives (1 - e)^2 - 2 (1 - e) = -(1 - e^2), whatever e is.  Arguments, shapes and errors as `ntk_gp`;
    `diag_reg` applies to K(X, X), and only `.nngp` is read.
    """
    _check_kernels(train_train, test_train, test_test, ("nngp",))
    check_targets(train_train.nngp, y_train)
    spectrum_k = _driving_spectrum(train_train.nngp, diag_reg)
    check_psd(test_test.nngp, "K(x, x')")
    b = _float64(test_train.nngp) @ spectrum_k.vectors
    gain = _gain(spectrum_k, times, y_train, learning_rates)
    # Linear in (1 - e^2)/lambda = s (2 - lambda s), and again formed for a basis of its time dependence.
    mix, basis = _compress(gain * (2.0 - spectrum_k.values * gain))
    if diagonal_only:
        z = -0.5 * mix @ (basis @ (b * b).T)
    else:
        z = -0.5 * np.tensordot(mix, np.stack([(b * w) @ b.T for w in basis]), axes=1)
    covariance = _add_prior(test_test.nngp, z, diagonal_only)
    return OutputDistribution(_mean(spectrum_k, b, gain, y_train), covariance)


def _check_kernels(
    train_train: KernelPair, test_train: KernelPair, test_test: KernelPair, read: tuple[str, ...]
) -> None:
    """UserError unless each has the kernels that are `read`, between the inputs that its name says."""
    given = {"train_train": train_train, "test_train": test_train, "test_test": test_test}
    for name, pair in given.items():
        if not all(hasattr(pair, kernel) for kernel in read):
            raise UserError(f"{name} is {type(pair).__name__}: give both kernels, ntkrun.Kernels(nngp=..., ntk=...)")
    for kernel in read:
        shapes = {name: np.shape(getattr(pair, kernel)) for name, pair in given.items()}
        n, m = (shapes[name][:1] for name in ("train_train", "test_test"))
        if len(n + m) < 2 or shapes != {"train_train": n + n, "test_train": m + n, "test_test": m + m}:
            told = ", ".join(f"{name}.{kernel} {shape}" for name, shape in shapes.items())
            raise UserError(f"kernels of shapes {told}: (n, n), (m, n), (m, m) for n training and m test inputs")


def _float64(x: Float[AnyArray, "..."]) -> Float64[NumpyArray, "..."]:
    return np.asarray(x, dtype=np.float64)


def _gain(
    theta: Spectrum,
    times: Float[AnyArray, "times"],
    y_train: Float[AnyArray, "n k"],
    learning_rates: Float[AnyArray, "n_steps"] | None,
) -> Float64[NumpyArray, "times n"]:
    """s = (1 - E)/lambda of flow after t/(N k), or of descent after that many steps of these rates."""
    check_arrays(times=np.asarray(times))
    t = _float64(times)
    if t.ndim != 1:
        raise UserError(f"times of shape {t.shape}: give them in an array (T,), np.array([1.0]) for one")
    if t.size == 0 or not (t >= 0).all():
        raise UserError(f"times must be at least one number >= 0 (inf allowed), got {t.tolist()}")
    if learning_rates is None:
        return theta.saturation(t / np.size(y_train))
    return descent_gain(theta.values, schedule(learning_rates) / np.size(y_train), t)


def _driving_spectrum(kernel: Float[AnyArray, "n n"], diag_reg: float) -> Spectrum:
    """Spectrum of the kernel that moves the outputs, plus diag_reg times its mean diagonal."""
    if diag_reg < 0:
        raise UserError(f"diag_reg must be >= 0, got {diag_reg}")
    if diag_reg == 0:
        return spectrum(kernel)
    matrix = np.array(kernel)  # a copy in its own dtype, which sets the tolerance for negative eigenvalues
    np.fill_diagonal(matrix, np.diagonal(matrix) + diag_reg * np.mean(np.diagonal(matrix)))
    return spectrum(matrix)


def _compress(
    gain: Float64[NumpyArray, "times n"],
) -> tuple[Float64[NumpyArray, "times r"], Float64[NumpyArray, "r n"]]:
    """gain = mix @ basis to 1e-15 in norm, r <= T: decaying exponentials are nearly dependent (r about 30 of 100).

    Each mode is scaled by its largest gain first, so that what is dropped is small beside every mode's own size.
    """
    largest = gain.max(axis=0)
    scale = np.where(largest > 0, largest, 1.0)
    u, s, w = np.linalg.svd(gain / scale, full_matrices=False)
    keep = s >= 1e-15 * s[0]  # a few eps: beyond lies the rounding of the gains themselves; t = 0 alone keeps a 0
    return u[:, keep] * s[keep], w[keep] * scale


def _half_change(
    b: Float64[NumpyArray, "m n"],
    g: Float64[NumpyArray, "m n"],
    rotated: Float64[NumpyArray, "n n"],
    gain: Float64[NumpyArray, "times n"],
    diagonal_only: bool,
) -> Float64[NumpyArray, "times m *other"]:
    """Z = (A H - G) A^T, (T, m, m) or its diagonal (T, m), with A = b diag(gain) and K = H + H^T, H lower triangular.

    A K A^T - (G A^T + h.c.) = Z + Z^T.  A H, half of m n^2, is linear in the gain: it is formed for a basis of the gains
    and mixed for each time, some of its columns at once.
    """
    half = np.tril(rotated)
    np.fill_diagonal(half, 0.5 * np.diagonal(rotated))
    mix, basis = _compress(gain)
    z = np.zeros((len(gain), len(b)) if diagonal_only else (len(gain), len(b), len(b)))
    for rows in slices(len(b), _BLOCK_POINTS):
        weighted = basis[:, None] * b[rows]
        for modes in slices(len(half), _BLOCK_MODES):
            below = weighted[:, :, modes.start :].reshape(-1, len(half) - modes.start) @ half[modes.start :, modes]
            change = (mix @ below.reshape(len(basis), -1)).reshape(len(gain), -1, below.shape[1])
            change -= g[rows, modes]
            change *= gain[:, None, modes]
            if diagonal_only:
                z[:, rows] += np.einsum("tmn,mn->tm", change, b[rows, modes])
            else:
                z[:, rows] += (change.reshape(-1, change.shape[2]) @ b[:, modes].T).reshape(len(gain), -1, len(b))
    return z


def _add_prior(
    prior: Float[AnyArray, "m m"], z: Float64[NumpyArray, "times m *other"], diagonal_only: bool
) -> Float64[NumpyArray, "times m *other"]:
    """K(x, x') + Z + Z^T, or its diagonal."""
    k = _float64(prior)
    return np.diagonal(k) + 2.0 * z if diagonal_only else (k + k.T) / 2 + (z + z.swapaxes(1, 2))


def _mean(
    theta: Spectrum,
    b: Float64[NumpyArray, "m n"],
    gain: Float64[NumpyArray, "times n"],
    y_train: Float[AnyArray, "n k"],
) -> Float64[NumpyArray, "times m k"]:
    """mu = B diag(s) V^T Y with B = Theta(x, X) V."""
    return b @ (gain[:, :, None] * (theta.vectors.T @ _float64(y_train)))
