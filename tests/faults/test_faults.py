"""Whatever kills, fills or corrupts: nothing finished is lost, and the resumed run is the uninterrupted one bit for bit.

Slow: `make test-faults` runs them and prints how many of each were tried.
"""

import builtins
import collections
import errno
import io
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import tiny
from children import start

from ntkrun.errors import UserError
from ntkrun.runner import checkpoint
from ntkrun.runner.plan import make_cells
from ntkrun.runner.stop import Interrupted
from ntkrun.runner.store import Store, read_table

# Orbax and tensorstore complain about files that are damaged on purpose from threads of their own, too
pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

KILLS = 60
TRIED: collections.Counter[str] = collections.Counter()
RUN = [
    "experiment=lockstep", "scale=smoke", "data=mnist", "data.source=stand_in", "seed=[0,1]", "optimizer.steps=4000",
    "optimizer.batch_size=4", "checkpoint_minutes=.0005",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def counts(request):
    yield
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    terminal.write_line("\ntried: " + ", ".join(f"{count} {what}" for what, count in TRIED.items()))


@pytest.fixture(scope="module")
def cells(settings_of):
    raw = settings_of("fig3", "smoke", "data.source=stand_in", "checkpoint_minutes=1e-7")
    return make_cells(tiny.experiment(), raw | {"seed": [0, 1]})


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


def test_killed_at_random_moments(tmp_path):
    def complete(folder: Path) -> float:
        folder.mkdir()
        began = time.monotonic()
        process = start(RUN, folder)
        process.join(300)
        assert process.exitcode == 0, (folder / "log").read_text()
        return time.monotonic() - began

    complete(tmp_path / "cold")  # compiles, and starts the process that the others are forked from
    takes = complete(tmp_path / "whole")
    expected = finished(tmp_path / "whole")
    assert {len(table) > 0 for table in expected.values()} == {True} and len(expected) == 3
    rng, sequence, resumed = random.Random(0), 0, 0
    while TRIED["kills (-9) of a smoke run"] < KILLS:
        sequence += 1
        folder = tmp_path / f"killed{sequence}"
        folder.mkdir()
        while True:
            process = start(RUN, folder)
            process.join(rng.uniform(0.2, 1.0) * takes if TRIED["kills (-9) of a smoke run"] < KILLS else 300)
            if process.exitcode is not None:
                assert process.exitcode == 0, (folder / "log").read_text()
                break
            process.kill()
            process.join()
            TRIED["kills (-9) of a smoke run"] += 1
            assert finished(folder).keys() <= expected.keys()
        found = finished(folder)
        assert tiny.same(found, expected)
        left = {path.name for path in folder.rglob("cells/*")} - found.keys()
        assert left <= {".guard"}, left
        resumed += (folder / "log").read_text().count("going on from step")
    TRIED["of them resumed in mid-cell"] += resumed
    assert resumed > KILLS / 4, "the kills meet what they are meant for"


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
    """Every write below a folder is counted; number `which` of them, and `more` after it, raise OSError(code)."""

    def __init__(self, folder: Path, which: int, code: int, more: int = 0) -> None:
        self.folder, self.which, self.code, self.more, self.count = str(folder), which, code, more, 0

    def _meet(self, path: object) -> None:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        if str(path).startswith(self.folder):
            self.count += 1
            if self.which <= self.count <= self.which + self.more:
                raise OSError(self.code, os.strerror(self.code), str(path))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "pwrite", "open"):
            patch.setattr(os, name, self._failing(getattr(os, name)))
        for module in (io, builtins):
            patch.setattr(module, "open", self._failing_open(module.open))
        patch.setattr(checkpoint, "_write", self._failing(checkpoint._write))

    def _failing(self, real):
        def call(path, *rest, **named):
            self._meet(path)
            return real(path, *rest, **named)

        return call

    def _failing_open(self, real):
        def call(path, mode="r", *rest, **named):
            if set(mode) & set("wax+"):
                self._meet(path)
            return real(path, mode, *rest, **named)

        return call


@pytest.mark.parametrize("more", [0, 10**6], ids=["once", "from then on"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_every_write_fails(cells, uninterrupted, tmp_path, code, more):
    counted = Failing(tmp_path, 0, code)
    with pytest.MonkeyPatch.context() as patch:
        counted.install(patch)
        tiny.run(cells, Store(tmp_path / "counted", "smoke", "fig3"), figure=True)
    assert counted.count > 30
    for which in range(1, counted.count + 1):
        store = Store(tmp_path / f"write{which}", "smoke", "fig3")
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(tmp_path, which, code, more)
            failing.install(patch)
            try:
                tiny.run(cells, store, figure=True)
            except UserError as error:
                assert len(str(error).splitlines()) == 1
        kept = tiny.stored(store)
        assert all(table.equals(uninterrupted[name]) for name, table in kept.items())
        tiny.run(cells, store, figure=True)
        assert tiny.same(tiny.stored(store), uninterrupted)
        TRIED[f"writes failing with {errno.errorcode[code]}"] += 1
        shutil.rmtree(tmp_path / f"write{which}")


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
    finally:
        os.system(f"umount -l {mount}")
