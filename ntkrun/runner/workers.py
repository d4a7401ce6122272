"""The processes beside each other that compute cells (`cli.worker`), as the process sees them that tells them which."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import IO, Any

Answer = tuple["Worker", dict[str, Any] | None]  # None: the process has ended


@dataclass(eq=False)
class Worker:
    """One process; what it answers arrives in `answers`."""

    answers: "queue.Queue[Answer]"
    job: Any = None  # what it is at
    process: "subprocess.Popen[str]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # a session of its own: a Ctrl-C reaches it through the parent alone, and once
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ntkrun.cli.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        for work in (self._hear, self._pass_on):
            threading.Thread(target=work, daemon=True).start()

    def tell(self, job: Any, order: dict[str, Any]) -> None:
        """Give it a cell; a process that has just died says so through `answers`."""
        self.job = job
        with contextlib.suppress(OSError):
            _open(self.process.stdin).write(json.dumps(order) + "\n")
            _open(self.process.stdin).flush()

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Ask it to save and end."""
        if self.process.poll() is None:
            self.process.send_signal(signum)

    def close(self) -> None:
        """It has nothing more to do."""
        with contextlib.suppress(OSError):
            _open(self.process.stdin).close()

    def end(self, patience: float) -> None:
        """Wait for it, kill it when that takes longer."""
        try:
            self.process.wait(max(patience, 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _hear(self) -> None:
        for line in _open(self.process.stdout):
            self.answers.put((self, json.loads(line)))
        self.process.wait()
        self.answers.put((self, None))

    def _pass_on(self) -> None:
        for line in _open(self.process.stderr):
            print(line, end="", file=sys.stderr, flush=True)


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # all three are pipes
    return stream
