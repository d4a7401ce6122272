"""What goes along with a cell's computation: what it says while it computes, and what keeps it safe from interruption.

`cli.console` shows it to the person in front of it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass
class Resumed:
    """Where a lockstep run begins: at `step` with `states`, after the observations `seen`; (0, given states, []) anew.

    The run appends to `seen`, (step, observations) each time, what it observes.
    """

    label: str
    step: int
    states: Any
    seen: list[tuple[int, Any]]


@runtime_checkable
class Checkpoints(Protocol):
    """What keeps a long run safe from interruption; the runner has one that writes files."""

    def running(self, label: str, states: Any) -> AbstractContextManager[Resumed]:
        """Around one lockstep run whose initial states are `states`."""
        ...

    def reached(self, step: int, states: Any) -> None:
        """Called about twice a second; may save, and raise when the run is to stop."""
        ...


class NoCheckpoints:
    """Every run starts anew."""

    @contextlib.contextmanager
    def running(self, label: str, states: Any) -> Iterator[Resumed]:
        yield Resumed(label, 0, states, [])

    def reached(self, step: int, states: Any) -> None: ...


@runtime_checkable
class Log(Protocol):
    """Who keeps what is recorded, step by step; the runner has those that write files."""

    def record(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """The numbers of one record point by their names, `loss/network/train`; after a resumption earlier points come again."""
        ...


class NoLog:
    """Nothing is kept."""

    def record(self, step: int, time: float, values: Mapping[str, float]) -> None: ...


@runtime_checkable
class Progress(Protocol):
    """What a cell may say while it computes, where its runs are kept safe, and who keeps the numbers that it records."""

    checkpoints: Checkpoints
    log: Log

    def phase(self, label: str, what: str) -> None:
        """Of a cell that computes something else than steps: its kernels, say."""
        ...

    def start(self, label: str, steps: int, done: int = 0) -> None: ...
    def advance(self, steps: int) -> None: ...
    def recorded(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """What `log` is told."""
        ...

    def info(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...
    def cell(self, figure: str, name: str, identity: str) -> AbstractContextManager[None]:
        """Around the computation of one cell."""
        ...


class Silent:
    """Says nothing but keeps the warnings: for notebooks and tests."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.checkpoints: Checkpoints = NoCheckpoints()
        self.log: Log = NoLog()

    def phase(self, label: str, what: str) -> None: ...

    def start(self, label: str, steps: int, done: int = 0) -> None: ...

    def advance(self, steps: int) -> None: ...

    def recorded(self, step: int, time: float, values: Mapping[str, float]) -> None:
        self.log.record(step, time, values)

    def info(self, line: str) -> None: ...

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def cell(self, figure: str, name: str, identity: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext()
