"""Requests to stop (SIGTERM, SIGUSR1, SIGUSR2, Ctrl-C): what is under way is saved first, then they take effect.

Schedulers announce the end of an allocation or a pre-emption by such a signal.  Inside a lockstep run the request waits
for the end of the compiled loop, half a second or so; a second Ctrl-C does not wait.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")


class Interrupted(KeyboardInterrupt):
    """A signal ended the run; `signum` says which."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


AGAIN = 1.0  # seconds after which a request counts anew: a library may have swallowed the one before


@contextlib.contextmanager
def listening(in_an_import: Callable[[int], None]) -> Iterator[list[int]]:
    """Inside it SIGINT and SIGTERM raise Interrupted; those that follow at once do not disturb the way out.

    Yields the signals heard so far.  A signal that somebody wants the program to outlive (nohup, `&`) stays ignored.
    Libraries written in C++ abort the process when their import is interrupted by an exception: there `in_an_import` is
    called instead, with the signal; it should end the process.
    """
    heard: list[int] = []
    raised: list[float] = []

    def on_signal(signum: int, frame: FrameType | None) -> None:
        heard.append(signum)
        if _imports(frame):
            in_an_import(signum)
        if not raised or time.monotonic() - raised[-1] > AGAIN:
            raised.append(time.monotonic())
            raise Interrupted(signum)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {
            signum: signal.signal(signum, on_signal)
            for signum in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(signum) is not signal.SIG_IGN
        }
    try:
        yield heard
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)


def _imports(frame: FrameType | None) -> bool:
    """Whether an import is under way."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib."):
        frame = frame.f_back
    return frame is not None


@contextlib.contextmanager
def ignored_requests() -> Iterator[None]:
    """Inside it the signals do nothing."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
        before = {signum: signal.signal(signum, signal.SIG_IGN) for signum in numbers}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)


class StopRequests:
    """`with StopRequests() as stop:` listens; `busy` defers a request until `take_effect`, `save` is called before it.

    Whoever listened before (a launcher that requeues the job, say) is called after us and decides how it goes on; where
    nobody did, Interrupted is raised.
    """

    def __init__(self) -> None:
        self.busy = False
        self.save: Callable[[], None] = lambda: None
        self.pending: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread():
            for signum in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                before = signal.getsignal(signum)
                if before is not signal.SIG_IGN:  # somebody wants the run to outlive this signal (nohup, `&`)
                    self._before[signum] = before
                    signal.signal(signum, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before if before is not None else signal.SIG_DFL)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.busy:
            if self.pending is not None and signum == signal.SIGINT:
                self._pass_on(signum, frame)
            self.pending = self.pending or signum
            return
        self.busy = True
        try:
            self.save()
        finally:
            self.busy = False
        self._pass_on(signum, frame)

    def take_effect(self) -> None:
        """Act on a request that came while `busy`; the caller has saved."""
        if self.pending is not None:
            signum, self.pending = self.pending, None
            self._pass_on(signum, None)

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        before = self._before[signum]
        try:
            if not callable(before) or before is signal.default_int_handler:
                raise Interrupted(signum)
            before(signum, frame)
        except BaseException:
            # The process is leaving, with all saved that will be.  Another request on the way out (SLURM sends SIGTERM for
            # the requeue that SIGUSR2 asked for) finds the run abandoned: its save would hide the checkpoint of this one.
            self.save = lambda: None
            raise
