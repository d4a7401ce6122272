"""Whatever kills, fills or corrupts: nothing finished is lost, and the resumed run is the uninterrupted one bit for bit.

Slow: `make test-faults` runs them and prints how many of each were tried.
"""

import collections
import errno
import gc
import os
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from children import PHASES, draw_moment, start, told
from tried import TRIED
from writes import watch

from ntkrun.errors import UserError
from ntkrun.lockstep import loop as protocol
from ntkrun.runner import checkpoint
from ntkrun.runner import lock as locks
from ntkrun.runner.plan import make_cells
from ntkrun.runner.stop import Interrupted
from ntkrun.runner.store import Store, read_table

# Orbax and tensorstore complain about files that are damaged on purpose from threads of their own, too
pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

# of each sequence of kills: what the run is about when it is killed
PLAN = ["start-up", "training", "compiling", "checkpoint", "checkpoint", "table", "training", "checkpoint", "checkpoint",
        "checkpoint", "table", "report", "report", "report"]  # fmt: skip
RUN = [
    "experiment=lockstep", "scale=smoke", "data=mnist", "data.source=stand_in", "seed=[0,1]", "optimizer.steps=1200",
    "optimizer.batch_size=4", "checkpoint_minutes=.001",
]  # fmt: skip


@pytest.fixture(scope="module")
def cells(settings_of):
    raw = settings_of("fig3", "smoke", "data.source=stand_in", "checkpoint_minutes=1e-7")
    return make_cells(tiny.experiment(), raw | {"seed": [0, 1]})


@pytest.fixture(scope="module")
def one_saved(cells, settings_of):
    """The same cells, the second without checkpoints."""
    return [cells[0], replace(cells[1], settings=cells[1].settings.model_copy(update={"checkpoint_minutes": 60.0}))]


@pytest.fixture(scope="module")
def uninterrupted(cells, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("whole"), "smoke", "fig3")
    tiny.run(cells, store, figure=True)
    return tiny.stored(store)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results", "smoke", "fig3")


def finished(folder: Path) -> dict:
    """All tables of a command line's run, every one of them readable."""
    return {path.name: read_table(path)[0] for path in sorted(folder.rglob("*.parquet"))}


# -- kills


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a command line's run that nothing interrupts, with its programs compiled before."""
    base = tmp_path_factory.mktemp("kills")
    for name in ("cold", "whole"):
        (base / name).mkdir()
        process = start(RUN, base / name)
        process.join(300)
        assert process.exitcode == 0, (base / name / "log").read_text()
    return base / "whole"


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_random_moments(whole, tmp_path, seed):
    """Killed again and again until the run is complete in spite of it, then the next run, until the plan is done."""
    expected, rng, runs = finished(whole), random.Random(seed), iter(range(1000))
    assert {len(table) > 0 for table in expected.values()} == {True} and len(expected) == 3
    met, resumed, left = collections.Counter(), 0, list(PLAN)
    while left:
        folder, complete = tmp_path / f"killed{next(runs)}", False
        folder.mkdir()
        while not complete:
            process = start(RUN, folder, draw_moment(left.pop(0), told(whole), rng) if left else None)
            process.join(300)
            complete = process.exitcode == 0
            assert complete or process.exitcode == -signal.SIGKILL, (folder / "log").read_text()
            assert tiny.same(finished(folder), expected) if complete else finished(folder).keys() <= expected.keys()
            met[told(folder)[-1][1]] += not complete
        others = {path.name for path in folder.rglob("cells/*")} - expected.keys()
        assert others == {".guard"}, others
        resumed += (folder / "log").read_text().count("going on from step")
    TRIED["kills (-9) of a smoke run"] += met.total()
    for phase in PHASES:
        TRIED[f"of them at {phase}"] += met[phase]
    TRIED["runs that went on in mid-cell"] += resumed
    # Five sequences, at least fifty kills.  Of the plan's fourteen moments half lie before a cell's first checkpoint is
    # complete or after its last step, and a run that starts twice from one checkpoint may be killed before it says so.
    assert met.total() >= 10 and resumed >= 2, "the kills meet what they are meant for"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT"])
def test_a_signal_saves_what_is_under_way_and_says_how_to_go_on(whole, tmp_path, name):
    run = [word for word in RUN if "checkpoint" not in word]  # none is due by the clock
    process, deadline = start(run, tmp_path), time.monotonic() + 120
    while not (tmp_path / "phases").exists() or [phase for _, phase in told(tmp_path)].count("training") < 6:
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, getattr(signal, name))
    process.join(60)
    assert process.exitcode == 128 + getattr(signal, name)
    assert "interrupted: 0 of 2 cells finished" in (tmp_path / "log").read_text()
    assert len(list(tmp_path.rglob("*.checkpoints/[0-9]*"))) == 1
    again = start(run, tmp_path)
    again.join(300)
    assert again.exitcode == 0 and "going on from step" in (tmp_path / "log").read_text()
    assert tiny.same(finished(tmp_path), finished(whole))
    TRIED["signals that ask to stop"] += 1


