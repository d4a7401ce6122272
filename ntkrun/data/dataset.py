"""A training and a test set as the experiments use them: chosen classes and examples, inputs, targets, provenance."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ntkrun.data.preprocess import preprocess as preprocess_images
from ntkrun.data.preprocess import shrunk
from ntkrun.data.sources.image_set import ImageSet, SomeImages
from ntkrun.data.sources.load import load_images
from ntkrun.data.targets import GIVEN, make_targets
from ntkrun.errors import UserError
from ntkrun.types import Float, Float64, Int, NumpyArray

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Dataset:
    """Inputs x with ||x||^2 = n_0 = h w c (on average), or d for vectors, and targets y.

    Attributes:
        labels_train, labels_test: 0 .. len(class_names) - 1, in the order of `class_names`; None for a set without classes.
        indices_train, indices_test: rows of the image set's splits the examples are.
        name, requested, source, fingerprint, file, split: the image set's.
        settings: n_train, n_test, preprocess, targets, seed, dtype as used.
    """

    x_train: Float[NumpyArray, "n ..."] = field(repr=False)
    y_train: Float64[NumpyArray, "n k"] = field(repr=False)
    x_test: Float[NumpyArray, "m ..."] = field(repr=False)
    y_test: Float64[NumpyArray, "m k"] = field(repr=False)
    labels_train: Int[NumpyArray, " n"] | None = field(repr=False)
    labels_test: Int[NumpyArray, " m"] | None = field(repr=False)
    indices_train: Int[NumpyArray, " n"] = field(repr=False)
    indices_test: Int[NumpyArray, " m"] = field(repr=False)
    class_names: tuple[str, ...]
    name: str
    requested: str
    source: str
    fingerprint: str
    settings: dict[str, int | str]
    file: str = ""
    split: str = ""

    @property
    def is_stand_in(self) -> bool:
        return self.source == "stand_in"

    @property
    def has_classes(self) -> bool:
        """Whether outputs can be right or wrong; not so for the targets of a regression."""
        return self.labels_train is not None

    def describe(self) -> dict[str, object]:
        """What the arrays are, in plain JSON types; `classes` are those truly used, also on a stand-in."""
        origin = {key: getattr(self, key) for key in ("name", "requested", "source", "fingerprint")}
        origin |= {"file": Path(self.file).name} if self.file else {}
        origin |= {"split": self.split} if self.split else {}
        return {**origin, "classes": list(self.class_names), **self.settings}


def load_dataset(
    *,
    name: str,
    source: str,
    classes: Sequence[str | int] | None,
    n_train: int | None,
    n_test: int | None,
    preprocess: str,
    targets: str,
    seed: int,
    averaged: int = 1,
    path: str | None = None,
    download: bool = True,
    cache_dir: Path | None = None,
    dtype: DTypeLike = np.float64,
) -> Dataset:
    """Choose classes and examples, preprocess by the chosen training examples alone, build targets.

    Args:
        name, source, cache_dir, path, download: see `load.load_images`.
        classes: names or indices, in the order of the labels; None = all.  On `photos` see `select_classes`.
        n_train, n_test: how many; None = all there are.  For one seed a smaller set is the beginning of a larger one.
        preprocess: see `preprocess.RULES`.
        targets: see `targets.KINDS`; GIVEN for a set without classes.
        seed: of the choice of examples, >= 0.
        averaged: images become smaller, each pixel the mean over a square of so many by so many.
        dtype: of the inputs; all 50,000 of CIFAR-10 take 1.2 GB in float64, half of that in float32.

    Raises:
        UserError: any of the above that does not fit; the line says what does.
    """
    images = load_images(name, source, cache_dir, path, download)
    rows_train, rows_test = rows_of(images, classes, n_train, n_test, seed)
    pixels = (shrunk(images.train_images[rows_train], averaged), shrunk(images.test_images[rows_test], averaged))
    x_train, x_test = preprocess_images(*pixels, preprocess, dtype=dtype)
    chosen, labels, y = _answers(images, classes, (rows_train, rows_test), targets)
    settings = {"n_train": len(rows_train), "n_test": len(rows_test), "preprocess": preprocess, "targets": targets}
    settings |= {"averaged": averaged} if averaged > 1 else {}
    return Dataset(
        x_train=x_train,
        y_train=y[0],
        x_test=x_test,
        y_test=y[1],
        labels_train=labels[0],
        labels_test=labels[1],
        indices_train=rows_train,
        indices_test=rows_test,
        class_names=tuple(images.class_names[index] for index in chosen),
        **{key: getattr(images, key) for key in ("name", "requested", "source", "fingerprint", "file", "split")},
        settings=settings | {"seed": seed, "dtype": np.dtype(dtype).name},
    )


def _answers(
    images: ImageSet, classes: Sequence[str | int] | None, rows: Sequence[NumpyArray], targets: str
) -> tuple[tuple[int, ...], list[NumpyArray | None], list[NumpyArray]]:
    """(chosen classes, labels, targets), of the training and of the test rows each."""
    found = [labels[of] for labels, of in zip((images.train_labels, images.test_labels), rows, strict=True)]
    if (targets == GIVEN) != (not images.class_names):
        needs = f"targets={GIVEN}" if not images.class_names else "one of the kinds of targets of classes"
        raise UserError(f"{images.label} needs {needs}, not targets={targets}: leave data.targets out")
    if not images.class_names:
        return (), [None, None], found
    chosen = select_classes(images, classes)
    labels = [_renumber(of, chosen) for of in found]
    return chosen, [*labels], [make_targets(of, len(chosen), targets) for of in labels]


def dataset_fingerprint(name: str, source: str, cache_dir: Path | None = None, path: str | None = None) -> str:
    """`ImageSet.fingerprint` of what `load_dataset` would use now; milliseconds once the images are cached."""
    return load_images(name, source, cache_dir, path).fingerprint


def check_examples(
    images: ImageSet, classes: Sequence[str | int] | None, n_train: int | None, n_test: int | None, seed: int
) -> None:
    """UserError for classes or examples that `load_dataset` would refuse."""
    for part, rows in zip(
        (images.train_images, images.test_images), rows_of(images, classes, n_train, n_test, seed), strict=True
    ):
        if isinstance(part, SomeImages):
            part.places(rows)


def rows_of(
    images: ImageSet, classes: Sequence[str | int] | None, n_train: int | None, n_test: int | None, seed: int
) -> tuple[Int[NumpyArray, " n"], Int[NumpyArray, " m"]]:
    """Rows (train, test) of the image set that `load_dataset` takes, found from the labels alone."""
    chosen = select_classes(images, classes)
    return _choose(images, "train", chosen, n_train, seed), _choose(images, "test", chosen, n_test, seed)


def select_classes(images: ImageSet, classes: Sequence[str | int] | None) -> tuple[int, ...]:
    """Class indices of `images` for the classes asked for, in that order; None = all.  A number is a place among the names, or,
    where all names are numbers, the class that is called so.

    `photos` has photographs for classes.  Asked for CIFAR-10 names it gives its first len(classes) photographs, so
    that a two-class figure stays a two-class figure; `Dataset.describe` names them.

    Raises:
        UserError: a class that neither the set nor the data set it stands in for has, none at all, or one twice.
    """
    names = images.class_names
    if not names and classes is not None:
        raise UserError(
            f"data.classes={list(classes)}: {images.label} holds targets and no classes; use data.classes=null"
        )
    if classes is None:
        return tuple(range(len(names)))
    if isinstance(classes, str) or not classes:
        raise UserError(f"data.classes={classes} names no classes; use a list of: {', '.join(names)}")
    numbered = all(name.isdecimal() for name in names)

    def by_name(item: str | int) -> bool:
        return numbered or isinstance(item, str)

    known = set(names) | (set(CIFAR10_CLASSES) if images.name == "photos" else set())
    for item in classes:
        if not (str(item) in known if by_name(item) else 0 <= int(item) < len(names)):
            raise UserError(f"data.classes has no class {item}; {images.label} has: {', '.join(sorted(known))}")
    if any(isinstance(item, str) and item not in names for item in classes):
        chosen = tuple(range(len(classes)))
    else:
        chosen = tuple(names.index(str(item)) if by_name(item) else int(item) for item in classes)
    if len(set(classes)) < len(classes) or len(set(chosen)) < len(chosen):
        raise UserError(f"data.classes={list(classes)} names a class twice; name each once")
    return chosen


def _choose(images: ImageSet, split: str, chosen: tuple[int, ...], count: int | None, seed: int) -> NumpyArray:
    """Rows of the split: a permutation of all its examples, those of the chosen classes, the first `count` of these."""
    if seed < 0:
        raise UserError(f"seed={seed} must not be negative; use 0, 1, 2, ...")
    labels = images.train_labels if split == "train" else images.test_labels
    # The name keeps data sets of equal size from sharing one order; its hash is a number that is the same everywhere.
    tag = int.from_bytes(hashlib.sha256(f"{split}/{images.name}".encode()).digest()[:8], "big")
    order = np.random.default_rng([seed, tag]).permutation(len(labels))
    rows = order[np.isin(labels[order], chosen)] if images.class_names else order
    if count is None:
        return rows
    if not 1 <= count <= len(rows):
        of_these = " of these classes" if len(chosen) < len(images.class_names) else ""
        raise UserError(
            f"data.n_{split}={count}, but {images.label} has {len(rows)} {split} examples{of_these}; "
            f"use data.n_{split}=1..{len(rows)}, or null for all"
        )
    return rows[:count]


def _renumber(labels: NumpyArray, chosen: tuple[int, ...]) -> NumpyArray:
    position = np.full(max(chosen) + 1, -1)
    position[list(chosen)] = np.arange(len(chosen))
    return position[labels]
