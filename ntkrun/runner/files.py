"""Files that are there whole or not at all, whatever interrupts the writing of them."""

import contextlib
import errno
import os
import uuid
from pathlib import Path

from ntkrun.errors import UserError


def write_bytes(path: Path, content: bytes) -> None:
    """Write aside, flush to the disk, rename into place, flush the folder; UserError when the disk does not let us."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with aside.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(aside, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise UserError(f"cannot write {path} ({error.strerror}); choose another results_dir=...") from error


def sync_folder(folder: Path) -> None:
    """Flush the folder's own entries: after a power failure a renamed file is found under its new name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that have no such call flush by themselves
            raise
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left beside it, if the disk lets us; nobody else may be writing it."""
    with contextlib.suppress(OSError):
        for left in path.parent.glob(f".{path.name}.*"):
            left.unlink(missing_ok=True)
