"""Programs that tests start in processes of their own: waited for while they work, ended and reaped whatever happens.

A limit by the clock fails on a machine that is busy with something else.  Here programs are given up when they have used so
many seconds of processors, or when neither they nor what they started used any for a minute: then they hang.
"""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil

LIMIT = 300.0  # seconds of processors; the longest program of the suite takes 40
IDLE = 60.0  # seconds by the clock; of a hundred that want two processors each gets more than one of them meanwhile
STIR = 0.1  # seconds of processors; what a thread uses that looks a few times a second whether another process lives


def used() -> float:
    """Seconds of processors that the programs started by this process have used, and the programs started by those."""
    here = psutil.Process()
    reaped = here.cpu_times()
    total = reaped.children_user + reaped.children_system
    for one in here.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class Patience:
    """`spend` raises TimeoutError when the programs that run have used LIMIT since this was made, or less than STIR in IDLE."""

    def __init__(self) -> None:
        self.first = self.last = used()
        self.since = time.monotonic()

    def spend(self) -> None:
        now = used()
        if now - self.first > LIMIT:
            raise TimeoutError(f"used {LIMIT:g} s of processors and did not end")
        if now > self.last + STIR:
            self.last, self.since = now, time.monotonic()
        if time.monotonic() - self.since > IDLE:
            raise TimeoutError(f"used no processor for {IDLE:g} s and did not end")


@contextlib.contextmanager
def started(*command: str, **options) -> Iterator[subprocess.Popen]:
    """A program whose output is piped; killed at the end, with what it started, if it still runs.

    It is waited for: of a child that is not, and of its pipes, a ResourceWarning is raised in whatever test comes later.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes | options)
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(psutil.Error):
                for one in psutil.Process(process.pid).children(recursive=True):
                    one.kill()
            process.kill()
        process.wait()
        for pipe in filter(None, (process.stdout, process.stderr)):
            pipe.close()


def ends(*processes: subprocess.Popen) -> list[subprocess.CompletedProcess]:
    """How programs that run side by side ended and what they said, in their order."""
    done: dict[int, subprocess.CompletedProcess] = {}
    patience = Patience()
    while len(done) < len(processes):
        for process in processes:
            if process.pid not in done:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    out, err = process.communicate(timeout=0.5)
                    done[process.pid] = subprocess.CompletedProcess(process.args, process.returncode, out, err)
        patience.spend()
    return [done[process.pid] for process in processes]


def until(condition: Callable[[], object], *processes: subprocess.Popen) -> None:
    """Wait for what the programs bring about; returns early when one of them has ended."""
    patience = Patience()
    while not condition() and all(process.poll() is None for process in processes):
        time.sleep(0.02)
        patience.spend()


def ran(*command: str, **options) -> subprocess.CompletedProcess:
    """A program that has ended."""
    with started(*command, **options) as process:
        return ends(process)[0]
