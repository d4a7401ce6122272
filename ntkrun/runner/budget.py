"""Scheduling cells within a number of minutes: which cell starts next, and on how many processes.

A cell starts only if it is expected to finish in time.  The expected time is the one of `forecast`, times how much slower
than forecast the cells finished so far have been (`remaining_work`).  Processes that share a device slow each other
down: a cell that starts while b others run is expected to run 1 + b times as long.  Compiling does not use the
accelerator, so one cell compiles while another one runs.  Cells run at the same time only if the device's memory holds
them all.
"""

import queue
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ntkrun.runner.remaining_work import RemainingWork

POLL = 0.2  # seconds between two looks at the clock
MARGIN = 15.0  # seconds before the end at which running cells are stopped: writing a checkpoint may be gigabytes
MEMORY = 0.9  # share of the device's memory for cells that run together: each process also holds libraries there


@dataclass(frozen=True)
class Expected:
    """What one cell needs: seconds to compile, seconds to run alone, bytes of its largest program."""

    compile_seconds: float
    run_seconds: float
    peak_bytes: int = 0

    @property
    def seconds(self) -> float:
        return self.compile_seconds + self.run_seconds


@dataclass(eq=False)
class Job:
    """A cell that is not stored yet.

    order     what its process is asked to compute, as JSON
    place     its place in the order of the settings
    expected  None until it is known
    state     "waiting", "running", or what its process answered: "stored", "elsewhere", "stopped", "failed"
    why       the reason, where it failed
    alone     whether no other cell may run beside it: it ran out of memory beside others
    began     the clock when it started
    beside    how many other cells ran when it started
    seconds   how long it has run, of a device that it shared its share
    """

    figure: str
    cell: str
    config_hash: str
    order: dict[str, Any]
    place: int
    expected: Expected | None = None
    state: str = "waiting"
    why: str = ""
    alone: bool = False
    began: float = 0.0
    beside: int = 0
    seconds: float = 0.0


@dataclass
class Budget:
    """Runs jobs on worker processes until the time is over.

    seconds        from now on
    jobs           the cells to compute
    workers        the largest number of processes
    shortest_first whether short cells start before long ones; else they start in the order of the settings
    shared_device  whether the cells run on an accelerator, so that compiling slows no other cell down
    memory         bytes of the device
    clock          seconds; a test passes its own
    planned        whether the expected times of all jobs are known
    stopped        the number of the signal that asked to stop, 0 without one
    remaining      the work left, from which the pace is taken
    """

    seconds: float
    jobs: Sequence[Job]
    workers: int
    shortest_first: bool = True
    shared_device: bool = False
    memory: float = float("inf")
    clock: Callable[[], float] = time.monotonic
    planned: Callable[[], bool] = lambda: True
    stopped: Callable[[], int] = lambda: 0
    remaining: RemainingWork = field(default_factory=RemainingWork)

    def __post_init__(self) -> None:
        self.end = self.clock() + self.seconds

    def expect(self, job: Job, expected: Expected) -> None:
        """Set the expected time of a job."""
        self.remaining.expected_seconds[job.figure, job.config_hash] = expected.seconds
        job.expected = expected

    def takes(self, job: Job, beside: int) -> float:
        """Seconds that a job takes while `beside` others run."""
        assert job.expected is not None
        compiling, running = job.expected.compile_seconds, job.expected.run_seconds
        together = running * (1 + beside) + compiling * (1 if self.shared_device else 1 + beside)
        return self.remaining.pace * together

    def next(self) -> Job | None:
        """The job to start now; None when none fits into the time left, or into the memory that the others leave."""
        running = [job for job in self.jobs if job.state == "running"]
        if any(job.alone for job in running):
            return None
        left = self.end - MARGIN - self.clock()
        taken = sum(job.expected.peak_bytes for job in running if job.expected)
        fits = [
            job
            for job in self.jobs
            if job.state == "waiting"
            and job.expected is not None
            and self.takes(job, len(running)) <= left
            and (not running or taken + job.expected.peak_bytes <= MEMORY * self.memory)
            and not (job.alone and running)
        ]
        return min(fits, key=self._rank, default=None)

    def _rank(self, job: Job) -> tuple[float, int]:
        return (job.expected.seconds if self.shortest_first and job.expected else 0.0), job.place

    def run(self, start_worker: "Callable[[queue.Queue], Any]") -> None:
        """Start jobs until the time is over, no more job fits, or a signal asks to stop.

        start_worker  starts a process (`workers.Worker`) that puts (itself, its answer) into the queue it is given
        """
        answers: queue.Queue[Any] = queue.Queue()
        started: list[Any] = []
        idle: list[Any] = []
        busy: list[Any] = []
        try:
            while not self._over(busy):
                if len(busy) < self.workers and (job := self.next()):
                    if not idle:
                        started.append(start_worker(answers))
                        idle.append(started[-1])
                    worker = idle.pop()
                    job.state, job.began, job.beside = "running", self.clock(), len(busy)
                    busy.append(worker)
                    worker.assign(job, job.order)
                    continue
                self._receive(answers, idle, busy)
        finally:
            self._shut_down(answers, started, busy)

    def _over(self, busy: Sequence[Any]) -> bool:
        if self.stopped() or self.clock() >= self.end - MARGIN:
            return True
        return not busy and self.planned() and self.next() is None

    def _receive(self, answers: "queue.Queue[Any]", idle: list[Any], busy: list[Any]) -> None:
        """Wait up to `POLL` seconds for one answer and record it."""
        try:
            worker, answer = answers.get(timeout=POLL)
        except queue.Empty:
            return
        if worker in idle:  # its process ended between two jobs
            idle.remove(worker)
        if worker not in busy:
            return
        job, ended = worker.job, answer is None
        busy.remove(worker)
        if not ended and answer["state"] != "stopped":
            idle.append(worker)
        self._record(
            job, answer or {"state": "failed", "why": "its process ended without a word: out of memory?"}, busy
        )

    def _record(self, job: Job, answer: dict[str, Any], busy: Sequence[Any]) -> None:
        job.state, job.why = answer["state"], answer.get("why", "")
        job.seconds += (self.clock() - job.began) / (1 + job.beside)
        crowded = job.state == "failed" and (busy or job.beside) and "RESOURCE_EXHAUSTED" in job.why
        if crowded and not job.alone:
            job.state, job.alone = "waiting", True
        elif job.state == "stored":
            self.remaining.finish((job.figure, job.config_hash), job.seconds)
        elif job.state != "waiting":
            self.remaining.drop((job.figure, job.config_hash))

    def _shut_down(self, answers: "queue.Queue[Any]", started: Iterable[Any], busy: list[Any]) -> None:
        """End idle processes and stop busy ones, which save a checkpoint first; kill those that outlast the time."""
        signum = self.stopped()
        for worker in started:
            worker.close()  # it ends after its present job
            if worker in busy:
                worker.stop(*([signum] if signum else []))
        while busy and self.clock() < self.end:
            self._receive(answers, [], busy)
        for worker in busy:
            worker.job.state = "stopped"
        for worker in started:
            worker.wait_or_kill(self.end - self.clock())
