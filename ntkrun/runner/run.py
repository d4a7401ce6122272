"""Run what is missing: cell by cell, each stored as soon as it is finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ntkrun.data.dataset import dataset_fingerprint
from ntkrun.experiments.base import Experiment
from ntkrun.progress import Progress
from ntkrun.runner.plan import Cell
from ntkrun.runner.provenance import cell_provenance
from ntkrun.runner.store import NO_IMAGES, Store, read_table


@dataclass
class Tally:
    """How far a run has come; kept up to date so that an interruption can say so."""

    total: int
    ran: int = 0
    cached: int = 0

    def __str__(self) -> str:
        return (
            f"{self.ran + self.cached} of {self.total} cells finished ({self.ran} run now, {self.cached} stored before)"
        )


def run_cells(experiment: Experiment, cells: Sequence[Cell], store: Store, progress: Progress, tally: Tally) -> None:
    """Run the cells that the store does not hold for these very images.

    Stored tables are read first, so that a damaged one ends the run before anything is computed.
    """
    store.prepare()
    fingerprints = [_fingerprint(cell) for cell in cells]
    paths = [store.cell_path(cell, fingerprint) for cell, fingerprint in zip(cells, fingerprints, strict=True)]
    for path in paths:
        if path.exists():
            read_table(path)
    for cell, fingerprint, path in zip(cells, fingerprints, paths, strict=True):
        if path.exists():
            tally.cached += 1
            continue
        started = datetime.now(UTC)
        result = experiment.run(cell.settings, cell.name, progress)
        store.write_cell(cell, fingerprint, result.table, cell_provenance(cell, fingerprint, started, result.facts))
        tally.ran += 1


def _fingerprint(cell: Cell) -> str:
    images = cell.settings.images
    return NO_IMAGES if images is None else dataset_fingerprint(images.name, images.source)
