"""A resumed run is the uninterrupted one, bit for bit, whatever happened to the checkpoints in between."""

import json
import os
import shutil
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.dynamics.network import Network
from ntkrun.errors import UserError
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import MiniBatches, run_lockstep
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model
from ntkrun.runner import checkpoint
from ntkrun.runner.checkpoint import CellCheckpoints, remove_checkpoints
from ntkrun.runner.lock import Lock
from ntkrun.runner.stop import Interrupted, StopRequests

RNG = np.random.default_rng(0)
X, Y = jnp.asarray(RNG.normal(size=(12, 5)), jnp.float32), jnp.asarray(np.eye(2)[RNG.integers(0, 2, 12)], jnp.float32)
MODEL = build_model(
    "fc", width=7, depth=1, n_outputs=2, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float32
)


def network(seed: int) -> Network:
    theta0, tx = MODEL.init(jax.random.key(seed), X[:1])["params"], optax.sgd(0.5, momentum=0.9)
    return Network(theta0, X, Y, X[:3], model=MODEL, tx=tx, loss="mse", watched=())


RIVALS = {"network": network(0)}
SEVERAL = {"networks": Ensemble.of([network(seed) for seed in (1, 2, 3)])}
STEPS = [0, 1, 40, 200]


def cell(progress: Silent) -> list:
    """Two lockstep runs one after the other, as a cell may have them: of one network and of three."""
    batches = MiniBatches(jax.random.key(1), 12, 4)
    first = list(run_lockstep(RIVALS, STEPS, batches, progress, "first"))
    return first + list(run_lockstep(SEVERAL, [0, 100], batches, progress, "second"))


@pytest.fixture(scope="module")
def uninterrupted() -> list:
    return cell(Silent())