def test_two_processes_compete_and_one_is_killed(tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    process = start(RUN, whole)
    process.join(300)
    expected, rng = finished(whole), random.Random(1)
    for trial in range(5):
        folder = tmp_path / f"pair{trial}"
        folder.mkdir()
        pair = [start([*RUN, "stage=run"], folder) for _ in range(2)]
        pair[0].join(rng.uniform(1, 4))
        pair[0].kill()
        for one in pair:
            one.join(300)
        assert pair[1].exitcode == 0, (folder / "log").read_text()
        last = start(RUN, folder)
        last.join(300)
        assert last.exitcode == 0 and tiny.same(finished(folder), expected)
        TRIED["pairs of competing processes"] += 1


# -- writes that fail


class Failing:
    """Number `which` of the writes that are met (0: none), and `more` after it, raise OSError(code)."""

    def __init__(self, which: int, code: int, more: int) -> None:
        self.which, self.code, self.more, self.count = which, code, more, 0

    def meet(self, path: str) -> None:
        self.count += 1
        if 0 < self.which <= self.count <= self.which + self.more:
            raise OSError(self.code, os.strerror(self.code), path)


class AtOnce:
    def __init__(self, limit: int) -> None:
        self.steps = limit

    def adapt(self, steps: int, seconds: float) -> None: ...


@pytest.fixture
def at_once(monkeypatch):
    """All steps to the next record point in one call: every run makes the same checkpoints, and few."""
    monkeypatch.setattr(protocol, "Pace", AtOnce)


@pytest.mark.parametrize("more", [0, 10**6], ids=["once", "from then on"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("half", [0, 1])
def test_every_write_fails(one_saved, uninterrupted, at_once, tmp_path, code, more, half):
    def run(which: int) -> Failing:
        store, failing = Store(tmp_path / f"write{which}", "smoke", "fig3"), Failing(which, code, more)
        with pytest.MonkeyPatch.context() as patch:
            watch(tmp_path, failing.meet, patch)
            try:
                tiny.run(one_saved, store, figure=True)
            except UserError as error:
                assert len(str(error).splitlines()) == 1 and which > 0
        kept = tiny.stored(store)
        assert all(table.equals(uninterrupted[name]) for name, table in kept.items())
        with pytest.MonkeyPatch.context() as patch:
            # the next run is another process: what this one could not unlock is a dead one's
            patch.setattr(locks, "process_start", lambda pid: "later")
            tiny.run(one_saved, store, figure=True)
        assert tiny.same(tiny.stored(store), uninterrupted)
        shutil.rmtree(tmp_path / f"write{which}")
        return failing

    count = run(0).count
    assert count > 100
    for which in range(1 + half, count + 1, 2):
        met = run(which).count >= which  # the last of them need not be: threads of Orbax's look whether they must write
        TRIED[f"writes failing with {errno.errorcode[code]} {'from then on' if more else 'once'}"] += met


# -- corruption


def corrupt(path: Path, rng: random.Random) -> None:
    """A few bits are flipped, or the file ends early."""
    content = bytearray(path.read_bytes())
    if rng.random() < 0.5:
        content = content[: rng.randrange(len(content))] if content else content
    else:
        for _ in range(rng.choice([1, 3, 30]) if content else 0):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def interrupt(cells, store: Store, at: int) -> None:
    """Stop the run of the cells at its `at`-th chance to save."""
    calls, reached = iter(range(10**6)), checkpoint.CellCheckpoints.reached

    def counted(self, step: int, states) -> None:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        reached(self, step, states)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.CellCheckpoints, "reached", counted)
        with pytest.raises(Interrupted):
            tiny.run(cells, store)


@pytest.mark.parametrize("seed", range(16))
def test_corrupted_checkpoints(cells, uninterrupted, store, seed):
    rng = random.Random(seed)
    interrupt(cells, store, rng.randrange(2, 9))
    files = sorted(path for path in store.cells.glob("*.checkpoints/**/*") if path.is_file())
    for path in rng.sample(files, rng.choice([1, 2, len(files)])):
        corrupt(path, rng)
        TRIED["corrupted files of checkpoints"] += 1
    progress = tiny.run(cells, store)
    assert tiny.same(tiny.stored(store), uninterrupted)
    assert all("is of no use" in line for line in progress.warnings)


@pytest.mark.parametrize("seed", range(24))
def test_corrupted_tables(cells, uninterrupted, store, seed):
    rng = random.Random(seed)
    tiny.run(cells, store)
    path = rng.choice(sorted(store.cells.glob("*.parquet")))
    corrupt(path, rng)
    TRIED["corrupted tables"] += 1
    try:
        tiny.run(cells, store)
    except UserError as error:
        assert path.name in str(error) and "remove it" in str(error)
        path.unlink()
        tiny.run(cells, store)
    assert tiny.same(tiny.stored(store), uninterrupted), "a damage that is not reported changed no number"


# -- clocks


@pytest.mark.parametrize("seed", range(5))
def test_the_clock_jumps(cells, uninterrupted, store, seed):
    rng, now = random.Random(seed), time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + rng.uniform(-1e8, 1e8))
        interrupt(cells, store, rng.randrange(2, 9))
        for path in store.cells.rglob("*"):
            when = rng.uniform(0, 4e9)
            os.utime(path, (when, when))
        tiny.run(cells, store, figure=True)
    assert tiny.same(tiny.stored(store), uninterrupted)
    TRIED["runs with a jumping clock"] += 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax forgets writes that failed
def test_a_disk_that_is_really_full(cells, uninterrupted, tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.system(f"mount -t tmpfs -o size=4m none {mount} 2>/dev/null"):
        pytest.skip("mounting a small disk is not allowed here")
    try:
        for left in range(0, 120_000, 8_000):
            store = Store(mount / "results", "smoke", "fig3")
            free = os.statvfs(mount)
            (mount / "ballast").write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - left))
            try:
                tiny.run(cells, store, figure=True)
            except UserError as error:
                assert len(str(error).splitlines()) == 1
            assert all(table.equals(uninterrupted[name]) for name, table in tiny.stored(store).items())
            (mount / "ballast").unlink()
            tiny.run(cells, store, figure=True)
            assert tiny.same(tiny.stored(store), uninterrupted)
            shutil.rmtree(mount / "results")
            TRIED["disks really full"] += 1
        gc.collect()  # the forgotten ones are warned of here, not in the next test
    finally:
        os.system(f"umount -l {mount}")
