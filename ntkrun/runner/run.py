"""Run what is missing: cell by cell, each stored as soon as it is finished."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ntkrun.data.dataset import check_examples, dataset_fingerprint
from ntkrun.errors import UserError
from ntkrun.experiments.base import Experiment
from ntkrun.lockstep.processes import END, agree, several
from ntkrun.lockstep.progress import Progress, Silent
from ntkrun.runner.checkpoint import CellCheckpoints, remove_checkpoints
from ntkrun.runner.data_sets import Fingerprints, at_hand
from ntkrun.runner.device import peak_bytes, prepared
from ntkrun.runner.lock import Lock
from ntkrun.runner.plan import Cell
from ntkrun.runner.provenance import cell_provenance, versions_and_device
from ntkrun.runner.shared_checkpoints import SharedCheckpoints
from ntkrun.runner.stop import StopRequests, ignored_requests
from ntkrun.runner.store import NO_IMAGES, Store, read_table


@dataclass
class Tally:
    """How far a run has come; kept up to date so that an interruption can say so."""

    total: int
    ran: int = 0
    cached: int = 0
    shipped: int = 0  # of the cached ones, those that are shipped results
    elsewhere: list[str] = field(default_factory=list)  # cells that another process is running, with its name

    def __str__(self) -> str:
        before = f"{self.cached} stored before" + (f", {self.shipped} of them shipped" if self.shipped else "")
        text = f"{self.ran + self.cached} of {self.total} cells finished ({self.ran} run now, {before})"
        return text + (f", {len(self.elsewhere)} being run by another process" if self.elsewhere else "")


@dataclass(frozen=True)
class Task:
    """A cell on these very images, and where its table belongs."""

    cell: Cell
    fingerprint: str
    path: Path
    lock: Lock
    number: int  # among the cells of this run


def run_cells(
    experiment: Experiment,
    cells: Sequence[Cell],
    store: Store,
    progress: Progress,
    tally: Tally,
    fingerprints: Mapping[str, str] | None = None,
) -> None:
    """Run the cells that the store does not hold for these very images.

    fingerprints  of the images of every cell, by its hash; None: of those at hand

    Stored tables are read first, so that a damaged one ends the run before anything is computed.  A cell that another
    process is running is left to it; whether that process still lives is looked into when the other cells are done.
    """
    try:
        store.prepare()
        _run_cells(experiment, cells, store, progress, tally, fingerprints)
    except UserError:
        agree(END)
        store.take_back()
        raise
    agree(END)


def images_of(cells: Sequence[Cell], store: Store) -> Fingerprints:
    """Those that a run uses; where they cannot be had, the other processes of the run are told before UserError is raised."""
    try:
        return at_hand(cells, store)
    except UserError:
        agree(END)
        store.take_back()
        raise


def assist_cells(experiment: Experiment, cells: Sequence[Cell]) -> None:
    """`run_cells` for a process that does not lead: computes the cells that the leader names, and keeps nothing.

    Signals to stop are left to the leader, which saves first: schedulers send them to all.
    """
    with ignored_requests():
        while (number := agree(END)) != END:
            progress = Silent()
            progress.checkpoints = SharedCheckpoints(None)
            # whatever is wrong with the cell is wrong in the leading process, which says so
            with contextlib.suppress(UserError):
                experiment.run.compute(cells[number].settings, cells[number].name, progress)


def _run_cells(
    experiment: Experiment,
    cells: Sequence[Cell],
    store: Store,
    progress: Progress,
    tally: Tally,
    fingerprints: Mapping[str, str] | None,
) -> None:
    tasks = [_task(cell, store, number, fingerprints) for number, cell in enumerate(cells)]
    for task in tasks:
        if (there := store.found(task.cell, task.fingerprint)) is not None:
            read_table(there)
    with StopRequests() as stop:

        def attended(task: Task, judge: bool = False) -> bool:
            return _attend(experiment, task, store, progress, tally, stop, judge)

        held = [task for task in tasks if not attended(task)]
        for task in held:
            if not attended(task, judge=True):
                tally.elsewhere.append(f"{task.cell.name} ({task.lock.describe()})")


def _task(cell: Cell, store: Store, number: int, fingerprints: Mapping[str, str] | None) -> Task:
    images = cell.settings.images
    if fingerprints is not None:
        fingerprint = fingerprints[cell.config_hash]
    else:
        fingerprint = NO_IMAGES if images is None else dataset_fingerprint(images.name, images.source)
    if images is not None and not store.has(cell, fingerprint):  # before the experiment imports what trains
        wanted = (images.classes, images.n_train, images.n_test, images.seed)
        check_examples(images.name, images.source, *wanted)
    path = store.cell_path(cell, fingerprint)
    return Task(cell, fingerprint, path, store.lock(path), number)


def _attend(
    experiment: Experiment,
    task: Task,
    store: Store,
    progress: Progress,
    tally: Tally,
    stop: StopRequests,
    judge: bool,
) -> bool:
    """See to it that one cell is stored; False if another process has it in hand."""
    folder = store.checkpoints(task.path)
    if (there := store.found(task.cell, task.fingerprint)) is not None:
        remove_checkpoints(folder)
        task.lock.clear()
        tally.cached += 1
        tally.shipped += store.is_shipped(there)
        return True
    if not task.lock.acquire(judge=judge):
        return False
    with task.lock:
        if task.path.exists():  # finished by another process while we looked
            tally.cached += 1
            return True
        started, settings, before = datetime.now(UTC), task.cell.settings, replace(prepared)
        checkpoints = CellCheckpoints(
            folder, settings.checkpoint_minutes, versions_and_device(settings.devices), task.lock, stop, progress.warn
        )
        progress.checkpoints = SharedCheckpoints(checkpoints) if several() else checkpoints
        agree(task.number)
        with progress.cell(experiment.name, task.cell.name, task.cell.config_hash):
            result = experiment.run.compute(settings, task.cell.name, progress)
        preparation = prepared.since(before) | {"peak_device_bytes": peak_bytes()}
        facts = cell_provenance(task.cell, task.fingerprint, started, preparation, result.facts)
        store.write_cell(task.cell, task.fingerprint, result.table, facts)
        checkpoints.remove()
        tally.ran += 1
    return True
