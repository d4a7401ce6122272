"""Programs that tests start in processes of their own: waited for while they work, ended and reaped whatever happens.

A limit by the clock fails on a machine that is busy with something else.  Here programs are given up when they have used so
many seconds of processors, or when neither they nor what they started used any for a minute: then they hang.
"""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

import psutil

LIMIT = 300.0  # seconds of processors; what those of one test take is at most 30
IDLE = 60.0  # seconds by the clock; of a hundred that want two processors each gets more than one of them meanwhile
STIR = 0.1  # seconds of processors; what a thread uses that looks a few times a second whether another process lives


class Program(subprocess.Popen):
    """Says what it says into files, at their ends: a pipe that nobody reads holds up who writes into it."""

    def __init__(self, command: tuple[str, ...], **options) -> None:
        self._said = out, err = tempfile.TemporaryFile("a+"), tempfile.TemporaryFile("a+")  # noqa: SIM115  (`end`)
        super().__init__(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, **options)

    def said(self) -> tuple[str, str]:
        """Standard output and standard error so far."""
        for file in self._said:
            file.seek(0)
        out, err = (file.read() for file in self._said)
        return out, err

    def end(self) -> None:
        """Kill it, with what it started, if it still runs, and wait for it.

        Of a child that is not waited for a ResourceWarning is raised in whatever test comes later.
        """
        if self.poll() is None:
            with contextlib.suppress(psutil.Error):
                for one in psutil.Process(self.pid).children(recursive=True):
                    one.kill()
            self.kill()
        self.wait()
        for file in self._said:
            file.close()


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


def wait(condition: Callable[[], object], programs: tuple[Program, ...]) -> None:
    """Raises TimeoutError when programs have used LIMIT in vain since this was called, or less than STIR in IDLE."""
    first = last = used()
    since = time.monotonic()
    while not condition():
        now = used()
        if now > last + STIR:
            last, since = now, time.monotonic()
        if now > first + LIMIT or time.monotonic() > since + IDLE:
            heard = "".join(f"\n{program.args}: {program.said()[1][-2000:]}" for program in programs)
            raise TimeoutError(
                f"in vain: {now - first:.0f} s of processors, {time.monotonic() - since:.0f} s idle{heard}"
            )
        time.sleep(0.02)


@contextlib.contextmanager
def started(*command: str, **options) -> Iterator[Program]:
    """A program at work beside the test, for as long as the block lasts."""
    program = Program(command, **options)
    try:
        yield program
    finally:
        program.end()


def ends(*programs: Program) -> list[subprocess.CompletedProcess[str]]:
    """How programs that run side by side ended and what they said, in their order."""
    wait(lambda: all(program.poll() is not None for program in programs), programs)
    return [subprocess.CompletedProcess(program.args, program.returncode, *program.said()) for program in programs]


def until(condition: Callable[[], object], *programs: Program) -> None:
    """Wait for what the programs bring about; returns early when one of them has ended."""
    wait(lambda: condition() or any(program.poll() is not None for program in programs), programs)


def ran(*command: str, **options) -> subprocess.CompletedProcess[str]:
    """A program that has ended."""
    with started(*command, **options) as program:
        return ends(program)[0]
