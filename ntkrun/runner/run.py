"""Run what is missing: cell by cell, each stored as soon as it is finished."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ntkrun.errors import NonFiniteError, UserError
from ntkrun.experiments.base import Experiment
from ntkrun.lockstep.processes import END, agree, leave, several
from ntkrun.lockstep.progress import Progress, Silent
from ntkrun.runner.checkpoint import CellCheckpoints, remove_checkpoints
from ntkrun.runner.data_sets import Fingerprints, at_hand, check_images, fingerprint_here, obtained
from ntkrun.runner.device import peak_bytes, prepared
from ntkrun.runner.failures import failure_of, read_failure, remove_failure, write_failure
from ntkrun.runner.following import CellLog
from ntkrun.runner.lock import Lock
from ntkrun.runner.plan import Cell
from ntkrun.runner.provenance import cell_provenance, versions_and_device
from ntkrun.runner.shared_checkpoints import SharedCheckpoints
from ntkrun.runner.stop import StopRequests, ignored_requests
from ntkrun.runner.store import Store, read_table


@dataclass
class Tally:
    """How far a run has come; kept up to date so that an interruption can say so."""

    total: int
    ran: int = 0
    cached: int = 0
    shipped: int = 0  # of the cached ones, those that are shipped results
    elsewhere: list[str] = field(default_factory=list)  # cells that another process is running, with its name
    failed: dict[str, str] = field(default_factory=dict)  # cell -> why, whether now or in an earlier run

    def __str__(self) -> str:
        before = f"{self.cached} stored before" + (f", {self.shipped} of them shipped" if self.shipped else "")
        text = f"{self.ran + self.cached} of {self.total} cells finished ({self.ran} run now, {before})"
        text += f", {len(self.elsewhere)} being run by another process" if self.elsewhere else ""
        return text + (f", {len(self.failed)} failed" if self.failed else "")


@dataclass(frozen=True)
class Task:
    """A cell on these very images, and where its table belongs."""

    cell: Cell
    fingerprint: str
    path: Path
    lock: Lock
    number: int  # among the cells of this run


class UnfinishedError(Exception):
    """A cell was not computed because of `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class CellRunner:
    """The cells of one call, one after the other."""

    experiment: Experiment
    store: Store
    progress: Progress
    tally: Tally
    fingerprints: Mapping[str, str] | None  # of the images of every cell, by its hash; None: of those at hand
    refused: list[tuple[Task, UserError]] = field(default_factory=list)  # by their own settings, as far as one can tell

    def all(self, cells: Sequence[Cell]) -> None:
        tasks = [_task(cell, self.store, number, self.fingerprints) for number, cell in enumerate(cells)]
        for task in tasks:
            if (there := self.store.found(task.cell, task.fingerprint)) is not None:
                read_table(there)
        # those that failed before may do so again, and in a run of several processes that can be the end of it
        tasks.sort(key=lambda task: read_failure(task.path) is not None)
        with StopRequests() as stop:
            held = [task for task in tasks if not self._attended(task, stop)]
            for task in held:
                if not self._attended(task, stop, judge=True):
                    self.tally.elsewhere.append(f"{task.cell.name} ({task.lock.describe()})")
        if self.refused and len(self.refused) == self.tally.total:
            for task, _ in self.refused:
                remove_failure(task.path)
                del self.tally.failed[task.cell.name]  # told once, by the error
            raise self.refused[0][1]

    def _attended(self, task: Task, stop: StopRequests, judge: bool = False) -> bool:
        """See to it that one cell is stored, or known to have failed; False if another process has it in hand."""
        settings = task.cell.settings
        if (there := self.store.found(task.cell, task.fingerprint)) is not None:
            remove_checkpoints(self.store.checkpoints(task.path))
            remove_failure(task.path)
            task.lock.clear()
            self.tally.cached += 1
            self.tally.shipped += self.store.is_shipped(there)
            return True
        failure = read_failure(task.path)
        if failure is not None and not settings.retry and failure.stands(settings.devices):
            self.tally.failed[task.cell.name] = f"{failure.why} (in an earlier run; retry=true computes it again)"
            return True
        if not task.lock.acquire(judge=judge):
            return False
        with task.lock:
            if task.path.exists():  # finished by another process while we looked
                self.tally.cached += 1
                return True
            try:
                self._compute(task, stop)
                return True
            except UnfinishedError as unfinished:
                stop.save = lambda: None
                if not task.lock.mine():
                    return False
                error = unfinished.error
                self._failed(task, error)
        if not isinstance(error, UserError):
            leave(1)  # where there are other processes, they may wait in a step that this one has left
        stop.take_effect()
        return True

    def _compute(self, task: Task, stop: StopRequests) -> None:
        """Compute and store one cell.  Raises UnfinishedError for an error of the cell itself."""
        started, settings, before = datetime.now(UTC), task.cell.settings, replace(prepared)
        checkpoints = CellCheckpoints(
            self.store.checkpoints(task.path),
            settings.checkpoint_minutes,
            versions_and_device(settings.devices),
            task.lock,
            stop,
            self.progress.warn,
        )
        self.progress.checkpoints = SharedCheckpoints(checkpoints) if several() else checkpoints
        self.progress.log = log = CellLog.of(task.cell, task.path, self.store, self.progress.warn)
        agree(task.number)
        try:
            with self.progress.cell(self.experiment.name, task.cell.name, task.cell.config_hash):
                result = self.experiment.run.compute(settings, task.cell.name, self.progress)
            log.finish()
        except BrokenPipeError:  # nobody reads what is said any more
            raise
        except Exception as error:
            raise UnfinishedError(error) from error
        finally:
            log.close()
        preparation = prepared.since(before) | {"peak_device_bytes": peak_bytes()}
        facts = cell_provenance(task.cell, task.fingerprint, started, preparation, result.facts)
        self.store.write_cell(task.cell, task.fingerprint, result.table, facts)
        checkpoints.remove()
        remove_failure(task.path)
        self.tally.ran += 1

    def _failed(self, task: Task, error: Exception) -> None:
        """Record why; the caller holds the cell's lock."""
        failure = failure_of(task.cell, error)
        write_failure(task.path, failure)
        self.tally.failed[task.cell.name] = failure.why
        if isinstance(error, UserError) and not isinstance(error, NonFiniteError):
            self.refused.append((task, error))
            return
        self.progress.info(f"{task.cell.name} failed; a cell that fails stops no other")
        if isinstance(error, NonFiniteError):
            remove_checkpoints(self.store.checkpoints(task.path))  # the last one is from just before
        else:
            traceback.print_exception(error, file=sys.stderr)


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

    A cell that fails stops no other: `tally.failed` has it, and its record stands beside the cells (`failures`).  Raises
    UserError for what concerns all cells: a damaged table, a disk that takes none, input that all of them refuse.
    """
    try:
        store.prepare()
        CellRunner(experiment, store, progress, tally, fingerprints).all(cells)
    except Exception:
        agree(END)
        store.take_back()
        raise
    agree(END)


def images_of(cells: Sequence[Cell], store: Store) -> Fingerprints:
    """Those that a run uses; where they cannot be had, the other processes of the run are told before the error is raised."""
    try:
        return at_hand(cells, store)
    except Exception:
        agree(END)
        store.take_back()
        raise


def assist_cells(experiment: Experiment, cells: Sequence[Cell]) -> None:
    """`run_cells` for a process that does not lead: computes the cells that the leader names, and keeps nothing.

    Signals to stop are left to the leader, which saves first: schedulers send them to all.  What fails in all processes
    alike ends the cell; what fails here alone ends the run, since the others wait for this one in the middle of a step.
    """
    with ignored_requests():
        while (number := agree(END)) != END:
            progress = Silent()
            progress.checkpoints = SharedCheckpoints(None)
            try:
                obtained(cells[number].settings.images)  # on a disk that the leader does not see
                experiment.run.compute(cells[number].settings, cells[number].name, progress)
            except UserError as error:
                print(f"{cells[number].name}, in a process that assists: {error}", file=sys.stderr, flush=True)


def _task(cell: Cell, store: Store, number: int, fingerprints: Mapping[str, str] | None) -> Task:
    fingerprint = fingerprint_here(cell) if fingerprints is None else fingerprints[cell.config_hash]
    if not store.has(cell, fingerprint):  # before the experiment imports what trains
        check_images(cell)
    path = store.cell_path(cell, fingerprint)
    return Task(cell, fingerprint, path, store.lock(path), number)
