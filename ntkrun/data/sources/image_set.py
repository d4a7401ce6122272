"""Two splits of examples with their labels or targets, and the hash that identifies them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ntkrun.errors import UserError
from ntkrun.types import Float64, Int, Num, NumpyArray


@dataclass(frozen=True)
class SomeImages:
    """Some rows of a split of `total` images, read by the rows of the whole; what is not there is an error, never zeros.

    Attributes:
        rows: rows of the whole split, ascending.
        pixels: the images of these rows.
        origin: the file that they are from and the split, for the person at the keyboard.
    """

    rows: Int[NumpyArray, " r"]
    pixels: Num[NumpyArray, "r ..."]
    total: int
    origin: str

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.total, *self.pixels.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.pixels.dtype

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, rows: Int[NumpyArray, " n"]) -> Num[NumpyArray, "n ..."]:
        return self.pixels[self.places(rows)]

    def places(self, rows: Int[NumpyArray, " n"]) -> Int[NumpyArray, " n"]:
        """Where `rows` of the whole lie in `pixels`; UserError when one of them is not there."""
        absent = int(np.isin(rows, self.rows, invert=True).sum())
        if absent:
            raise UserError(
                f"{absent} of the {len(rows)} images asked for are not among the {len(self.rows)} (of {self.total}) in "
                f"{self.origin}, which was made for other data.n_train, data.n_test, data.classes or data.seed: make a "
                "bundle with the command that you run"
            )
        return np.searchsorted(self.rows, rows)


@dataclass(frozen=True)
class ImageSet:
    """Labelled images as they were decoded: 0..255, in the order of their source; or what a file of the user's holds.

    Attributes:
        name: what the images truly are: "mnist", "cifar10", "mnist5k", "photos", "own" or a name of TFDS.
        requested: what was asked for: "mnist", "cifar10", "own" or a name of TFDS.
        source: "tfds", "stand_in" or "own".
        train_images, test_images: uint8 (n, h, w, c), of the user's also floating point and vectors (n, d); read-only,
            memory-mapped when they come from the cache, some rows only when they come from a bundle.
        train_labels, test_labels: int64 (n,), indices into `class_names`; targets, float64 (n, k), of a set without classes.
        class_names: () for a set without classes.
        fingerprint: sha256 of the four whole arrays, see `fingerprint_of`.
        file: the user's, as it was named.
        split: how training and test set were told apart, where the source does not say.
        read_from: the dtype of the inputs in the user's file, where they are worked with in another.
    """

    name: str
    requested: str
    source: str
    train_images: Num[NumpyArray, "n ..."] | SomeImages
    train_labels: Int[NumpyArray, " n"] | Float64[NumpyArray, "n k"]
    test_images: Num[NumpyArray, "m ..."] | SomeImages
    test_labels: Int[NumpyArray, " m"] | Float64[NumpyArray, "m k"]
    class_names: tuple[str, ...]
    fingerprint: str
    file: str = ""
    split: str = ""
    read_from: str = ""

    @property
    def is_stand_in(self) -> bool:
        return self.source == "stand_in"

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return self.file or self.name

    @property
    def has_images(self) -> bool:
        """Whether examples are images (h, w, c), not vectors (d,)."""
        return len(self.train_images.shape) == 4


def fingerprint_of(arrays: Iterable[NumpyArray]) -> str:
    """Hex sha256 over dtype, shape and bytes of each array in turn, so that no regrouping of the bytes collides."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def check_image_set(images: ImageSet, expected_counts: tuple[int, int], where: str) -> ImageSet:
    """`images` itself if its arrays are what they should be: dtypes, counts, one label per image, known labels.

    Args:
        expected_counts: (train, test) examples the source announces.
        where: the file or directory to name when something is wrong.

    Raises:
        UserError: naming `where` and the first thing that is wrong.
    """
    splits = (("train", images.train_images, images.train_labels), ("test", images.test_images, images.test_labels))
    for (split, pixels, labels), count in zip(splits, expected_counts, strict=True):
        wrong = _first_fault(pixels, labels, count, len(images.class_names))
        if wrong:
            raise UserError(
                f"{where}: {images.name} {split} split is damaged ({wrong}); remove it and get it again with `ntkrun stage=data`"
            )
    if images.train_images.shape[1:] != images.test_images.shape[1:]:
        raise UserError(
            f"{where}: train and test images differ in shape; remove it and get it again with `ntkrun stage=data`"
        )
    return images


def _first_fault(pixels: NumpyArray | SomeImages, labels: NumpyArray, count: int, n_classes: int) -> str:
    if pixels.dtype != np.uint8 or len(pixels.shape) != 4:
        return f"images are {pixels.dtype} with {len(pixels.shape)} axes, not uint8 with 4"
    if labels.dtype != np.int64 or labels.ndim != 1:
        return f"labels are {labels.dtype} with {labels.ndim} axes, not int64 with 1"
    if not len(pixels) == len(labels) == count:
        return f"{len(pixels)} images and {len(labels)} labels where {count} were announced"
    if count and not 0 <= labels.min() <= labels.max() < n_classes:
        return f"labels run from {labels.min()} to {labels.max()} but there are {n_classes} classes"
    return ""
