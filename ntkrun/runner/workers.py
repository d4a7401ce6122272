"""Worker processes (`cli.worker`), which compute cells at the same time; this is the side that hands out the cells."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, TypeVar

Stream = TypeVar("Stream")
Answer = tuple["Worker", dict[str, Any] | None]  # None when the process has ended


@dataclass(eq=False)
class Worker:
    """One process.

    answers  the queue into which it puts (itself, answer), one answer a job and None when the process has ended
    job      the job it was given last
    """

    answers: "queue.Queue[Answer]"
    job: Any = None
    process: "subprocess.Popen[str]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # in its own session, so that Ctrl-C does not reach it directly: the parent forwards it, once
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ntkrun.cli.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        for forwarding in (self._read_answers, self._forward_errors):
            threading.Thread(target=forwarding, daemon=True).start()

    def assign(self, job: Any, order: dict[str, Any]) -> None:
        """Hand it a job; if the process has died, the None in `answers` says so, no exception."""
        self.job = job
        with contextlib.suppress(OSError):
            _open(self.process.stdin).write(json.dumps(order) + "\n")
            _open(self.process.stdin).flush()

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Ask it to write its checkpoint and end."""
        if self.process.poll() is None:
            self.process.send_signal(signum)

    def close(self) -> None:
        """Close its input: it ends once its present job is done."""
        with contextlib.suppress(OSError):
            _open(self.process.stdin).close()

    def wait_or_kill(self, patience: float) -> None:
        """Wait up to `patience` seconds for it to end, then kill it."""
        try:
            self.process.wait(max(patience, 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read_answers(self) -> None:
        with _open(self.process.stdout) as lines:
            for line in lines:
                self.answers.put((self, json.loads(line)))
        self.process.wait()
        self.answers.put((self, None))

    def _forward_errors(self) -> None:
        with _open(self.process.stderr) as lines:
            for line in lines:
                print(line, end="", file=sys.stderr, flush=True)


def _open(stream: Stream | None) -> Stream:
    assert stream is not None  # all three are pipes
    return stream
