"""Examples as network inputs: ||x||^2 = n_0, h w c for images, at which scale the paper's kernels are O(1).

Every statistic is one of the training examples alone and is applied to the test set as it is.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import DTypeLike

from ntkrun.errors import UserError
from ntkrun.settings.choices import Preprocess, choices_of
from ntkrun.types import Float, Num, NumpyArray

RULES = choices_of(Preprocess)

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
    dtype: DTypeLike = np.float64,
) -> tuple[Float[NumpyArray, "n ..."], Float[NumpyArray, "m ..."]]:
    """Training and test inputs under one of `RULES`.

    Args:
        train, test: images or vectors; uint8 (taken as pixels / 255), or floating point, taken as pixels in [0, 1].
        rule: "global": (x - mean)/std with one scalar mean and std; ||x||^2 = n_0 on average over the training set.
            "sphere": x minus the training mean image, then each example scaled to ||x||^2 = n_0.
            "per_image": (x - mean)/std with the mean and std of each image; ||x||^2 = n_0, and no other image matters.
            "standardize": (x - mean)/std of each coordinate; 0 where it is one number in all training examples.  ||x||^2 is
            on average the number of the other coordinates.
        dtype: of the result; statistics and arithmetic are float64 whichever it is.

    Raises:
        UserError: unknown rule, no training example, constant or non-finite images.
    """
    if rule not in RULES:
        raise UserError(f"data.preprocess={rule} is not known; use one of: {', '.join(RULES)}")
    if len(train) == 0:
        raise UserError("data.preprocess needs at least one training example; raise data.n_train")
    rules = {"global": _global, "sphere": _sphere, "per_image": _per_image, "standardize": _standardize}
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
