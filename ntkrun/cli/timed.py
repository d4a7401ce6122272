"""`minutes=9`: compute as many cells of the named figures as finish in that time, on several processes at once."""

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ntkrun.cli.exchange import Figure, figure_of
from ntkrun.errors import UserError
from ntkrun.runner.amounts import duration
from ntkrun.settings.base import WITHOUT_MINUTES
from ntkrun.settings.choices import STAGES
from ntkrun.settings.variant import DEFAULT, Variant

if TYPE_CHECKING:
    from ntkrun.runner.budget import Budget, Job
    from ntkrun.runner.plan import Cell
    from ntkrun.runner.store import Store

LEFT_OVER = 3  # exit code: the time was over with cells left
DRAWING = 5.0  # seconds that stage=all reserves for drawing and judging each figure
ON_AN_ACCELERATOR = 4  # processes by default: three may compile or load data while one computes


@dataclass(frozen=True)
class Computed:
    """What one call has made of the cells of several experiments.

    code          exit code
    fingerprints  of the images that each cell, also one that was stored before, is computed from, by the cells' hashes
    ran, seconds  cells computed now, and how long, by experiment; cells that two figures draw count for the first
    stored        how many cells are there now
    """

    code: int
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    ran: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    stored: int = 0

    @classmethod
    def of(
        cls, jobs: "Sequence[Job]", names: Sequence[str], before: int, signum: int, fingerprints: Mapping[str, str]
    ) -> "Computed":
        """Of jobs for the experiments of these names; before: cells that were stored already; signum: 0 without a signal."""
        states = {job.state for job in jobs}
        code = 128 + signum if signum else 1 if "failed" in states else LEFT_OVER if states - {"stored"} else 0
        ran, seconds = dict.fromkeys(names, 0), dict.fromkeys(names, 0.0)
        for job in jobs:
            ran[names[job.place]] += job.state == "stored"
            seconds[names[job.place]] += job.seconds
        return cls(code, fingerprints, ran, seconds, before + sum(ran.values()))


def run_within(composed: Sequence[dict[str, Any]], variants: Sequence[Variant], began: float) -> Computed:
    """Compute the missing cells of these experiments.  Raises UserError for bad input.

    variants  which run of its experiment each is: its report is drawn later, by another call
    began  `time.monotonic()` at the start of the command: the minutes count from there
    """
    # several processes share the device, so none may reserve all of its memory at its start
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from ntkrun.runner.following import check_log

    figures = [figure_of(settings) for settings in composed]
    first: Any = figures[0].cells[0].settings
    if first.distributed:
        raise UserError("minutes= is for the processes of one machine: leave out distributed=true")
    if STAGES[first.stage].draws:
        _check_names(figures, variants)
    check_log(first)
    _tell_what_does_nothing(figures, variants)
    fingerprints = _fingerprints(figures)
    found = list(_missing(figures, composed, fingerprints))
    stored = sum(len(figure.cells) for figure in figures) - len(found)
    from ntkrun.runner.budget import Job

    jobs = [
        Job(figure.source.name, cell.name, cell.config_hash, _order(figure, raw, cell), place)
        for place, (figure, raw, cell, _) in enumerate(found)
    ]
    reserve = DRAWING * len(figures) if STAGES[first.stage].draws else 0.0
    budget = _budget(first, jobs, 60.0 * float(first.minutes) - (time.monotonic() - began) - reserve)
    for _, _, _, store in found:
        store.prepare()  # a folder that cannot be written to is found before processes are started
    from ntkrun.runner.workers import Worker

    _tell_how_to_follow(found)
    with _stop_requests(budget), _planning(budget, found):
        budget.run(Worker)
    print(outcome_table(jobs, stored, first.minutes, budget.seconds))
    names = [figure.experiment.name for figure, *_ in found]
    return Computed.of(jobs, names, stored, budget.stopped(), fingerprints)


def _tell_what_does_nothing(figures: Sequence[Figure], variants: Sequence[Variant]) -> None:
    from ntkrun.runner.no_effect import without_effect

    told = [line for one, run in zip(figures, variants, strict=True) for line in without_effect(one.cells, run.changed)]
    for line in dict.fromkeys(told):
        print(f"warning: {line}", file=sys.stderr)


def _tell_how_to_follow(found: "Sequence[tuple[Figure, dict[str, Any], Cell, Store]]") -> None:
    from ntkrun.runner.following import how_to_follow

    lines = [how_to_follow([cell], store) for _, _, cell, store in found]
    for line in filter(None, dict.fromkeys(lines)):
        print(line, file=sys.stderr)


def _fingerprints(figures: Sequence[Figure]) -> dict[str, str]:
    """Of the images that a run would use now, by the hashes of all cells, those of other shards, too."""
    from ntkrun.runner.data_sets import at_hand
    from ntkrun.runner.plan import make_cells

    found: dict[str, str] = {}
    for figure in figures:
        found |= at_hand(make_cells(figure.source, figure.raw | {"experiment": figure.source.name}), _store(figure)).of
    return found


def _store(figure: Figure, run: str = DEFAULT) -> "Store":
    """Of the figure's cells and of a report of this name."""
    from ntkrun.runner.store import Store

    first = figure.cells[0].settings
    return Store(first.results_dir, first.scale, figure.experiment.name, figure.source.name, run)


