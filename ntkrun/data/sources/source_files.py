"""MNIST and CIFAR-10 as their authors publish them, decoded.

idx         (MNIST) gzip of a header, big-endian: 0, 0, 8 for uint8, number of axes, then the length of each; and the bytes
cifar .bin  (CIFAR-10) 3073 bytes an image: its label, then 32 x 32 of red, of green and of blue
"""

import gzip
import math
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.errors import UserError
from ntkrun.types import Int, NumpyArray, UInt8

UBYTE = 8  # the code of uint8 in a header of idx
CIFAR_FOLDER = "cifar-10-batches-bin"
CIFAR_BATCHES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
CIFAR_NAMES = "batches.meta.txt"


@dataclass(frozen=True)
class Decoded:
    """Splits in the order of the source: images uint8 (n, h, w, c) and labels (n,).  class_names: () where the source has none."""

    splits: dict[str, tuple[UInt8[NumpyArray, "n h w c"], Int[NumpyArray, " n"]]]
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Where a set is published.  files: below base_url; read: decodes them from a folder."""

    base_url: str
    files: tuple[str, ...]
    read: Callable[[Path], Decoded]


def _read_mnist(folder: Path) -> Decoded:
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 3)
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 1)
        if len(images) != len(labels):
            raise UserError(
                f"{folder}: MNIST has {len(images)} {split} images and {len(labels)} labels; remove {folder}"
            )
        splits[split] = (images[..., None], labels.astype(np.int64))
    return Decoded(splits, ())


def _read_idx(path: Path, axes: int) -> UInt8[NumpyArray, "..."]:
    header = 4 * (1 + axes)
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no whole gzip file ({error}); remove it") from error
    lengths = [int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4)]
    if content[:4] != bytes([0, 0, UBYTE, axes]) or len(content) != header + math.prod(lengths):
        raise UserError(f"{path} holds no idx array of {axes} axes; remove it")
    return np.frombuffer(content, np.uint8, offset=header).reshape(lengths)


def _read_cifar10(folder: Path) -> Decoded:
    path, splits = folder / "cifar-10-binary.tar.gz", {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in CIFAR_BATCHES["train"] + CIFAR_BATCHES["test"] + (CIFAR_NAMES,):
                file = archive.extractfile(f"{CIFAR_FOLDER}/{member}")
                splits[member] = b"" if file is None else file.read()
    except (tarfile.TarError, KeyError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is no whole archive of CIFAR-10 ({error}); remove it") from error
    names = tuple(splits[CIFAR_NAMES].decode().split())
    decoded = {split: _cifar_rows(path, b"".join(splits[m] for m in of)) for split, of in CIFAR_BATCHES.items()}
    if any(labels.max(initial=0) >= len(names) for _, labels in decoded.values()):
        raise UserError(f"{path} has labels beyond its {len(names)} classes; remove it")
    return Decoded(decoded, names)


def _cifar_rows(path: Path, content: bytes) -> tuple[UInt8[NumpyArray, "n 32 32 3"], Int[NumpyArray, " n"]]:
    row = 1 + 3 * 32 * 32
    if not content or len(content) % row:
        raise UserError(f"{path} holds {len(content)} bytes of images, which are not {row} each; remove it")
    rows = np.frombuffer(content, np.uint8).reshape(-1, row)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0].astype(np.int64)


SOURCES = {
    "mnist": Source(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        tuple(
            f"{of}-ubyte.gz"
            for of in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
        ),
        _read_mnist,
    ),
    "cifar10": Source("https://www.cs.toronto.edu/~kriz/", ("cifar-10-binary.tar.gz",), _read_cifar10),
}
