"""What a data set holds, in a few lines for a person: sizes, classes or targets, the range of the numbers."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ntkrun.data.dataset import select_classes
from ntkrun.data.sources.image_set import ImageSet, SomeImages
from ntkrun.types import NumpyArray

SHOWN = 12  # classes that are named
ONE_HOT = "its targets are one-hot rows: save labels, y.argmax(axis=1), for accuracies and loss=cross_entropy"


def summary(images: ImageSet, classes: Sequence[str | int] | None = None) -> str:
    """Name and fingerprint, inputs, split, and classes with their numbers of examples or targets; hints for those asked for."""
    lines = [
        f"{images.label} ({images.source}), fingerprint {images.fingerprint[:12]}",
        f"inputs: {_shape(images)}, {_dtype(images)}, {_spread(_numbers(images.train_images))} in the training set",
        f"examples: {len(images.train_labels)} train, {len(images.test_labels)} test"
        + (f" ({images.split})" if images.split else ""),
        _classes(images) if images.class_names else _targets(images),
        *hints(images, classes),
    ]
    return "\n".join(lines)


def _shape(images: ImageSet) -> str:
    size = images.train_images.shape[1:]
    return (
        f"images of {' x '.join(map(str, size))} (h x w x c)" if images.has_images else f"vectors of {size[0]} numbers"
    )


def _dtype(images: ImageSet) -> str:
    worked_with = str(images.train_images.dtype)
    return f"{images.read_from}, taken as {worked_with}" if images.read_from else worked_with


def _numbers(part: NumpyArray | SomeImages) -> NumpyArray:
    return part.pixels if isinstance(part, SomeImages) else part


def _spread(x: NumpyArray) -> str:
    mean, deviation = (float(of(x, dtype=np.float64)) for of in (np.mean, np.std))
    return f"{float(x.min()):.4g} .. {float(x.max()):.4g}, mean {mean:.4g}, standard deviation {deviation:.4g}"


def _classes(images: ImageSet) -> str:
    train, test = (Counter(labels.tolist()) for labels in (images.train_labels, images.test_labels))
    told = [f"{name} ({train[i]} train, {test[i]} test)" for i, name in enumerate(images.class_names[:SHOWN])]
    left = len(images.class_names) - len(told)
    return f"{len(images.class_names)} classes: {', '.join(told)}{f' and {left} more' if left else ''}"


def _targets(images: ImageSet) -> str:
    y = images.train_labels
    return f"targets of a regression: k = {y.shape[1]}, {_spread(y)} in the training set"


def hints(images: ImageSet, classes: Sequence[str | int] | None = None) -> list[str]:
    """What may not be meant so: classes without training examples among those asked for (None: all), one-hot rows."""
    if not images.class_names:
        return [f"{images.label}: {ONE_HOT}"] if is_one_hot(images) else []
    there = np.bincount(images.train_labels, minlength=len(images.class_names)) > 0
    chosen = select_classes(images, classes)
    absent = [images.class_names[place] for place in chosen if not there[place]]
    if not absent:
        return []
    others = ",".join(images.class_names[place] for place in chosen if there[place])
    shown = ", ".join(absent[:SHOWN]) + (", ..." if len(absent) > SHOWN else "")
    return [
        f"{images.label}: no training examples of class {shown}, which have an output all the same: "
        f"data.classes=[{others}] leaves them out"
    ]


def is_one_hot(images: ImageSet) -> bool:
    """Whether targets are rows of zeros and a single one, as of classes."""
    y = images.train_labels
    return (
        not images.class_names and y.shape[1] > 1 and bool(np.all((y == 0) | (y == 1)) and np.all(y.sum(axis=1) == 1))
    )
