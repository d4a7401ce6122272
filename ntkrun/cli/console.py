"""What the person in front of it sees of a run: a bar with the remaining time on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tqdm import tqdm

from ntkrun.experiments import curves
from ntkrun.lockstep.progress import Checkpoints, Log, NoCheckpoints, NoLog
from ntkrun.runner.remaining_work import RemainingWork

LOSS = f"{curves.LOSS.of(curves.NETWORK)}/train"
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
COLUMNS = 99  # that every line fits, of 100, one of which is left free
FULL = ": 100%|#| / [00:00<00:00, loss 1.23e-05, ]"  # of them, beside the label, the counts and what is left of all figures


class Console:
    """Progress on stderr; stdout stays free for results.  `remaining`: work of all figures, where this is a run of all."""

    PLAIN_SECONDS = 15.0  # between two plain lines: a log of a 10-minute run has about 40

    def __init__(self, remaining: RemainingWork | None = None) -> None:
        self.remaining = remaining
        self.terminal = sys.stderr.isatty()
        self.bar: tqdm | None = None
        self.checkpoints: Checkpoints = NoCheckpoints()
        self.log: Log = NoLog()
        self.loss: float | None = None  # of the network on the training examples, at the last record point
        self.warned: set[str] = set()

    def phase(self, label: str, what: str) -> None:
        self.close()
        self.loss = None
        if self.terminal:
            room = COLUMNS - len(f": {what}, {self._state()}")
            self._show(f"{self._cut(label, room)}: {what}", bar_format="{desc}{postfix}", total=0, leave=False)
        else:
            self.info(f"{label}: {what}")

    def start(self, label: str, steps: int, done: int = 0) -> None:
        self.close()
        self.label, self.total, self.done, self.before, self.loss = label, steps, done, done, None
        self.started = self.spoke = time.monotonic()
        if self.terminal:
            room = COLUMNS - len(f"{FULL}{steps}{steps}{self._state()}")
            self._show(self._cut(label, room), bar_format=BAR, total=steps, initial=done)
        else:
            self.info(f"{label}: {steps} steps" + (f", going on from step {done}" if done else ""))

    def advance(self, steps: int) -> None:
        self.done += steps
        if self.bar is not None:
            self.bar.set_postfix_str(self._state(), refresh=False)
            self.bar.update(steps)
            return
        now = time.monotonic()
        if now - self.spoke >= self.PLAIN_SECONDS and self.done < self.total:
            self.spoke = now
            left = (now - self.started) / max(self.done - self.before, 1) * (self.total - self.done)
            self.info(f"{self.label}: {self.done}/{self.total} steps{self._loss()}, about {left:.0f} s left")

    def recorded(self, step: int, time: float, values: Mapping[str, float]) -> None:
        self.loss = values.get(LOSS, self.loss)
        self.log.record(step, time, values)
        if self.bar is not None:
            self.bar.set_postfix_str(self._state())

    def _loss(self) -> str:
        return "" if self.loss is None else f", loss {self.loss:.3g}"

    def _state(self) -> str:
        """The end of a bar."""
        left = "" if self.remaining is None else f", {self.remaining.brief()}"
        return (self._loss() + left).removeprefix(", ")

    def _cut(self, label: str, room: int) -> str:
        """Which figure it is of how many, and the label, in so many columns."""
        if self.remaining is not None and self.remaining.figure:
            label = f"[{self.remaining.figure}] {label}"
        return label if len(label) <= room else f"{label[: room - 3]}..."

    def _show(self, label: str, **how: Any) -> None:
        how |= {"dynamic_ncols": True, "smoothing": 0.1, "file": sys.stderr}
        self.bar = tqdm(desc=label, postfix=self._state(), **how)

    @contextlib.contextmanager
    def cell(self, figure: str, name: str, identity: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            with contextlib.nullcontext() if self.remaining is None else self.remaining.computing((figure, identity)):
                yield
        finally:
            self.close()
        if self.remaining is None:
            return
        self.info(f"{figure} {name}: {time.monotonic() - began:.1f} s; {self.remaining}")

    def info(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def warn(self, line: str) -> None:
        """Once: what holds for every cell of a sweep is not said of each."""
        if line not in self.warned:
            self.warned.add(line)
            self.info(f"warning: {line}")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
