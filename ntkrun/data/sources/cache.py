"""Decoded images kept on disk as .npy, so that a data set is decoded once per machine.

An entry is a directory `<cache_dir>/images/<name>-<version>-<key>/` of four .npy files and a meta.json.  The key hashes
what is in the files the arrays were decoded from: other contents, another entry, whatever their names, sizes and times.
An entry is used only while its arrays have the fingerprint that they were written with.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ntkrun.data.sources.image_set import ImageSet, fingerprint_of
from ntkrun.data.sources.records import record_files
from ntkrun.errors import UserError

# Raised when the layout of an entry, or how images are decoded, changes.
_FORMAT = 2
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def entry_path(cache_dir: Path, directory: Path) -> Path:
    """The entry that belongs to the prepared `directory` (`.../<name>/<version>`) as its files are now."""
    digest = hashlib.sha256(f"format {_FORMAT}".encode())
    for path in record_files(directory):
        digest.update(f"|{path.name}:{_content_of(path)}".encode())
    return cache_dir / "images" / f"{directory.parent.name}-{directory.name}-{digest.hexdigest()[:16]}"


def _content_of(path: Path) -> str:
    """sha256 of a record file; UserError where it cannot be read."""
    try:
        status = path.stat()
        told = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return _digest_of(path, told)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); correct its permissions") from error


@functools.lru_cache(maxsize=64)
def _digest_of(path: Path, status: tuple[int, ...]) -> str:
    """Of a file in this state, once in a process: the time of the last change of its inode cannot be set back."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_entry(entry: Path) -> ImageSet | None:
    """The images of an entry, memory-mapped; None if there is none or if anything about it is not as it was written."""
    try:
        meta = json.loads((entry / "meta.json").read_text())
        arrays = {}
        for array_name in _ARRAYS:
            path, expected = entry / f"{array_name}.npy", meta["arrays"][array_name]
            arrays[array_name] = np.load(path, mmap_mode="r", allow_pickle=False)
            found = {"shape": list(arrays[array_name].shape), "dtype": arrays[array_name].dtype.str}
            if found | {"bytes": path.stat().st_size} != expected:
                return None
        if fingerprint_of(arrays.values()) != meta["fingerprint"]:
            return None
        described = {field: str(meta[field]) for field in ("name", "requested", "source", "fingerprint")}
        return ImageSet(**described, **arrays, class_names=tuple(map(str, meta["class_names"])))
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def store_entry(entry: Path, images: ImageSet) -> bool:
    """Write an entry whole or not at all; False if the disk does not let us (read-only, full)."""
    aside = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
        _write_all(aside, images)
        _move_into_place(aside, entry)
        return True
    except OSError:
        return False
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def _write_all(aside: Path, images: ImageSet) -> None:
    described = {}
    for array_name in _ARRAYS:
        array, path = getattr(images, array_name), aside / f"{array_name}.npy"
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        described[array_name] = {"shape": list(array.shape), "dtype": array.dtype.str, "bytes": path.stat().st_size}
    meta = {field: getattr(images, field) for field in ("name", "requested", "source", "fingerprint")}
    with (aside / "meta.json").open("w") as file:
        json.dump(meta | {"class_names": images.class_names, "arrays": described}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _move_into_place(aside: Path, entry: Path) -> None:
    """Rename onto `entry`.  A directory cannot replace a filled one, so a damaged entry is moved out of the way first;
    a sound one, which another process finished meanwhile, is left: its content is the same."""
    try:
        os.replace(aside, entry)
        return
    except OSError:
        if load_entry(entry) is not None:
            return
    damaged = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    try:
        with contextlib.suppress(FileNotFoundError):
            os.replace(entry, damaged / "entry")
        os.replace(aside, entry)
    finally:
        shutil.rmtree(damaged, ignore_errors=True)
