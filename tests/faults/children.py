"""Runs of the command line in processes that can be killed; what takes long to import is imported once for all of them."""

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "ntkrun.cli",
        "ntkrun.experiments.runs.trajectories",
        "ntkrun.report.render",
        "ntkrun.runner.run",
        "orbax.checkpoint",
    ]
)


PHASES = ("start-up", "compiling", "training", "checkpoint", "table", "report")
WRITING = ("checkpoint", "table", "report")


@dataclass(frozen=True)
class Moment:
    """`delay` seconds after a run has told for the `number`-th time that it is in a phase."""

    phase: str
    number: int
    delay: float


def phase_of(path: str, before: str) -> str:
    """What a run is about when it writes to this path, `before` if that does not show."""
    if ".checkpoints" in path:
        return "checkpoint"
    if "/cells/" in path:
        return "table" if ".parquet" in path else "compiling" if ".lock" in path else before
    return "report" if Path(path).suffix else before


class Watch:
    """Writes into `folder`/phases what the run is about, and kills it at its moment."""

    def __init__(self, folder: Path, moment: Moment | None) -> None:
        self.moment, self.met, self.phase = moment, Counter[str](), ""
        # nothing is buffered, so it is there after a kill
        self.told = os.open(folder / "phases", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(self, phase: str) -> None:
        os.write(self.told, f"{time.monotonic()} {phase}\n".encode())
        self.phase = phase
        self.met[phase] += 1
        if self.moment is None or (phase, self.met[phase]) != (self.moment.phase, self.moment.number):
            return
        if self.moment.delay == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        timer = threading.Timer(self.moment.delay, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def meet(self, path: str) -> None:
        self.tell(phase_of(path, self.phase))

    def around(self, reached):
        """`CellCheckpoints.reached` is called in the middle of training, and may save."""

        def call(*arguments) -> None:
            self.tell("training")
            reached(*arguments)
            self.tell("training")

        return call


def run(arguments: list[str], folder: Path, moment: Moment | None) -> None:
    """`ntkrun arguments` in this process, called in `folder`; what it prints is added to `folder`/log."""
    from writes import watch

    from ntkrun.cli import main as cli
    from ntkrun.runner.checkpoint import CellCheckpoints

    # a shell's `&` has it ignored, which ntkrun respects; here the run listens however the tests were started
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    sys.argv = ["ntkrun", *arguments]
    keep = Watch(folder, moment)
    keep.tell("start-up")
    patch = pytest.MonkeyPatch()  # for the rest of this process
    patch.setattr(CellCheckpoints, "reached", keep.around(CellCheckpoints.reached))
    watch(folder / "results", keep.meet, patch)
    # line by line: what a run that is killed has said counts
    with open("log", "a", buffering=1) as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        cli.main()


def start(arguments: list[str], folder: Path, moment: Moment | None = None) -> BaseProcess:
    process = CONTEXT.Process(target=run, args=(arguments, folder, moment))
    process.start()
    return process


def told(folder: Path) -> list[tuple[float, str]]:
    """(when, what) the runs in `folder` were about, one after the other."""
    lines = (line.split(" ", 1) for line in (folder / "phases").read_text().splitlines())
    return [(float(when), phase) for when, phase in lines]


def draw_moment(phase: str, whole: list[tuple[float, str]], rng: random.Random) -> Moment:
    """A random moment of a phase of a run that told `whole`.

    While files are written every write is as likely as another, and one in three of the moments is just before it;
    otherwise all times are.  Of the writes of checkpoints the first third is drawn from, to leave more to be killed.
    """
    mine = [(now, later) for (now, at), (later, _) in pairwise(whole) if at == phase]
    gaps = [later - now for now, later in mine]
    if phase not in WRITING:
        (number,) = rng.choices(range(len(gaps)), gaps)
        return Moment(phase, number + 1, rng.uniform(0, gaps[number]))
    number = rng.randrange(len(gaps) // 3 if phase == "checkpoint" else len(gaps))
    return Moment(phase, number + 1, rng.choice([0, 1, 1]) * rng.uniform(0, gaps[number]))
