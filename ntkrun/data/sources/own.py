"""Data of the user's: what a file may hold, checked before anything is computed, and its split.

x   images, uint8 or floating point, (n, h, w, c) or (n, h, w); or vectors (n, d).  uint8 are taken as pixels / 255
y   labels, integers (n,) or (n, 1) from 0 on; or targets of a regression, floating point (n, k)

Classes are those of `class_names`, each label a place in it; without names those that occur, called by their numbers.

A file without a split is split here: a fifth of the examples, drawn by seed SPLIT_SEED whatever the run's seeds, are the test
set, so that no other setting moves an example from one set to the other.
"""

import functools
import math
from pathlib import Path

import numpy as np

from ntkrun.data.sources.image_set import ImageSet, fingerprint_of
from ntkrun.data.sources.own_files import NAMES, Arrays, read_arrays
from ntkrun.errors import UserError
from ntkrun.settings.own_data import content_of
from ntkrun.types import NumpyArray

SPLIT_SEED, TEST_SHARE = 0, 5  # one of so many examples is a test example
DRAWN = f"split here: one of {TEST_SHARE}, drawn by seed {SPLIT_SEED}, is a test example"
MOST_CLASSES = 10_000  # a number of classes beyond it is a number of something else
SPLITS = ("train", "test")


def load_own(path: str) -> ImageSet:
    """What the file holds; read again once it has changed.

    Raises:
        UserError: one line that says what the file holds and what it needs.
    """
    return _read(path, content_of(path))


@functools.lru_cache(maxsize=4)
def _read(path: str, content: str) -> ImageSet:
    file = Path(path).expanduser()
    try:
        return _image_set(path, read_arrays(file))
    except _WrongError as wrong:
        raise UserError(f"data.path={path}: {wrong}") from wrong


def forget_own() -> None:
    """As a new process."""
    _read.cache_clear()


class _WrongError(ValueError):
    """What is wrong with the arrays of a file."""


def _image_set(path: str, arrays: Arrays) -> ImageSet:
    whole = "x" in arrays
    pairs = {"": ("x", "y")} if whole else {split: (f"x_{split}", f"y_{split}") for split in SPLITS}
    checked = {split: (_inputs(arrays[x], x), _answers(arrays[y], y)) for split, (x, y) in pairs.items()}
    for split, (x, y) in checked.items():
        names = " and ".join(pairs[split])
        if len(x) != len(y):
            raise _WrongError(f"{names} have {len(x)} and {len(y)} rows: there must be one y for each x")
        if not len(x):
            raise _WrongError(f"{names} are empty: there must be examples in both sets")
    if whole:
        checked = _split(*checked[""])
    (x_train, y_train), (x_test, y_test) = (checked[split] for split in SPLITS)
    if (x_train.shape[1:], x_train.dtype) != (x_test.shape[1:], x_test.dtype):
        raise _WrongError(
            f"x_train holds {x_train.dtype} {x_train.shape[1:]} and x_test {x_test.dtype} {x_test.shape[1:]}: they must be alike"
        )
    if y_train.shape[1:] != y_test.shape[1:] or y_train.dtype != y_test.dtype:
        raise _WrongError(
            f"y_train is {y_train.dtype} {y_train.shape} and y_test {y_test.dtype} {y_test.shape}: both must be labels, integers "
            "(n,), or targets, floats (n, k)"
        )
    if x_train.min() == x_train.max():
        raise _WrongError("all numbers of the training inputs are the same: nothing can be learnt from them")
    names = _class_names(arrays.get(NAMES), np.concatenate([y_train, y_test]))
    if names and NAMES not in arrays:
        y_train, y_test = (np.searchsorted(list(map(int, names)), y) for y in (y_train, y_test))
    found = [np.ascontiguousarray(array) for array in (x_train, y_train, x_test, y_test)]
    for array in found:
        array.flags.writeable = False
    return ImageSet(
        *("own", "own", "own"),
        *found,
        class_names=names,
        fingerprint=fingerprint_of(found),
        file=path,
        split=DRAWN if whole else "",
        read_from="" if (given := arrays[pairs[next(iter(pairs))][0]].dtype) == x_train.dtype else str(given),
    )


