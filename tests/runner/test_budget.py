"""A number of minutes: what is begun in them, in which order, and what is told of the rest."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.cli.timed import LEFT_OVER, outcome_table
from ntkrun.cli.worker import compute
from ntkrun.runner.budget import MARGIN, MEMORY, Budget, Expected, Job


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def job(name: str, run: float | None, compiling: float = 0.0, memory: int = 0, place: int = 0) -> Job:
    expected = None if run is None else Expected(float(compiling), float(run), memory)
    found = Job("fig1", name, name, {}, place)
    found.expected = expected
    return found


def budget(seconds: float, *jobs: Job, workers: int = 1, **fields: Any) -> tuple[Budget, Clock]:
    clock = Clock()
    for place, one in enumerate(jobs):
        one.place = place
    made = Budget(float(seconds), jobs, workers, clock=clock, **fields)
    for one in jobs:
        if one.expected is not None:
            made.expect(one, one.expected)
    return made, clock


class Pretended:
    """A process whose jobs take `pace` times as long as expected, on a clock that runs when it is asked to."""

    def __init__(self, answers: queue.Queue, clock: Clock, pace: float, answer: dict[str, Any]) -> None:
        self.answers, self.clock, self.pace, self.answer, self.job = answers, clock, pace, answer, None

    def assign(self, job: Job, order: dict[str, Any]) -> None:
        assert job.expected is not None
        self.job = job
        self.clock.now += self.pace * job.expected.seconds
        self.answers.put((self, self.answer))

    def stop(self, signum: int = signal.SIGTERM) -> None: ...

    def close(self) -> None: ...

    def wait_or_kill(self, patience: float) -> None: ...


def played(made: Budget, clock: Clock, pace: float = 1.0, answer: dict[str, Any] | None = None) -> list[str]:
    """The cells in the order in which they were begun."""
    made.run(lambda answers: Pretended(answers, clock, pace, answer or {"state": "stored"}))
    begun = sorted((one for one in made.jobs if one.began), key=lambda one: one.began)
    return [one.cell for one in begun]


def test_the_shortest_come_first_or_those_that_were_named_first():
    jobs = [job("long", 50), job("short", 5), job("middle", 20)]
    assert played(*budget(1000, *jobs)) == ["short", "middle", "long"]
    jobs = [job("long", 50), job("short", 5), job("middle", 20)]
    assert played(*budget(1000, *jobs, shortest_first=False)) == ["long", "short", "middle"]


def test_none_is_begun_that_will_not_end_in_time():
    made, clock = budget(MARGIN + 100, job("a", 60), job("b", 60), job("c", 39.9))
    assert played(made, clock) == ["c", "a"] and [one.state for one in made.jobs] == ["stored", "waiting", "stored"]
    made, clock = budget(MARGIN + 100, job("a", 100.1))
    assert played(made, clock) == [] and clock.now == Clock.now, "it ends at once where nothing fits"


def test_what_has_been_seen_says_how_long_the_rest_takes():
    # twice as slow as expected: after 2 x 100 s of a, b is taken for 160 (200 + 60)/(100 + 60), and 165 s are left
    slow, clock = budget(MARGIN + 365, job("a", 100), job("b", 160))
    assert played(slow, clock, pace=2.0) == ["a"]
    even, clock = budget(MARGIN + 365, job("a", 100), job("b", 160))
    assert played(even, clock, pace=1.0) == ["a", "b"]


def test_a_cell_beside_others_is_taken_to_run_longer_and_on_an_accelerator_compiles_as_ever():
    for shared, seconds in ((True, 10 + 3 * 20), (False, 3 * (10 + 20))):
        made, _ = budget(1000, job("x", 20, 10), job("a", 1), job("b", 1), shared_device=shared)
        assert made.takes(made.jobs[0], 2) == pytest.approx(seconds)


def test_cells_run_together_only_where_the_device_has_room_for_them():
    made, _ = budget(1000, job("a", 1, memory=50), job("b", 2, memory=60), job("c", 3, memory=30), memory=100.0)
    assert made.next() is made.jobs[0]
    made.jobs[0].state = "running"
    assert made.next() is made.jobs[2] and 50 + 30 <= MEMORY * 100 < 50 + 60
    made.jobs[0].state = "stored"
    alone, _ = budget(1000, job("large", 1, memory=500), memory=100.0)
    assert alone.next() is alone.jobs[0], "by itself it is tried: the forecast is no proof"


class Crowded(Pretended):
    """On a device that is too small for cell b beside `room` others."""

    def __init__(self, answers: queue.Queue, clock: Clock, room: int, begun: list[tuple[str, int]]) -> None:
        super().__init__(answers, clock, 1.0, {})
        self.room, self.begun = room, begun

    def assign(self, job: Job, order: dict[str, Any]) -> None:
        full = {"state": "failed", "why": "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory"}
        self.answer = full if job.cell == "b" and job.beside >= self.room else {"state": "stored"}
        self.begun.append((job.cell, job.beside))
        super().assign(job, order)


@pytest.mark.parametrize(("room", "state"), [(1, "stored"), (0, "failed")])
def test_a_cell_without_memory_beside_others_is_tried_again_alone(room, state):
    made, clock = budget(1000, job("a", 1), job("b", 2), job("c", 3), workers=2)
    begun: list[tuple[str, int]] = []
    made.run(lambda answers: Crowded(answers, clock, room, begun))
    assert begun == [("a", 0), ("b", 1), ("c", 1), ("b", 0)], "not before c has ended, and once"
    assert [one.state for one in made.jobs] == ["stored", state, "stored"]


def test_a_cell_that_fails_stops_no_other_and_is_told():
    made, clock = budget(1000, job("a", 1), job("b", 2))
    assert played(made, clock, answer={"state": "failed", "why": "not finite at step 3"}) == ["a", "b"]
    table = outcome_table(made.jobs, 4, 1.0, 30.0)
    assert (
        table.startswith("0 of 6 cells finished now, 4 stored before, 2 left")
        and "failed: not finite at step 3" in table
    )


def test_a_request_to_stop_ends_it():
    made, clock = budget(1000, job("a", 1), job("b", 2), stopped=lambda: signal.SIGTERM)
    assert played(made, clock) == []


def test_what_is_not_planned_yet_is_waited_for():
    late = job("late", None)
    made, clock = budget(1000, late)
    seen = []

    def planned() -> bool:
        if len(seen) == 1:
            made.expect(late, Expected(0.0, 5.0))
        seen.append(late.expected)
        return len(seen) > 2

    made.planned = planned
    assert played(made, clock) == ["late"] and late.state == "stored"


SMOKE = ("scale=smoke", "results_dir=results", "data.source=stand_in")


def begun(folder: Path, *arguments: str, **popen: Any) -> subprocess.Popen:
    command = [sys.executable, "-m", "ntkrun.cli", *arguments, *SMOKE]
    return subprocess.Popen(command, cwd=folder, text=True, **popen)


@pytest.mark.usefixtures("unpainted")
def test_processes_compute_the_cells_and_the_same_command_finds_them(ntkrun, tmp_path, settings_of):
    command = ("experiment=fig1", "minutes=5", "jobs=2", "stage=run")
    code, told, err = ntkrun(*command, *SMOKE)
    assert code == 0 and "2 of 2 cells finished now, 0 stored before, 0 left" in told, told + err
    code, told, _ = ntkrun("experiment=fig1,lockstep", "minutes=5", *SMOKE)
    assert code == 0 and "1 of 3 cells finished now, 2 stored before, 0 left" in told
    lines = {line.split()[0]: line.split()[1:3] for line in told.splitlines() if line}
    assert [lines[name] for name in ("fig1", "lockstep", "all")] == [["0", "2"], ["1", "0"], ["1", "2"]], told
    # the numbers are those of one process
    direct = tmp_path / "direct"
    raw = settings_of("fig1", "smoke", f"results_dir={direct}", "model.width=16", "data.source=stand_in")
    from ntkrun.experiments.figures import load_experiment
    from ntkrun.runner.plan import make_cells
    from ntkrun.runner.store import Store, read_table

    (cell,) = make_cells(load_experiment("fig1"), raw)
    Store(direct, "smoke", "fig1").prepare()
    assert compute("fig1", raw, cell.config_hash) == {"state": "stored"}
    (ours,), (theirs,) = (
        list(folder.glob(f"smoke/fig1/cells/{cell.config_hash}*")) for folder in (direct, tmp_path / "results")
    )
    tables = [read_table(path)[0].drop(columns="cell") for path in (ours, theirs)]  # named after what is swept
    assert tables[0].equals(tables[1])


LONG = ("experiment=lockstep", "model.width=64", "optimizer.steps=2000000", "data.n_train=16", "record.per_octave=1")


@pytest.mark.end_to_end
def test_a_signal_reaches_the_processes_which_save_first(tmp_path):
    with (tmp_path / "out").open("w+") as out:
        run = begun(tmp_path, *LONG, "minutes=600", "stage=run", "flop_rate=1e15", stdout=out, stderr=out)
        lock = tmp_path / "results" / "smoke" / "lockstep" / "cells"
        deadline = time.monotonic() + 120
        while not list(lock.glob("*.lock")) and time.monotonic() < deadline:
            time.sleep(0.2)
        child = json.loads(next(lock.glob("*.lock")).read_text().split("\n")[0])["pid"]
        while "2000000 steps" not in (tmp_path / "out").read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        run.send_signal(signal.SIGTERM)
        assert run.wait(60) == 128 + signal.SIGTERM
        out.seek(0)
        told = out.read()
    assert "stopped, goes on from its checkpoint" in told, told
    assert list(lock.glob("*.checkpoints/*")) and not list(lock.glob("*.lock"))
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_what_does_not_fit_is_left_and_listed(ntkrun):
    code, out, err = ntkrun(*LONG, *SMOKE, "minutes=1", "stage=run", "flop_rate=1e6", "record.first_time=1e9")
    assert code == LEFT_OVER and "lockstep seed=0" in out and "not begun" in out, out + err
    assert "warning: record.first_time=1e+09 lies behind the end" in err, "what does nothing is told here, too"
    assert re.search(r"no cell of it ends within minutes=1: give minutes=\d+ or more", out) and "goes on" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiment=fig3", "minutes=0.1"], "minutes=0.1 leaves "),
        (["experiment=fig3", "minutes=9", "stage=report"], "minutes=9 limits what is computed"),
        (["experiment=fig3", "jobs=3"], "jobs=3 is for runs within a time: add minutes=9, say"),
        (["experiment=fig3", "minutes=-1"], "minutes=-1: input should be greater than 0"),
        (["-m", "experiment=fig3", "minutes=9"], "minutes= is one call, without -m"),
        (["experiment=fig3", "minutes=9", "distributed=true"], "leave out distributed=true"),
    ],
)
def test_a_time_that_cannot_be_kept_is_refused(ntkrun, tmp_path, arguments, message):
    code, out, err = ntkrun(*arguments, *SMOKE)
    assert code == 2 and message in err and err.startswith("error: ") and err.count("\n") == 1, (out, err)
    assert not (tmp_path / "results").exists()
