"""What the person in front of it sees of a run: a bar with the remaining time on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator

from tqdm import tqdm

from ntkrun.lockstep.progress import Checkpoints, NoCheckpoints
from ntkrun.runner.remaining_work import RemainingWork


class Console:
    """Progress on stderr; stdout stays free for results.  `remaining`: work of all figures, where this is a run of all."""

    PLAIN_SECONDS = 15.0  # between two plain lines: a log of a 10-minute run has about 40

    def __init__(self, remaining: RemainingWork | None = None) -> None:
        self.remaining = remaining
        self.terminal = sys.stderr.isatty()
        self.bar: tqdm | None = None
        self.checkpoints: Checkpoints = NoCheckpoints()
        self.warned: set[str] = set()

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
        if self.bar is not None and self.remaining is not None:
            self.bar.set_postfix_str(str(self.remaining), refresh=False)

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