def _inputs(x: NumpyArray, name: str) -> NumpyArray:
    """(n, h, w, c) or (n, d), uint8 or floating point."""
    what = f"{name} is {x.dtype} {x.shape}"
    if x.dtype.kind not in "iuf":
        raise _WrongError(f"{what}: it must hold uint8 pixels or floating-point numbers")
    if x.ndim not in (2, 3, 4) or 0 in x.shape[1:]:
        raise _WrongError(f"{what}: it must be images, (n, h, w, c) or (n, h, w), or vectors, (n, d)")
    if x.dtype != np.uint8 and x.dtype.kind in "iu":
        if x.ndim > 2:
            raise _WrongError(
                f"{what}: write pixels 0..255 as {name}.astype(numpy.uint8), others as floating-point numbers"
            )
        x = x.astype(np.float64)
    _check_finite(x, name)
    return x[..., None] if x.ndim == 3 else x


def _answers(y: NumpyArray, name: str) -> NumpyArray:
    """Labels, int64 (n,), or targets, float64 (n, k)."""
    what = f"{name} is {y.dtype} {y.shape}"
    if y.dtype.kind in "iu" and y.shape in ((len(y),), (len(y), 1)):
        return y.reshape(-1).astype(np.int64)
    if y.dtype.kind == "f" and y.ndim == 2 and y.shape[1]:
        _check_finite(y, name)
        return y.astype(np.float64)
    raise _WrongError(f"{what}: it must be labels, integers (n,), or targets, floats (n, k) ({_remedy(y, name)})")


def _remedy(y: NumpyArray, name: str) -> str:
    """What makes labels or targets of an array that is neither."""
    if y.dtype.kind in "UO":
        return f"{NAMES}, {name} = numpy.unique({name}, return_inverse=True) makes labels of words, and their names"
    if y.dtype.kind == "b" and y.ndim == 1:
        return f"{name}.astype(int) are labels"
    if y.dtype.kind == "f" and y.ndim == 1:
        return f"{name}.astype(int) are labels, {name}[:, None] is one target each"
    if y.dtype.kind in "biu" and y.ndim == 2:
        return (
            f"{name}.argmax(axis=1) are the labels of one-hot rows, {name}.astype(float) is {y.shape[1]} targets each"
        )
    if y.dtype.kind in "biuf" and y.ndim > 2:
        return f"{name}.reshape(len({name}), -1).astype(float) is {math.prod(y.shape[1:])} targets each"
    return "real numbers alone are read"


def _check_finite(x: NumpyArray, name: str) -> None:
    if wrong := int((~np.isfinite(x)).sum()):
        raise _WrongError(f"{name} holds {wrong} numbers that are not finite: fill them, or leave these examples out")


def _class_names(names: NumpyArray | None, y: NumpyArray) -> tuple[str, ...]:
    """Of all labels, in their order; () for targets."""
    if y.ndim == 2:
        if names is not None:
            raise _WrongError(f"{NAMES} is for labels, and y holds targets {y.dtype} (n, {y.shape[1]}): leave it out")
        return ()
    lowest, highest = int(y.min()), int(y.max())
    if names is None:
        found = tuple(map(str, np.unique(y).tolist()))
    elif names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) < len(names):
        raise _WrongError(f"{NAMES} must be words, each once: numpy.array(['cat', 'dog'])")
    else:
        found = tuple(names.tolist())
    if lowest < 0 or highest >= (MOST_CLASSES if names is None else len(found)):
        last = "K-1" if names is None else len(found) - 1
        raise _WrongError(
            f"labels run from {lowest} to {highest}: number the classes 0..{last}, or save floats (n, 1), one target each"
        )
    if len(np.unique(y)) < 2:
        raise _WrongError(f"all labels are {lowest}: there must be two classes or more")
    return found


def _split(x: NumpyArray, y: NumpyArray) -> dict[str, tuple[NumpyArray, NumpyArray]]:
    if len(x) < TEST_SHARE:
        raise _WrongError(
            f"{len(x)} examples are too few to split: give {TEST_SHARE} or more, or x_train, y_train, x_test, y_test"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    n_train = len(x) - len(x) // TEST_SHARE
    return {"train": (x[order[:n_train]], y[order[:n_train]]), "test": (x[order[n_train:]], y[order[n_train:]])}
