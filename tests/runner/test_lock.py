"""Who holds a cell, who is dead, and that clocks do not matter."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ntkrun.errors import UserError
from ntkrun.runner import lock as locks
from ntkrun.runner.lock import Lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cell.lock"


def foreign(path, beat: int = 0, **changes) -> None:
    """A lock that another machine wrote."""
    owner = {"host": "node7", "pid": 1, "since": "2026", "born": "1", "machine": "node7 boot", "token": "t"} | changes
    path.write_text(f"{json.dumps(owner)}\n{beat:012d}\n")


def test_a_held_lock_is_refused_with_its_owner_named_and_free_again_afterwards(path):
    first, second = Lock(path), Lock(path)
    assert first.acquire()
    with first:
        assert first.mine() and not second.acquire() and not second.acquire(judge=True)
        assert f"process {os.getpid()} on " in second.describe()
    assert not path.exists() and second.acquire()
    with second:
        pass
    assert [entry.name for entry in path.parent.iterdir()] == [".guard"]


def test_a_killed_owners_lock_is_taken_over(path):
    script = (
        f"import time; from pathlib import Path; from ntkrun.runner.lock import Lock\n"
        f"Lock(Path({str(path)!r})).acquire(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "held\n"
        assert not Lock(path).acquire()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    mine = Lock(path)
    assert mine.acquire()
    with mine:
        assert mine.mine()


def test_what_a_killed_writer_left_beside_the_lock_is_removed(path):
    (path.parent / f".{path.name}.0123abcd").touch()
    lock = Lock(path)
    assert lock.acquire()
    with lock:
        assert {entry.name for entry in path.parent.iterdir()} == {path.name, ".guard"}


def test_a_recycled_process_number_is_not_the_owner(path):
    foreign(path, pid=os.getpid(), born="1", machine=locks.machine())
    lock = Lock(path)
    assert lock.acquire()
    with lock:
        pass


@pytest.mark.parametrize("text", ["", "{", "[]\n1", '{"pid": "x"}\n'])
def test_what_is_no_lock_of_ours_does_not_hold_anybody_up(path, text):
    path.write_text(text)
    lock = Lock(path)
    assert lock.acquire()
    with lock:
        pass


def test_another_machines_owner_is_dead_when_his_counter_stands_still(path, monkeypatch):
    monkeypatch.setattr(locks, "STALE", 0.5)
    foreign(path)
    lock = Lock(path)
    assert not lock.acquire(), "not judged at first sight"
    began = time.monotonic()
    assert lock.acquire(judge=True) and time.monotonic() - began >= 0.3
    with lock:
        assert lock.mine()


def test_another_machines_owner_lives_while_his_counter_moves_whatever_the_clocks_say(path, monkeypatch):
    monkeypatch.setattr(locks, "STALE", 1.0)
    jumps = iter(range(0, 10**9, 10**6))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    foreign(path)
    os.utime(path, (0, 0))
    beats = threading.Timer(0.3, lambda: foreign(path, beat=1))
    beats.start()
    assert not Lock(path).acquire(judge=True)
    beats.join()


def test_the_heartbeat_moves_and_stops_at_a_take_over(path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.05)
    lock = Lock(path)
    assert lock.acquire()
    with lock:
        before = path.read_text()
        deadline = time.monotonic() + 10
        while path.read_text() == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.read_text() != before and path.read_text().split("\n")[0] == before.split("\n")[0]
        path.unlink()
        foreign(path)
        theirs = path.read_text()
        time.sleep(0.2)
        assert not lock.mine() and path.read_text() == theirs, "the new owner's lock is left alone"
    assert path.exists()


def _contend(path, barrier, won) -> None:
    lock = Lock(path)
    barrier.wait()
    if lock.acquire():
        won.put(os.getpid())
        time.sleep(1.0)


def test_of_many_that_find_a_dead_owner_one_takes_over(path):
    context = multiprocessing.get_context("spawn")
    foreign(path, pid=os.getpid(), machine=locks.machine())
    barrier, won = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_contend, args=(path, barrier, won)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert won.qsize() == 1


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="results_dir") as caught:
        Lock(tmp_path / "file" / "cell.lock").acquire()
    assert "\n" not in str(caught.value)
