"""What identifies a data file of the user's: a hash of its content, wherever it lies.

A bundle carries the arrays in place of the file, and the hash beside them.
"""

import functools
import json
import os
from pathlib import Path

from ntkrun.errors import UserError
from ntkrun.settings.custom_source import content_hash

CARRIED = "NTKRUN_IMAGES"  # names the folder of a bundle that has its images
LIST = "own.json"  # in it: data.path as it was typed -> hash of the file


def carried_folder() -> Path | None:
    """Where the images of this bundle lie; None outside of one."""
    named = os.environ.get(CARRIED)
    return Path(named).expanduser() if named else None


def content_of(path: str) -> str:
    """16 hex digits over the file, or over the one that a bundle carries in its place.

    Raises `UserError` where it is not there.
    """
    if (folder := carried_folder()) is not None:
        return _carried(folder, path)
    file = Path(path).expanduser()
    try:
        if not file.is_file():
            raise UserError(f"data.path={path} is not a file that is there: name an .npz or .parquet file")
        status = file.stat()
    except OSError as error:
        raise UserError(f"data.path={path} cannot be read ({error.strerror}): correct its permissions") from error
    return _hash(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@functools.lru_cache(maxsize=64)
def _hash(path: str, status: tuple[int, ...]) -> str:
    """Of a file in this state, once in a process."""
    return content_hash(path, "data.path")


def _carried(folder: Path, path: str) -> str:
    try:
        known = json.loads((folder / LIST).read_text())
        return str(known[path])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{CARRIED}={folder} carries no data.path={path}: make a bundle with the command that you run, or unset {CARRIED}"
        ) from error