def equal(found: list, expected: list) -> bool:
    assert [step for step, _ in found] == [step for step, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for rival, quantities in theirs.items():
            assert list(ours[rival]) == list(quantities)
            for name, values in quantities.items():
                assert ours[rival][name].dtype == values.dtype
                np.testing.assert_array_equal(ours[rival][name], values)
    return True


class Cell:
    """Runs `cell` with checkpoints in a folder, as often as asked; `stops` ends it at the n-th chunk."""

    def __init__(self, tmp_path) -> None:
        self.folder, self.lock = tmp_path / "cell.checkpoints", Lock(tmp_path / "cell.lock")
        assert self.lock.acquire()

    def run(
        self,
        *,
        stop_at: int | None = None,
        minutes: float = 60.0,
        made_by: str = "v1",
        signum: int = signal.SIGTERM,
        again: bool = False,
    ) -> tuple[list, Silent]:
        self.progress = progress = Silent()
        with StopRequests() as stop:
            keep = CellCheckpoints(self.folder, minutes, {"by": made_by}, self.lock, stop, progress.warn)
            progress.checkpoints = keep
            calls, reached = iter(range(1, 10**6)), keep.reached

            def counted(step: int, states) -> None:
                if next(calls) == stop_at:
                    os.kill(os.getpid(), signum)
                reached(step, states)

            keep.reached = counted
            try:
                return cell(progress), progress
            finally:
                if again:
                    os.kill(os.getpid(), signal.SIGTERM)

    def interrupted(self, stop_at: int, signum: int = signal.SIGTERM, **options) -> "Cell":
        with pytest.raises(Interrupted) as caught:
            self.run(stop_at=stop_at, signum=signum, **options)
        assert caught.value.signum == signum
        return self

    def newest(self, count: int = 1) -> list:
        return sorted(self.folder.iterdir(), key=lambda path: int(path.name), reverse=True)[:count]


@pytest.fixture
def a_cell(tmp_path):
    made = Cell(tmp_path)
    with made.lock:
        yield made


@pytest.mark.parametrize("stop_at", [1, 2, 5, 9, 10, 13])
def test_resumed_is_uninterrupted_bit_for_bit(a_cell, uninterrupted, stop_at):
    found, progress = a_cell.interrupted(stop_at).run()
    assert equal(found, uninterrupted) and progress.warnings == []
    remove_checkpoints(a_cell.folder)
    assert not a_cell.folder.exists()


def test_interrupted_again_and_again_by_every_signal(a_cell, uninterrupted):
    signals = signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM
    for stop_at, signum in zip((3, 1, 4, 2, 5), signals, strict=True):
        a_cell.interrupted(stop_at, signum)
        assert len(list(a_cell.folder.iterdir())) <= checkpoint.KEEP
    assert equal(a_cell.run()[0], uninterrupted)


@pytest.mark.parametrize("stop_at", [2, 5, 10])  # in the first run of the cell, in the second
def test_a_second_signal_while_the_first_takes_effect_costs_nothing(a_cell, uninterrupted, stop_at):
    """SLURM does so: SIGUSR2, whose listener has the job requeued, and for that SIGTERM."""
    with pytest.raises(Interrupted):
        a_cell.run(stop_at=stop_at, signum=signal.SIGUSR2, again=True)
    (newest,) = a_cell.newest()
    record, arrays = checkpoint.read_arrays(newest)
    assert record["under_way"] and record["step"] > 0 and arrays["states"]
    assert equal(a_cell.run()[0], uninterrupted)


def test_checkpoints_by_time_change_nothing(a_cell, uninterrupted):
    found, progress = a_cell.run(minutes=1e-9)
    assert equal(found, uninterrupted) and progress.warnings == []
    assert len(list(a_cell.folder.iterdir())) == checkpoint.KEEP


def damage(folder, how: str, rng: np.random.Generator) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if how == "removed":
        shutil.rmtree(folder)
        folder.mkdir()
    for path in files if how == "truncated" else []:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for path in files if how == "flipped" else []:
        content = bytearray(path.read_bytes())
        for place in rng.integers(0, len(content), max(1, len(content) // 50)):
            content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "flipped", "removed"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(a_cell, uninterrupted, how, count):
    a_cell.interrupted(6, minutes=1e-9)
    for folder in a_cell.newest(count):
        damage(folder, how, np.random.default_rng(count))
    found, progress = a_cell.run(minutes=1e-9)
    assert equal(found, uninterrupted)
    assert len(progress.warnings) == count and all("is of no use" in line for line in progress.warnings)
    assert a_cell.run()[1].warnings == [], "what was damaged is gone"


@pytest.mark.parametrize("part", ["states", "seen"])
def test_a_sound_file_of_other_numbers_than_were_saved_is_not_used(a_cell, uninterrupted, part):
    a_cell.interrupted(6, minutes=1e-9)
    (newest,) = a_cell.newest()
    record, arrays = checkpoint.read_arrays(newest)
    first = next(iter(arrays[part]))
    arrays[part][first] = arrays[part][first] * np.float32(1.5)
    shutil.rmtree(newest)
    held = {name: {i: a for i, a in those.items() if a.size} for name, those in arrays.items()}
    checkpoint.write_arrays(newest, held | {"record": np.frombuffer(json.dumps(record).encode(), np.uint8)})
    found, progress = a_cell.run(minutes=1e-9)
    assert equal(found, uninterrupted) and "hashes differ" in progress.warnings[0]


def test_checkpoints_of_other_versions_are_not_used(a_cell, uninterrupted):
    found, progress = a_cell.interrupted(4).run(made_by="v2")
    assert equal(found, uninterrupted) and "other versions" in progress.warnings[0]


def test_a_disk_that_takes_no_checkpoint_is_a_warning(a_cell, uninterrupted, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_arrays", full)
    found, progress = a_cell.run(minutes=1e-9)
    assert equal(found, uninterrupted) and "No space left" in progress.warnings[0]


def test_who_lost_the_lock_writes_nothing(a_cell):
    a_cell.interrupted(4)
    before = a_cell.newest(9)
    a_cell.lock.path.write_text("somebody else")
    with pytest.raises(UserError, match="took over"):
        a_cell.run(minutes=1e-9)
    assert a_cell.newest(9) == before


def test_an_abandoned_run_is_run_again(a_cell):
    stop = StopRequests()
    progress = Silent()
    keep = CellCheckpoints(a_cell.folder, 1e-9, {}, a_cell.lock, stop, progress.warn)
    progress.checkpoints = keep
    batches = MiniBatches(jax.random.key(1), 12, 4)
    abandoned: Any = run_lockstep(RIVALS, STEPS, batches, progress, "first")
    next(abandoned)
    abandoned.close()
    list(run_lockstep(SEVERAL, [0, 100], batches, progress, "second"))
    progress.checkpoints = CellCheckpoints(a_cell.folder, 1.0, {}, a_cell.lock, stop, progress.warn)
    assert equal(list(run_lockstep(RIVALS, STEPS, batches, progress, "first")), cell(Silent())[: len(STEPS)])
    assert progress.warnings == []


def test_a_request_outside_of_a_run_takes_effect_at_once_and_saves_what_was_finished():
    saved = []
    with StopRequests() as stop:
        stop.save = lambda: saved.append(1)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGUSR1)
    assert saved == [1]


def test_whoever_listened_before_decides_how_it_goes_on():
    heard = []
    before = signal.signal(signal.SIGUSR2, lambda signum, frame: heard.append(signum))
    try:
        with StopRequests() as stop:
            stop.busy = True
            signal.raise_signal(signal.SIGUSR2)
            assert heard == [] and stop.pending == signal.SIGUSR2
            stop.take_effect()
            assert heard == [signal.SIGUSR2] and stop.pending is None
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_second_ctrl_c_does_not_wait():
    with StopRequests() as stop:
        stop.busy = True
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_what_others_put_among_the_checkpoints_stays(a_cell, uninterrupted, tmp_path):
    """A folder that many may write to: links lead to what is somebody else's, and so do names that are not ours."""
    victim = tmp_path / "victim"
    for name in ("Documents", "3", "5.orbax-checkpoint-tmp-1"):
        (victim / name).mkdir(parents=True)
        (victim / name / "thesis.txt").write_text("years")
    a_cell.folder.mkdir()
    for name in ("1", "7", "9.orbax-checkpoint-tmp-1", "notes"):
        (a_cell.folder / name).symlink_to(victim, target_is_directory=True)
    (a_cell.folder / "mine").mkdir()
    (a_cell.folder / "2.orbax-checkpoint-tmp-1").mkdir()
    a_cell.interrupted(1)
    assert (a_cell.folder / "mine").is_dir() and (a_cell.folder / "7").is_symlink()
    assert (a_cell.folder / "8").is_dir() and a_cell.progress.warnings == [], "what is there is stepped over"
    assert not (a_cell.folder / "2.orbax-checkpoint-tmp-1").exists(), "of a process that died while writing"
    assert equal(a_cell.run()[0], uninterrupted)
    assert len(list(victim.rglob("thesis.txt"))) == 3


def test_a_link_in_place_of_the_checkpoints_is_not_followed(a_cell, uninterrupted, tmp_path):
    victim = tmp_path / "victim"
    for name in ("Documents", "3"):
        (victim / name).mkdir(parents=True)
    (victim / "note.txt").write_text("note")
    a_cell.folder.symlink_to(victim, target_is_directory=True)
    found, progress = a_cell.run(minutes=1e-9)
    assert equal(found, uninterrupted) and "is a link" in progress.warnings[0]
    remove_checkpoints(a_cell.folder)
    assert {path.name for path in victim.iterdir()} == {"Documents", "3", "note.txt"} and a_cell.folder.is_symlink()
