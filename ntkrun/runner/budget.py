"""Cells within a number of minutes: which are begun, in which order, by how many processes; what is left at the end.

A cell is begun only if it is expected to end in time.  What is expected of it is what `forecast` says times the pace of
the cells that are finished (`remaining_work`); processes that share one device slow each other down, so that beside b others
a cell is taken to run for 1 + b times as long.  Compiling, which an accelerator has no part in, goes on beside its work for another
cell.  Cells that fit into the device's memory together run together.
"""

import queue
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ntkrun.runner.remaining_work import RemainingWork

LOOK = 0.2  # seconds between two looks at the clock
MARGIN = 15.0  # seconds before the end at which what still runs is told to stop: a checkpoint may be gigabytes
MEMORY = 0.9  # of the device's memory, for cells side by side: each process holds libraries beside its arrays


@dataclass(frozen=True)
class Expected:
    """Of a cell: seconds of compiling and of running by itself, bytes of its largest program."""

    compile_seconds: float
    run_seconds: float
    peak_bytes: int = 0

    @property
    def seconds(self) -> float:
        return self.compile_seconds + self.run_seconds


@dataclass(eq=False)
class Job:
    """A cell that is not stored.  became: "waiting", "running", or what its process answered."""

    figure: str
    cell: str
    config_hash: str
    order: dict[str, Any]  # what its process is told
    place: int  # in the order of the settings
    expected: Expected | None = None  # None: not known yet
    became: str = "waiting"
    why: str = ""
    alone: bool = False  # it failed for want of memory beside others
    began: float = 0.0
    beside: int = 0  # how many were under way when it began


@dataclass
class Budget:
    """What is left of the time, and what may be begun in it.  `seconds` from now on; `memory` bytes of the device."""

    seconds: float
    jobs: Sequence[Job]
    workers: int
    shortest_first: bool = True
    shared_device: bool = False  # whether processes compile beside each other without slowing each other down
    memory: float = float("inf")
    clock: Callable[[], float] = time.monotonic
    planned: Callable[[], bool] = lambda: True  # whether all expectations are known
    stopped: Callable[[], int] = lambda: 0  # the signal that asked to stop
    remaining: RemainingWork = field(default_factory=RemainingWork)

    def __post_init__(self) -> None:
        self.end = self.clock() + self.seconds

    def expect(self, job: Job, expected: Expected) -> None:
        """What has become known of a job."""
        self.remaining.expected_seconds[job.figure, job.config_hash] = expected.seconds
        job.expected = expected

    def takes(self, job: Job, beside: int) -> float:
        """Seconds that a job takes with so many others under way."""
        assert job.expected is not None
        compiling, running = job.expected.compile_seconds, job.expected.run_seconds
        together = running * (1 + beside) + compiling * (1 if self.shared_device else 1 + beside)
        return self.remaining.pace * together

    def next(self) -> Job | None:
        """The job to begin now; None where none fits into the time, or into the memory beside the others."""
        running = [job for job in self.jobs if job.became == "running"]
        if any(job.alone for job in running):
            return None
        left = self.end - MARGIN - self.clock()
        taken = sum(job.expected.peak_bytes for job in running if job.expected)
        fits = [
            job
            for job in self.jobs
            if job.became == "waiting"
            and job.expected is not None
            and self.takes(job, len(running)) <= left
            and (not running or taken + job.expected.peak_bytes <= MEMORY * self.memory)
            and not (job.alone and running)
        ]
        return min(fits, key=self._rank, default=None)

    def _rank(self, job: Job) -> tuple[float, int]:
        return (job.expected.seconds if self.shortest_first and job.expected else 0.0), job.place

    def run(self, hire: "Callable[[queue.Queue], Any]") -> None:
        """Begin jobs until the time is over, nothing more fits, or somebody asks to stop.

        hire  answers -> a new process (`workers.Worker`), which puts (itself, what became of its job) into them
        """
        answers: queue.Queue[Any] = queue.Queue()
        hired: list[Any] = []
        idle: list[Any] = []
        busy: list[Any] = []
        try:
            while not self._over(busy):
                if len(busy) < self.workers and (job := self.next()):
                    if not idle:
                        hired.append(hire(answers))
                        idle.append(hired[-1])
                    worker = idle.pop()
                    job.became, job.began, job.beside = "running", self.clock(), len(busy)
                    busy.append(worker)
                    worker.tell(job, job.order)
                    continue
                self._heard(answers, idle, busy)
        finally:
            self._dismiss(answers, hired, busy)

    def _over(self, busy: Sequence[Any]) -> bool:
        if self.stopped() or self.clock() >= self.end - MARGIN:
            return True
        return not busy and self.planned() and self.next() is None

    def _heard(self, answers: "queue.Queue[Any]", idle: list[Any], busy: list[Any]) -> None:
        """Wait for an answer for a moment, and note it."""
        try:
            worker, answer = answers.get(timeout=LOOK)
        except queue.Empty:
            return
        if worker in idle:  # ended by itself, between two jobs
            idle.remove(worker)
        if worker not in busy:
            return
        job, ended = worker.job, answer is None
        busy.remove(worker)
        if not ended and answer["became"] != "stopped":
            idle.append(worker)
        self._note(job, answer or {"became": "failed", "why": "its process ended without a word: out of memory?"}, busy)

    def _note(self, job: Job, answer: dict[str, Any], busy: Sequence[Any]) -> None:
        job.became, job.why = answer["became"], answer.get("why", "")
        crowded = job.became == "failed" and (busy or job.beside) and "RESOURCE_EXHAUSTED" in job.why
        if crowded and not job.alone:
            job.became, job.alone = "waiting", True
        elif job.became == "stored":
            self.remaining.finish((job.figure, job.config_hash), (self.clock() - job.began) / (1 + job.beside))
        elif job.became != "waiting":
            self.remaining.drop((job.figure, job.config_hash))

    def _dismiss(self, answers: "queue.Queue[Any]", hired: Iterable[Any], busy: list[Any]) -> None:
        """Let go who has nothing to do, stop who is at work: each of them saves first."""
        signum = self.stopped()
        for worker in hired:
            worker.close()  # it ends behind what it is at
            if worker in busy:
                worker.stop(*([signum] if signum else []))
        while busy and self.clock() < self.end:
            self._heard(answers, [], busy)
        for worker in busy:
            worker.job.became = "stopped"
        for worker in hired:
            worker.end(self.end - self.clock())