def _check_names(figures: Sequence[Figure], variants: Sequence[Variant]) -> None:
    """UserError where a report could not be drawn in the end, because another run has its name."""
    from ntkrun.runner.reports import check_name_is_free

    for figure, variant in zip(figures, variants, strict=True):
        check_name_is_free(_store(figure, variant.name), variant)


def _missing(
    figures: Sequence[Figure], composed: Sequence[dict[str, Any]], fingerprints: Mapping[str, str]
) -> "Iterator[tuple[Figure, dict[str, Any], Cell, Store]]":
    """The cells that are not stored, each once even where two figures draw the same cells; UserError for one without images."""
    from ntkrun.runner.data_sets import check_images

    known = set()
    for figure, raw in zip(figures, composed, strict=True):
        store = _store(figure)
        for cell in figure.cells:
            there = store.has(cell, fingerprints[cell.config_hash])
            if (figure.source.name, cell.config_hash) not in known and not there:
                known.add((figure.source.name, cell.config_hash))
                check_images(cell)
                yield figure, raw, cell, store


def _order(figure: Figure, raw: dict[str, Any], cell: "Cell") -> dict[str, Any]:
    settings = raw | WITHOUT_MINUTES | {"experiment": figure.source.name}
    return {"experiment": figure.source.name, "settings": settings, "config_hash": cell.config_hash}


def _budget(first: Any, jobs: "list[Job]", seconds: float) -> "Budget":
    from ntkrun.devices.platform import platform
    from ntkrun.runner.budget import MARGIN, Budget
    from ntkrun.runner.machines import memory_at_hand

    if seconds <= 2 * MARGIN:
        raise UserError(
            f"minutes={first.minutes:g} leaves {max(seconds, 0.0):.0f} s for cells, of which {MARGIN:.0f} are for stopping: "
            "give more"
        )
    shared = platform() != "cpu"
    workers = first.jobs if isinstance(first.jobs, int) else ON_AN_ACCELERATOR if shared else 1
    print(f"{len(jobs)} cells to compute, {workers} at a time, within {seconds:.0f} s", flush=True)
    return Budget(seconds, jobs, workers, first.order == "shortest", shared, memory_at_hand())


@contextlib.contextmanager
def _stop_requests(budget: "Budget") -> Iterator[None]:
    """While inside, the first signal is passed to the budget, which stops its processes."""
    from ntkrun.runner.stop import NAMES

    heard: list[int] = []
    budget.stopped = lambda: heard[0] if heard else 0
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda signum, _: heard.append(signum)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _planning(budget: "Budget", found: "Sequence[tuple[Figure, dict[str, Any], Cell, Store]]") -> Iterator[None]:
    """While inside, a thread works out the expected times, one family of cells after the other; known cells run meanwhile."""
    jobs = {(job.figure, job.config_hash): job for job in budget.jobs}
    done = threading.Event()
    budget.planned = done.is_set

    def plan() -> None:
        try:
            from ntkrun.runner import forecast

            for figure, cells in _by_family(found):
                try:
                    known = forecast.expected(figure.source, cells)
                except UserError as error:
                    for cell in cells:
                        jobs[figure.source.name, cell.config_hash].why = f"not planned: {error}"
                    continue
                for name, expected in known.items():
                    budget.expect(jobs[figure.source.name, name], expected)
        finally:
            done.set()

    thread = threading.Thread(target=plan, daemon=True)
    thread.start()
    yield


def _by_family(
    found: "Sequence[tuple[Figure, dict[str, Any], Cell, Store]]",
) -> "Iterator[tuple[Figure, list[Cell]]]":
    """The cells of each figure in groups that are traced once: the first group can run before the last is planned."""
    from ntkrun.runner.forecast import families

    names = list(dict.fromkeys(figure.source.name for figure, *_ in found))
    for name in names:
        of_name = [one for one in found if one[0].source.name == name]
        for cells in families([cell for _, _, cell, _ in of_name]):
            yield of_name[0][0], cells


def outcome_table(jobs: "Sequence[Job]", stored: int, minutes: float, seconds: float) -> str:
    """How many cells are done, and a line for each that is not: its expected time and its state.

    minutes, seconds  that were given, and that were there for cells
    """
    left = [job for job in jobs if job.state != "stored"]
    lines = [
        f"{len(jobs) - len(left)} of {len(jobs) + stored} cells finished now, {stored} stored before, {len(left)} left"
    ]
    if not left:
        return lines[0]
    width = max(len(f"{job.figure} {job.cell}") for job in left)
    for job in left:
        takes = duration(job.expected.seconds) if job.expected else "not known"
        states = {"waiting": "not begun", "stopped": "stopped, goes on from its checkpoint", "running": "stopped"}
        why = states.get(job.state, job.state) + (f": {job.why}" if job.why else "")
        lines.append(f"  {f'{job.figure} {job.cell}'.ljust(width)}  {takes.rjust(12)}  {why}")
    known = [job.expected.seconds for job in left if job.expected]
    expected = f"what is left is expected to take {duration(sum(known))}, one cell at a time"
    if len(known) == len(left) and min(known) > seconds and all(job.state == "waiting" for job in left):
        least = math.ceil(minutes + (min(known) - seconds) / 60)
        lines.append(f"{expected}, and no cell of it ends within minutes={minutes:g}: give minutes={least} or more")
    else:
        lines.append(f"{expected}: the same command goes on")
    return "\n".join(lines)
