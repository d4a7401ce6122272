"""Where prepared TFDS data lie on disk.  Standard library only: also used before anything heavy is installed."""

import os
from pathlib import Path

from ntkrun.errors import UserError
from ntkrun.settings.choices import DataName, choices_of

NAMES = choices_of(DataName)
SHOWN = 5  # entries of a folder that are named


def check_name(name: str) -> str:
    """`name` if it is one of `NAMES`, else UserError."""
    if name not in NAMES:
        raise UserError(f"data.name={name} is not known; use one of: {', '.join(NAMES)}")
    return name


def default_data_dir() -> Path:
    """The directory data are prepared into: $NTKRUN_DATA_DIR, else $TFDS_DATA_DIR, else TFDS's default."""
    chosen = own_data_dir() or os.environ.get("TFDS_DATA_DIR")
    return Path(chosen or "~/tensorflow_datasets").expanduser()


def find_prepared(name: str) -> Path | None:
    """The `<name>/<version>` directory with a dataset_info.json in the first data directory that has one.

    Order: $NTKRUN_DATA_DIR, $TFDS_DATA_DIR, ~/tensorflow_datasets; of several versions the highest.

    Raises:
        UserError: $NTKRUN_DATA_DIR is set to something that is not a readable directory, or a directory that should
            be searched cannot be.  Neither is passed over: results on other data than asked for would look alike.
    """
    _check_own_directory()
    candidates = [own_data_dir(), os.environ.get("TFDS_DATA_DIR"), "~/tensorflow_datasets"]
    for candidate in filter(None, candidates):
        found = prepared_in(Path(candidate).expanduser(), name)
        if found is not None:
            return found
    return None


def prepared_in(data_dir: Path, name: str) -> Path | None:
    """The highest prepared version of `name` below `data_dir`, or None; UserError if it cannot be searched."""
    try:
        versions = [entry for entry in (data_dir / name).iterdir() if (entry / "dataset_info.json").is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot read {data_dir / name} ({error.strerror}); correct its permissions") from error
    return max(versions, key=_version_key, default=None)


def not_prepared(name: str, source: str) -> str:
    """What to say of a set that is neither prepared here nor one that can be had otherwise."""
    if source == "stand_in":
        return (
            f"data.source=stand_in has images for {' and '.join(NAMES)} alone, not for data.name={name}: leave it out"
        )
    folder = default_data_dir()
    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return (
        f"data.name={name} is not known: use one of {', '.join(NAMES)}, or a set of TensorFlow Datasets that is prepared as "
        f"{folder / name}/<version> (there: {', '.join(there[:SHOWN]) or 'nothing'}), or data.path=FILE for data of yours"
    )


def fetch_command(name: str) -> str:
    """What to do for a prepared MNIST or CIFAR-10."""
    return f"type `ntkrun stage=data data={name}`"


def own_data_dir() -> str:
    """$NTKRUN_DATA_DIR, whose sets are meant and no others; "" where it is not set."""
    return os.environ.get("NTKRUN_DATA_DIR", "")


def how_to_get(name: str) -> str:
    """A sentence on where the set was looked for and what to do for the real images."""
    if find_prepared(name) is not None:
        return "data.source=auto takes the real images, which are here."
    own = own_data_dir()
    if not own:
        return f"For the real images {fetch_command(name)}, or set NTKRUN_DATA_DIR to a folder that has them."
    there = sorted(path.name for path in Path(own).expanduser().iterdir())
    told = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
    return (
        f"NTKRUN_DATA_DIR={own} has no prepared {name}/<version>/dataset_info.json, it holds {told or 'nothing'}: "
        f"point it at the folder that has {name}, {fetch_command(name)}, which fetches it into there, or use data.source=stand_in."
    )


def _version_key(directory: Path) -> tuple[int, ...]:
    parts = directory.name.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def _check_own_directory() -> None:
    own = own_data_dir()
    if not own:
        return
    try:
        os.listdir(Path(own).expanduser())
    except OSError as error:
        raise UserError(
            f"NTKRUN_DATA_DIR={own} cannot be read ({error.strerror}); point it at a directory with prepared TFDS data,"
            " or unset it"
        ) from error
