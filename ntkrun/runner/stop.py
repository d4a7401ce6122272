"""Requests to stop (SIGTERM, SIGUSR1, SIGUSR2, Ctrl-C): what is under way is saved first, then they take effect.

Schedulers announce the end of an allocation or a pre-emption by such a signal.  Inside a lockstep run the request waits
for the end of the compiled loop, half a second or so; a second Ctrl-C does not wait.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")


class Interrupted(KeyboardInterrupt):
    """A signal ended the run; `signum` says which."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


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
