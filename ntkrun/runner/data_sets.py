"""Which images the cells of a run belong to: one fingerprint for all cells of a data set, never two in one figure."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ntkrun.errors import UserError
from ntkrun.runner.plan import Cell
from ntkrun.runner.store import NO_IMAGES, Store, read_table
from ntkrun.settings.data import DataSettings

if TYPE_CHECKING:
    from ntkrun.data.sources.image_set import ImageSet


@dataclass(frozen=True)
class Fingerprints:
    """Of every cell, by its hash; `notes`: what is to be said about the choice.

    A fingerprint may be given by its first digits, which name the cell's file.
    """

    of: dict[str, str]
    notes: list[str] = field(default_factory=list)


def at_hand(cells: Sequence[Cell], store: Store) -> Fingerprints:
    """Those of the images that a run would use now.

    With data.source=auto on a machine without the real images these are fetched, and where that cannot be, stand-ins take
    their place, unless every cell of the run is stored for the real ones: then nothing is left to compute.
    """
    from ntkrun.data.sources.load import images_for, is_missing

    found, notes = {}, []
    for asked, group in _by_data_set(cells):
        if asked is None:
            fingerprint = NO_IMAGES
        elif asked.source == "auto" and is_missing(asked) and (whole := _whole(group, store)):
            fingerprint = whole
            notes.append(
                f"{asked.name} is not prepared on this machine, but every cell of it is stored: nothing is left to run"
            )
        else:
            notes += obtained(asked)
            images = images_for(asked)
            fingerprint = images.fingerprint
            notes += sorted({note for cell in group for note in _hints(images, cell)})
        found |= {cell.config_hash: fingerprint for cell in group}
    return Fingerprints(found, notes)


def _hints(images: "ImageSet", cell: Cell) -> list[str]:
    """What may not be meant so in a file of the user's."""
    from ntkrun.data.summary import hints

    wanted = cell.settings.images
    return hints(images, wanted.classes) if wanted is not None and wanted.path is not None else []


def obtained(asked: DataSettings | None) -> list[str]:
    """Fetch the real images where they are to be used and not here; in one line why not, where stand-ins take their place."""
    from ntkrun.data.sources.load import fetched, is_missing

    if asked is None or asked.source != "auto" or not is_missing(asked):
        return []
    return list(filter(None, [fetched(asked)]))


def fingerprint_here(cell: Cell) -> str:
    """Of the images that this cell by itself would use now, whatever is stored."""
    from ntkrun.data.sources.load import images_for

    images = cell.settings.images
    return NO_IMAGES if images is None else images_for(images).fingerprint


def check_images(cell: Cell) -> None:
    """UserError where the cell asks for more images than there are, or for classes that there are not.

    In a run of several parts it names the settings of the cell's part: another part may have other images.
    """
    from ntkrun.data.dataset import check_examples
    from ntkrun.data.sources.load import images_for
    from ntkrun.runner.own_data import check_fits

    wanted = cell.settings.images
    if wanted is not None:
        images = images_for(wanted)
        try:
            check_examples(images, wanted.classes, wanted.n_train, wanted.n_test, wanted.seed)
        except UserError as error:
            if cell.part:
                raise UserError(re.sub(r"(?<![\w.])(?=data\.)", f"parts.{cell.part}.", str(error))) from error
            raise
        try:
            check_fits(images, cell.settings)
        except UserError as error:
            if cell.part:
                raise UserError(f"{error}; or leave this part out, parts.{cell.part}=null") from error
            raise


def stored(cells: Sequence[Cell], store: Store) -> Fingerprints:
    """Those of which most cells are stored, real images before stand-ins; the notes name the others.

    Of several that are equally complete the one is taken whose digits come first: it is the same one every time.
    """
    found, notes = {}, []
    for asked, group in _by_data_set(cells):
        ranked = [(NO_IMAGES, "none", 0)] if asked is None else _ranked(group, store, asked.source)
        if not ranked:
            continue
        chosen, source, count = ranked[0]
        found |= {cell.config_hash: chosen for cell in group}
        alike = [other for other, kind, _ in ranked[1:] if kind == source]
        if asked is not None and alike:
            notes.append(
                f"{asked.name}: drawn from the images of fingerprint {chosen} ({count} of {len(group)} cells), not from those "
                f"of {', '.join(alike)}, of which cells are stored, too"
            )
    return Fingerprints(found, notes)


def _by_data_set(cells: Sequence[Cell]) -> Iterator[tuple[DataSettings | None, list[Cell]]]:
    """The cells whose images are of one set, with the settings of the first of them."""
    groups: dict[tuple[str, str, str | None, bool] | None, list[Cell]] = {}
    for cell in cells:
        images = cell.settings.images
        key = None if images is None else (images.name, images.source, images.path, images.download)
        groups.setdefault(key, []).append(cell)
    for group in groups.values():
        yield group[0].settings.images, group


def _whole(cells: Sequence[Cell], store: Store) -> str:
    """The fingerprint of real images for which every one of the cells is stored; "" where there is none."""
    ranked = _ranked(cells, store, "tfds")
    return ranked[0][0] if ranked and ranked[0][2] == len(cells) else ""


def _ranked(cells: Sequence[Cell], store: Store, source: str) -> list[tuple[str, str, int]]:
    """(fingerprint, source, number of cells) of all that is stored, as far as `source` asks for it; the best first."""
    tables = [store.variants(cell) for cell in cells]
    counts = Counter(fingerprint for table in tables for fingerprint in table)
    found = []
    for fingerprint, count in counts.items():
        path = next(table[fingerprint] for table in tables if fingerprint in table)
        _, facts = read_table(path)
        kind = str(facts.get("data_source", "tfds"))
        if source in ("auto", kind):
            found.append((fingerprint, kind, count))
    return sorted(found, key=lambda one: (one[1] != "tfds", -one[2], one[0]))
