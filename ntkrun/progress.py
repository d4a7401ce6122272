"""What the person in front of the run sees: a bar with remaining time on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Protocol, runtime_checkable

from tqdm import tqdm


@runtime_checkable
class Progress(Protocol):
    """What a cell may say while it computes."""

    def start(self, label: str, steps: int) -> None: ...
    def advance(self, steps: int) -> None: ...
    def info(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...


class Silent:
    """Says nothing but keeps the warnings: for notebooks and tests."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def start(self, label: str, steps: int) -> None: ...

    def advance(self, steps: int) -> None: ...

    def info(self, line: str) -> None: ...

    def warn(self, line: str) -> None:
        self.warnings.append(line)


class Console:
    """Progress on stderr; stdout stays free for results."""

    PLAIN_SECONDS = 15.0  # between two plain lines: a log of a 10-minute run has about 40

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self.bar: tqdm | None = None

    def start(self, label: str, steps: int) -> None:
        self.close()
        self.label, self.total, self.done = label, steps, 0
        self.started = self.spoke = time.monotonic()
        if self.terminal:
            self.bar = tqdm(total=steps, desc=label, unit="step", dynamic_ncols=True, smoothing=0.1)
        else:
            self.info(f"{label}: {steps} steps")

    def advance(self, steps: int) -> None:
        self.done += steps
        if self.bar is not None:
            self.bar.update(steps)
            if self.done >= self.total:
                self.close()
            return
        now = time.monotonic()
        if now - self.spoke >= self.PLAIN_SECONDS and self.done < self.total:
            self.spoke = now
            left = (now - self.started) / self.done * (self.total - self.done)
            self.info(f"{self.label}: {self.done}/{self.total} steps, about {left:.0f} s left")

    def info(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)

    def warn(self, line: str) -> None:
        self.info(f"warning: {line}")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
