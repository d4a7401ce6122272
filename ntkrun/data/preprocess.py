"""Examples as network inputs: ||x||^2 = n_0, h w c for images, at which scale the paper's kernels are O(1).

Every statistic is one of the training examples alone and is applied to the test set as it is.

`zca`, on pixels in [0, 1]: with m and C the mean and the covariance of the training pixels,
C = (1/N) sum_i (x_i - m)(x_i - m)^T, inputs become (C + eps I)^(-1/2) (x - m), then go to the sphere.  C is the MEAN
over examples and eps = 1 is absolute; a sum, or an eps relative to C's eigenvalues, contradicts what is known about it.
Found by kernel regression with the analytic NTK (ReLU, L = 5, sw2 = 2, sb2 = .1; 256 training and 512 test images of
CIFAR-10 airplane/horse; 6 draws of the data, 8 of the initial function f_0 each, an NNGP sample of which a trained
network keeps a part: f = mu + f_0(x) - Theta(x,X) Theta^-1 f_0(X)); mean [smallest, largest] over the draws:

    rule                         lambda_max/N  lambda_2/N   test loss            accuracy            mu: loss, acc.
    sphere                       5.14          .59          .427 [.383, .507]    .728 [.680, .762]   .258  .838
    zca, C mean, eps = 1         5.00          .09          .557 [.504, .646]    .640 [.590, .699]   .315  .818
    zca, C mean, eps = .1        5.00          .05          .657 [.580, .757]    .569 [.521, .641]   .391  .783
    zca, C sum, eps = 1          4.99          .04          .755 [.671, .846]    .515 [.459, .574]   .472  .645
    zca, eps = mean eigenvalue   5.00          .05          .677 [.597, .776]    .557 [.506, .627]   .407  .769
    zca, eps = .1 lambda_max(C)  5.02          .17          .496 [.451, .574]    .684 [.637, .727]   .278  .834

Expected of `zca`: 5.0, .52-.56, .62-.65, and of `sphere`: 5.2, .38-.50, .70-.76.  These include f_0.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import DTypeLike

from ntkrun.errors import UserError
from ntkrun.settings.choices import Preprocess, choices_of
from ntkrun.types import Float, Num, NumpyArray

RULES = choices_of(Preprocess)
# In units of the variance of a pixel in [0, 1], which is about .06 for CIFAR-10: only the 20 or so directions whose
# variance exceeds 1 (the largest is about 57) are shrunk; the many below it keep their relative size.
ZCA_EPS = 1.0

# A chunk of images in float64 -> the same chunk as inputs.
Transform = Callable[[NumpyArray], NumpyArray]

# Rounding alone leaves a centred example of equal images at ||x||^2 = 1e-29; one pixel that differs by 1/255 in one of
# 50,000 images leaves 1e-14.
_SMALLEST_SQUARE = 1e-20

# Examples held as float64 at a time: 25 MB of CIFAR-10.
CHUNK = 1024


def preprocess(
    train: Num[NumpyArray, "n ..."],
    test: Num[NumpyArray, "m ..."],
    rule: str,
    *,
    zca_eps: float = ZCA_EPS,
    dtype: DTypeLike = np.float64,
) -> tuple[Float[NumpyArray, "n ..."], Float[NumpyArray, "m ..."]]:
    """Training and test inputs under one of `RULES`.

    Args:
        train, test: images or vectors; uint8 (taken as pixels / 255), or floating point, taken as pixels in [0, 1].
        rule: "global": (x - mean)/std with one scalar mean and std; ||x||^2 = n_0 on average over the training set.
            "sphere": x minus the training mean image, then each example scaled to ||x||^2 = n_0.
            "per_image": (x - mean)/std with the mean and std of each image; ||x||^2 = n_0, and no other image matters.
            "zca": whitened as above, then as "sphere".
            "standardize": (x - mean)/std of each coordinate; 0 where it is one number in all training examples.  ||x||^2 is
            on average the number of the other coordinates.
        zca_eps: added to the eigenvalues of C, in squared pixel units.
        dtype: of the result; statistics and arithmetic are float64 whichever it is.

    Raises:
        UserError: unknown rule, no training example, constant or non-finite images.
    """
    if rule not in RULES:
        raise UserError(f"data.preprocess={rule} is not known; use one of: {', '.join(RULES)}")
    if len(train) == 0:
        raise UserError("data.preprocess needs at least one training example; raise data.n_train")
    if rule == "zca" and zca_eps <= 0:
        raise UserError(f"zca_eps={zca_eps} must be positive (pixels in [0, 1])")
    rules = {"global": _global, "sphere": _sphere, "per_image": _per_image, "zca": partial(_zca, eps=zca_eps)}
    rules |= {"standardize": _standardize}
    transform = rules[rule](train)
    return _map_chunks(train, transform, dtype), _map_chunks(test, transform, dtype)


def rescale_to_sphere(x: Float[NumpyArray, "n ..."]) -> Float[NumpyArray, "n ..."]:
    """Each example scaled to ||x||^2 = n_0, its number of entries; the dtype of `x`.

    Figure 2 needs it again after interpolating between two inputs.

    Raises:
        UserError: an example is 0 (after centring: it is the mean image, or of one colour) or not finite.
    """
    squares = np.sum(np.square(x, dtype=np.float64), axis=tuple(range(1, x.ndim)), keepdims=True)
    if not (np.isfinite(squares).all() and (squares > _SMALLEST_SQUARE).all()):
        bad = int(np.flatnonzero(~(np.isfinite(squares) & (squares > _SMALLEST_SQUARE)))[0])
        raise UserError(
            f"example {bad} cannot be scaled to a sphere: it is the mean image, of one colour, or not finite; "
            "use more training examples or data.preprocess=global"
        )
    n0 = int(np.prod(x.shape[1:]))
    return (x * np.sqrt(n0 / squares)).astype(x.dtype, copy=False)


def shrunk(images: Num[NumpyArray, "n ..."], size: int) -> Num[NumpyArray, "n ..."]:
    """Pixels in [0, 1] (uint8 are taken as pixels / 255), each the mean over a square of size x size; as they are for 1.

    Raises:
        UserError: squares that do not fill the image.
    """
    if size == 1:
        return images
    if images.ndim != 4:
        raise UserError(f"data.averaged={size}: vectors have no squares of pixels; use data.averaged=1")
    n, h, w, c = images.shape
    if size < 1 or h % size or w % size:
        raise UserError(f"data.averaged={size}: squares of that size do not fill images of {h} x {w} pixels")
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    return images.reshape(n, h // size, size, w // size, size, c).mean(axis=(2, 4), dtype=np.float64) / scale


def _global(train: NumpyArray) -> Transform:
    mean, std = _scalar_statistics(train)
    return lambda part: (part - mean) / std


def _sphere(train: NumpyArray) -> Transform:
    mean = _mean_image(train)
    return lambda part: rescale_to_sphere(part - mean)


def _per_image(_: NumpyArray) -> Transform:
    """Scaling to the sphere divides by the standard deviation: ||x - mean||^2 = n_0 std^2."""
    return lambda part: rescale_to_sphere(part - part.mean(axis=tuple(range(1, part.ndim)), keepdims=True))


def _zca(train: NumpyArray, eps: float) -> Transform:
    mean = _mean_image(train)
    whiten = _whitening(train, mean, eps)
    return lambda part: rescale_to_sphere(whiten((part - mean).reshape(len(part), -1)).reshape(part.shape))


def _standardize(train: NumpyArray) -> Transform:
    mean = _mean_image(train)
    std = np.sqrt(sum(np.square(part - mean).sum(axis=0) for part in _chunks(train)) / len(train))
    varies = std > 1e-12 * np.maximum(
        1.0, np.abs(mean)
    )  # rounding leaves more than 0 of a coordinate that is one number
    if not (np.isfinite(std).all() and varies.any()):
        raise UserError(
            "the training inputs are all the same or not finite, so nothing can be scaled; raise data.n_train"
        )
    return lambda part: np.where(varies, part - mean, 0.0) / np.where(varies, std, 1.0)


def _whitening(train: NumpyArray, mean: NumpyArray, eps: float) -> Transform:
    """Rows x -> sqrt(eps) (C + eps I)^(-1/2) x for centred rows x; the sphere undoes the factor.

    That matrix is I + f(C) C with f(c) = (sqrt(eps/(c + eps)) - 1)/c = -1/(r (r + sqrt(eps))), r = sqrt(c + eps), which
    has no singularity at c = 0.  For C = A^T A / N, A the centred N x n_0 training matrix, f(C) C =
    A^T f(A A^T / N) A / N: whichever of C and the Gram matrix A A^T / N is smaller is diagonalised.
    """
    n, n0 = len(train), mean.size
    if n < n0:
        centred = np.concatenate([part - mean for part in _chunks(train)]).reshape(n, n0)
        eigenvalues, vectors = np.linalg.eigh(centred @ centred.T / n)
        middle = (vectors * (_shrinkage(eigenvalues, eps) / n)) @ vectors.T
        return lambda flat: flat + flat @ centred.T @ middle @ centred
    covariance = np.zeros((n0, n0))
    for part in _chunks(train):
        flat = (part - mean).reshape(len(part), n0)
        covariance += flat.T @ flat / n
    eigenvalues, vectors = np.linalg.eigh(covariance)
    matrix = np.eye(n0) + (vectors * (_shrinkage(eigenvalues, eps) * eigenvalues)) @ vectors.T
    return lambda flat: flat @ matrix


def _shrinkage(eigenvalues: NumpyArray, eps: float) -> NumpyArray:
    # Rounding leaves zero eigenvalues at -1e-15.
    root = np.sqrt(np.maximum(eigenvalues, 0.0) + eps)
    return -1.0 / (root * (root + np.sqrt(eps)))


def _scalar_statistics(train: NumpyArray) -> tuple[float, float]:
    """Mean and standard deviation over all pixels of all training examples; two passes, so nothing cancels."""
    mean = sum(float(part.sum()) for part in _chunks(train)) / train.size
    std = (sum(float(np.square(part - mean).sum()) for part in _chunks(train)) / train.size) ** 0.5
    # A constant float image can leave a rounding error of its mean as its std.
    if not np.isfinite(std) or std <= 1e-12 * max(1.0, abs(mean)):
        raise UserError(
            "the training images are all one colour or not finite, so nothing can be scaled; check data.source"
        )
    return mean, std


def _mean_image(train: NumpyArray) -> NumpyArray:
    total = np.zeros(train.shape[1:])
    for part in _chunks(train):
        total += part.sum(axis=0)
    return total / len(train)


def _chunks(x: NumpyArray) -> Iterator[NumpyArray]:
    scale = 255.0 if x.dtype == np.uint8 else 1.0
    for first in range(0, len(x), CHUNK):
        yield np.asarray(x[first : first + CHUNK], np.float64) / scale


def _map_chunks(x: NumpyArray, function: Transform, dtype: DTypeLike) -> NumpyArray:
    out = np.empty(x.shape, dtype)
    for index, part in enumerate(_chunks(x)):
        out[index * CHUNK : index * CHUNK + len(part)] = function(part)
    return out
