"""What goes along with a cell's computation: what the person in front of it sees, and what keeps it safe.

Progress is a bar with remaining time on a terminal, plain lines elsewhere.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from ntkrun.outlook import Outlook


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
class Progress(Protocol):
    """What a cell may say while it computes, and where its runs are kept safe."""

    checkpoints: Checkpoints

    def start(self, label: str, steps: int, done: int = 0) -> None: ...
    def advance(self, steps: int) -> None: ...
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

    def start(self, label: str, steps: int, done: int = 0) -> None: ...

    def advance(self, steps: int) -> None: ...

    def info(self, line: str) -> None: ...

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def cell(self, figure: str, name: str, identity: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


class Console:
    """Progress on stderr; stdout stays free for results.  `outlook`: on all figures, where this is a run of all."""

    PLAIN_SECONDS = 15.0  # between two plain lines: a log of a 10-minute run has about 40

    def __init__(self, outlook: Outlook | None = None) -> None:
        self.outlook = outlook
        self.terminal = sys.stderr.isatty()
        self.bar: tqdm | None = None
        self.checkpoints: Checkpoints = NoCheckpoints()

    def start(self, label: str, steps: int, done: int = 0) -> None:
        self.close()
        self.label, self.total, self.done, self.before = label, steps, done, done
        self.started = self.spoke = time.monotonic()
        if self.terminal:
            self.bar = tqdm(total=steps, initial=done, desc=label, unit="step", dynamic_ncols=True, smoothing=0.1)
            self._postfix()
        else:
            self.info(f"{label}: {steps} steps" + (f", going on from step {done}" if done else ""))

    def advance(self, steps: int) -> None:
        self.done += steps
        if self.bar is not None:
            self._postfix()
            self.bar.update(steps)
            if self.done >= self.total:
                self.close()
            return
        now = time.monotonic()
        if now - self.spoke >= self.PLAIN_SECONDS and self.done < self.total:
            self.spoke = now
            left = (now - self.started) / max(self.done - self.before, 1) * (self.total - self.done)
            self.info(f"{self.label}: {self.done}/{self.total} steps, about {left:.0f} s left")

    def _postfix(self) -> None:
        if self.bar is not None and self.outlook is not None:
            self.bar.set_postfix_str(str(self.outlook), refresh=False)

    @contextlib.contextmanager
    def cell(self, figure: str, name: str, identity: str) -> Iterator[None]:
        if self.outlook is None:
            yield
            return
        began = time.monotonic()
        with self.outlook.cell(figure, identity):
            yield
        self.close()
        self.info(f"{figure} {name}: {time.monotonic() - began:.1f} s; {self.outlook}")

    def info(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def warn(self, line: str) -> None:
        self.info(f"warning: {line}")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
