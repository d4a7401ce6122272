"""What checkpoints cost: a cell with and without them, each pair timed in turn in one run; target: 3 % of the time.

1. the whole cell with a checkpoint every --every minutes (so that a cell of minutes makes several) over the cell without,
   after a first run, which compiles and imports Orbax; and the bytes and seconds of every checkpoint, from these the
   share of the time at the cell's own checkpoint_minutes.  The default is n = 2048 of Figure S4 at cpu scale, a minute
2. a large state, random numbers of the shapes of the cell's (its own zeros would be compressed away), which is not
   trained: bytes, seconds and share for network and f_lin of 3072-5x2048-1 with momentum, both in parameter space (a batch
   size makes f_lin so), where --state names no other cell

    python scripts/bench_checkpoints.py [--pairs 2] [--every .25] [--cell experiment=figs4 ...] [--state ...]
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntkrun.cli.hydra.compose import compose
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.figures import load_experiment
from ntkrun.lockstep.progress import NoCheckpoints, Resumed, Silent
from ntkrun.runner.checkpoint import CellCheckpoints
from ntkrun.runner.lock import Lock
from ntkrun.runner.plan import Cell, make_cells
from ntkrun.runner.stop import StopRequests

jax.config.update("jax_enable_x64", True)
TARGET = 0.03
LARGE = [
    "experiment=fig3", "scale=paper", "data.source=stand_in", "optimizer=momentum", "optimizer.momentum=.9",
    "optimizer.batch_size=64",
]  # fmt: skip


class Timed(CellCheckpoints):
    """Keeps (bytes, seconds) of every checkpoint that is written."""

    def __init__(self, folder: Path, minutes: float, lock: Lock) -> None:
        self.writes: list[tuple[int, float]] = []
        super().__init__(folder, minutes, {}, lock, StopRequests(), self._fail)

    def _save(self, step: int, states: Any) -> None:
        began = time.perf_counter()
        super()._save(step, states)
        seconds = time.perf_counter() - began
        newest = self._serials()[0]
        self.writes.append((sum(path.stat().st_size for path in newest.rglob("*") if path.is_file()), seconds))

    @staticmethod
    def _fail(line: str) -> None:
        raise SystemExit(line)


class EnoughError(Exception):
    """The state was written as often as was asked."""


class Repeatedly(NoCheckpoints):
    """Writes states of the shapes that a cell begins to train with, and ends the cell there."""

    def __init__(self, checkpoints: Timed, times: int) -> None:
        self.checkpoints, self.times = checkpoints, times

    @contextlib.contextmanager
    def running(self, label: str, states: Any) -> Iterator[Resumed]:
        rng = np.random.default_rng(0)
        filled = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32).astype(leaf.dtype), states)
        for _ in range(self.times):
            self.checkpoints._save(0, filled)
        raise EnoughError
        yield


@contextlib.contextmanager
def timed(minutes: float) -> Iterator[Timed]:
    with tempfile.TemporaryDirectory(dir=".") as folder:
        lock = Lock(Path(folder) / "cell.lock")
        lock.acquire()
        with lock:
            yield Timed(Path(folder) / "cell.checkpoints", minutes, lock)


def cell_of(overrides: list[str]) -> tuple[Experiment, Cell]:
    """The first cell of a command line."""
    raw = compose(overrides).settings
    experiment = load_experiment(raw["experiment"])
    return experiment, make_cells(experiment, raw)[0]


def seconds_of(experiment: Experiment, cell: Cell, checkpoints: Any) -> float:
    progress = Silent()
    progress.checkpoints = checkpoints
    began = time.perf_counter()
    experiment.run.compute(cell.settings, cell.name, progress)
    return time.perf_counter() - began


def describe(writes: list[tuple[int, float]], minutes: float) -> None:
    size, seconds = (np.array(column) for column in zip(*writes, strict=True))
    share = statistics.median(seconds) / (60 * minutes)
    print(
        f"  {len(writes)} checkpoints of {size.max() / 1e6:.2f} MB, {statistics.median(seconds):.3f} s each "
        f"({seconds.min():.3f} to {seconds.max():.3f})\n"
        f"  every {minutes:g} minutes that is {share:.3%} of the time (target < {TARGET:.0%})"
    )


def pairs(experiment: Experiment, cell: Cell, count: int, every: float) -> None:
    """1. of the module's text."""
    without, with_them, writes = [], [], []
    with timed(every) as checkpoints:
        seconds_of(experiment, cell, checkpoints)
    for pair in range(count):
        with timed(every) as checkpoints:
            # in turn, and each as often first as the other
            order = [(without, NoCheckpoints()), (with_them, checkpoints)]
            for seconds, kept in reversed(order) if pair % 2 else order:
                seconds.append(seconds_of(experiment, cell, kept))
        writes += checkpoints.writes
    ratios = [a / b for a, b in zip(with_them, without, strict=True)]
    print(
        f"{experiment.name} {cell.name}, a checkpoint every {every:g} minutes: {statistics.median(ratios):.4f} of the time "
        f"without ({min(ratios):.4f} to {max(ratios):.4f} over {count} pairs; medians "
        f"{statistics.median(with_them):.2f} s and {statistics.median(without):.2f} s)"
    )
    if writes:
        describe(writes, cell.settings.checkpoint_minutes)
    else:
        print("  no checkpoint was due: choose a shorter --every")


def large(experiment: Experiment, cell: Cell, times: int) -> None:
    """2. of the module's text."""
    with timed(1e9) as checkpoints, contextlib.suppress(EnoughError):
        seconds_of(experiment, cell, Repeatedly(checkpoints, times))
    print(f"{experiment.name} {cell.name}, width {cell.settings.model.width}, untrained:")
    describe(checkpoints.writes[1:], cell.settings.checkpoint_minutes)  # the first imports Orbax


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--every", type=float, default=0.25)
    parser.add_argument("--cell", nargs="*", default=["experiment=figs4", "scale=cpu", "model.width=2048"])
    parser.add_argument("--state", nargs="*", default=LARGE)
    asked = parser.parse_args()
    if asked.cell:
        pairs(*cell_of(asked.cell), asked.pairs, asked.every)
    if asked.state:
        large(*cell_of(asked.state), 1 + asked.pairs)


if __name__ == "__main__":
    main()
