"""Which images the cells of a bundle use."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ntkrun.data.dataset import rows_of
from ntkrun.data.sources.image_set import ImageSet
from ntkrun.data.sources.load import images_for
from ntkrun.runner.plan import Cell
from ntkrun.types import NumpyArray


@dataclass
class Used:
    """An image set, and of "train" and "test" the rows that some cell uses, ascending."""

    images: ImageSet
    _masks: dict[str, NumpyArray] = field(init=False)

    def __post_init__(self) -> None:
        self._masks = {split: np.zeros(total, bool) for split, total in self.totals.items()}

    @property
    def totals(self) -> dict[str, int]:
        return {"train": len(self.images.train_labels), "test": len(self.images.test_labels)}

    @property
    def rows(self) -> dict[str, NumpyArray]:
        return {split: np.flatnonzero(mask).astype(np.int32) for split, mask in self._masks.items()}

    def add(self, *rows: NumpyArray) -> None:
        for mask, found in zip(self._masks.values(), rows, strict=True):
            mask[found] = True

    def __str__(self) -> str:
        """ "mnist (tfds): 60000 of 60000 train, 512 of 10000 test"."""
        counts = (f"{len(self.rows[split])} of {total} {split}" for split, total in self.totals.items())
        return f"{self.images.label} ({self.images.source}): {', '.join(counts)}"


def images_used(cells: Iterable[Cell]) -> list[Used]:
    """Of every image set the rows that the cells use.  UserError where `load_dataset` would raise one."""
    found: dict[tuple[str, str | None], Used] = {}
    for wanted in (cell.settings.images for cell in cells):
        if wanted is None:
            continue
        images = images_for(wanted)
        used = found.setdefault((images.fingerprint, wanted.content), Used(images))
        used.add(*rows_of(images, wanted.classes, wanted.n_train, wanted.n_test, wanted.seed))
    return list(found.values())
