"""Images in a bundle: of every set the rows that some cells use, all labels or targets, and the fingerprint of the whole.

<set>.npz   arrays train_rows, train_images, train_labels, test_..., and `meta`, JSON as bytes, with a sha256 of all of it.
            NumPy's format, compressed by LZMA.  Colour images are stored as what is new in a pixel beside its neighbours,
            d(i, j) = x(i, j) - x(i-1, j) - x(i, j-1) + x(i-1, j-1) modulo 256, red and blue less green before that:
            1.7 kB an image of CIFAR-10 in place of 2.3.  Digits are larger so, and are stored as they are, like all that is
            not uint8.
own.json    what files of the user's are known by (`settings.own_data`)

$NTKRUN_IMAGES names the folder.  Where it is set, images come from there alone.
"""

import functools
import hashlib
import json
import lzma
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.data.sources.image_set import ImageSet, SomeImages, fingerprint_of
from ntkrun.errors import UserError
from ntkrun.settings.own_data import CARRIED as VARIABLE
from ntkrun.settings.own_data import LIST, content_of
from ntkrun.types import Int, Num, NumpyArray

_FORMAT = 1
_ARRAYS = tuple(f"{split}_{what}" for split in ("train", "test") for what in ("rows", "images", "labels"))
_TEXTS = ("name", "requested", "source", "fingerprint")


def load_carried(folder: Path, name: str, source: str, own: str | None = None) -> ImageSet:
    """The set asked for, of a `source` as in `load.load_images`; own: the user's file, as it was typed.

    Raises:
        UserError: the folder does not carry it, or not as it was written.
    """
    if own is not None:
        return replace(carried_images(folder / _file_name("own", content_of(own))), file=own)
    kinds = {"auto": ("tfds", "stand_in")}.get(source, (source,))
    for kind in kinds:
        path = folder / _file_name(name, kind)
        if path.is_file():
            return carried_images(path)
    raise UserError(
        f"{VARIABLE}={folder} carries no {name} ({' or '.join(kinds)}): make a bundle with the command that you run, or "
        f"unset {VARIABLE}"
    )


def write_carried(folder: Path, images: ImageSet, rows: Mapping[str, Int[NumpyArray, " r"]]) -> Path:
    """Write the rows of "train" and "test", ascending, into `folder`; returns the file."""
    whole = {"train": (images.train_images, images.train_labels), "test": (images.test_images, images.test_labels)}
    arrays: dict[str, Any] = {}
    for split, (pixels, labels) in whole.items():
        few = np.asarray(rows[split], np.int32)
        arrays |= {f"{split}_rows": few, f"{split}_images": np.asarray(pixels[few]), f"{split}_labels": labels}
    meta: dict[str, Any] = {field: getattr(images, field) for field in _TEXTS}
    meta |= {"split": images.split} if images.split else {}
    meta |= {"format": _FORMAT, "class_names": list(images.class_names)}
    meta["sha256"] = _digest(meta, arrays)
    stored = arrays | {f"{split}_images": _differences(arrays[f"{split}_images"]) for split in whole}
    stored |= {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    path = folder / _file_name(images.requested, content_of(images.file) if images.file else images.source)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for array_name, array in stored.items():
            with archive.open(f"{array_name}.npy", "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return path


def write_list(folder: Path, files: Iterable[str]) -> int:
    """What the user's files, named as they were typed, are known by where they are not; returns its bytes."""
    known = {path: content_of(path) for path in files}
    return (folder / LIST).write_bytes(json.dumps(known, indent=1).encode()) if known else 0


def _file_name(name: str, kind: str) -> str:
    return f"{name.replace('/', '+')}-{kind}.npz"


def expected_bytes(images: ImageSet, rows: Mapping[str, Int[NumpyArray, " r"]]) -> int:
    """About what `write_carried` will write, from every so manyth image; a minute of compression is not begun in vain."""
    total = 0.0
    for split, pixels in (("train", images.train_images), ("test", images.test_images)):
        few = rows[split][:: max(1, len(rows[split]) // 256)]
        if len(few):
            total += len(lzma.compress(_differences(pixels[few]).tobytes())) / len(few) * len(rows[split])
    return int(total)


def read_carried(path: Path) -> ImageSet:
    """What `write_carried` wrote.  Raises UserError when it is not that, to the bit."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            meta = json.loads(stored["meta"].tobytes())
            arrays = {array_name: stored[array_name] for array_name in _ARRAYS}
        if meta["format"] != _FORMAT:
            raise ValueError(f"its format is {meta['format']}, not {_FORMAT}")
        for split in ("train", "test"):
            arrays[f"{split}_images"] = _undone(arrays[f"{split}_images"])
        if _digest({key: value for key, value in meta.items() if key != "sha256"}, arrays) != meta["sha256"]:
            raise ValueError("hashes differ")
        return _image_set(path, meta, arrays)
    # NumPy, zipfile, lzma and json each raise their own kinds over the same cause: a file that is not what was written
    except Exception as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path} is not as it was bundled ({reason}): copy the bundle here again") from error


carried_images = functools.cache(read_carried)  # each file is read once by a process


def _image_set(path: Path, meta: dict[str, Any], arrays: dict[str, NumpyArray]) -> ImageSet:
    for array in arrays.values():
        array.flags.writeable = False
    splits: dict[str, Any] = {}
    for split in ("train", "test"):
        rows, pixels, labels = (arrays[f"{split}_{what}"] for what in ("rows", "images", "labels"))
        origin = f"{path} ({split})"
        splits |= {f"{split}_images": SomeImages(rows, pixels, len(labels), origin), f"{split}_labels": labels}
    return ImageSet(
        **{field: str(meta[field]) for field in _TEXTS},
        **splits,
        class_names=tuple(meta["class_names"]),
        split=str(meta.get("split", "")),
    )


def _digest(meta: dict[str, Any], arrays: Mapping[str, NumpyArray]) -> str:
    told = json.dumps(meta, sort_keys=True) + fingerprint_of(arrays[array_name] for array_name in _ARRAYS)
    return hashlib.sha256(told.encode()).hexdigest()


def _differences(images: Num[NumpyArray, "r ..."]) -> Num[NumpyArray, "r ..."]:
    """What is new in every pixel, channel by channel; grey images as they are, and all that is not uint8."""
    if images.ndim != 4 or images.dtype != np.uint8:
        return images
    planes = images.transpose(0, 3, 1, 2).copy()
    if planes.shape[1] == 3:
        planes[:, ::2] -= planes[:, 1:2]
        for axis in (2, 3):
            planes = np.diff(planes, axis=axis, prepend=np.uint8(0))
    return planes


def _undone(planes: Num[NumpyArray, "r ..."]) -> Num[NumpyArray, "r ..."]:
    """`_differences` undone."""
    if planes.ndim != 4 or planes.dtype != np.uint8:
        return planes
    if planes.shape[1] == 3:
        for axis in (3, 2):
            planes = np.cumsum(planes, axis=axis, dtype=np.uint8)
        planes[:, ::2] += planes[:, 1:2]
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
