"""A lock file for one process at a time, which works across machines that share a folder.

The first line of the file names the owner (JSON); the second is a counter that the owner raises every `BEAT` seconds.
The owner counts as dead
- on the same machine, when its process is gone or another process has its number (the start times differ);
- on another machine, when the counter has not moved for `STALE` seconds of this process' monotonic clock.  Clocks of two
  machines are never compared, so they may jump and differ.

The lock of a dead owner is taken over.  Reading, deciding and replacing happen under the kernel's file lock on
`.guard`, where the file system has one.  The lock only saves double work, correctness does not depend on it: files
appear whole, and two processes that both ran a cell would write the same numbers.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ntkrun.errors import UserError
from ntkrun.runner.files import remove_leftovers, write_bytes

BEAT = 15.0  # seconds
STALE = 90.0  # seconds, six beats: a busy file server may delay a few


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def machine() -> str:
    """The scope in which a process number is unique: host, boot, and (in containers) process namespace."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {_first_line('/proc/sys/kernel/random/boot_id')} {namespace}"


def process_start(pid: int) -> str | None:
    """The start of a process in ticks since boot, "" where the system does not say; None when there is no such one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # a process of another user: alive
    status = _first_line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if status and status[0] == "Z":  # a zombie: it has ended, its parent has not collected it yet
        return None
    return status[19] if len(status) > 19 else ""


class Lock:
    """`with lock:` after `lock.acquire()` returned True; the file is removed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner: dict[str, Any] | None = None  # of a lock held by another process, as last read
        self._file: Any = None
        self._text = ""
        self._sighted: tuple[str, float] | None = None  # text of another machine's lock, and our clock at that time

    def acquire(self, *, judge: bool = False, patience: float = 0.0) -> bool:
        """Take the lock if it is free or its owner is dead; returns whether it was taken.

        judge     wait up to STALE seconds to see whether an owner on another machine is alive; else it counts as alive
        patience  seconds to wait for a living owner to release the lock
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                with self._guard():
                    alive = self._owner_alive()
                    if alive is False:
                        self._take()
                        return True
            except OSError as error:
                raise UserError(
                    f"cannot lock {self.path} ({error.strerror}); choose another results_dir=..."
                ) from error
            if not (judge if alive is None else time.monotonic() < deadline):
                return False
            time.sleep(0.2)

    def clear(self) -> None:
        """Remove the lock if its owner died after finishing its work."""
        if self.path.exists() and self.acquire():
            with self:
                pass

    def describe(self) -> str:
        """The owner in words: "process 12 on host, since ..."."""
        owner = self.owner or {}
        return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}, since {owner.get('since', '?')}"

    def mine(self) -> bool:
        """Whether this process still holds the lock: after minutes of suspension another one may have taken it over."""
        try:
            return self.path.read_text().split("\n")[0] == self._text
        except OSError:
            return False

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._file.close()
        with contextlib.suppress(OSError), self._guard():
            if self.mine():
                self.path.unlink()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)  # another process may have removed the empty folder
        with open(self.path.with_name(".guard"), "a") as handle:
            with contextlib.suppress(OSError):  # no such locks on this file system: see the module's text
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _owner_alive(self) -> bool | None:
        """True or False; False also where the lock is free; None where the owner is on another machine and not yet known."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return False
        try:
            self.owner = owner = json.loads(text.split("\n")[0])
            pid, born, where = int(owner["pid"]), owner["born"], owner["machine"]
        except (ValueError, KeyError, TypeError):
            return False  # locks are written whole, so an unreadable file is not a lock
        if where == machine():
            return process_start(pid) == born
        now = time.monotonic()
        if self._sighted is None:
            self._sighted = (text, now)
        if text != self._sighted[0]:
            self._sighted = (text, now)
            return True
        return False if now - self._sighted[1] >= STALE else None

    def _take(self) -> None:
        self._text = json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
                "born": process_start(os.getpid()),
                "machine": machine(),
                "token": uuid.uuid4().hex,
            }
        )
        try:
            remove_leftovers(self.path)
            write_bytes(self.path, f"{self._text}\n{0:012d}\n".encode())
            # the counter is written through this handle: after a take-over the path names the new owner's file
            self._file = self.path.open("r+b", buffering=0)
        except (OSError, UserError):
            # the file may have been written all the same; left behind it would look like a living owner's lock
            with contextlib.suppress(OSError):
                if self.mine():
                    self.path.unlink()
            raise
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lock heartbeat", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(BEAT):
            count += 1
            with contextlib.suppress(
                OSError
            ):  # on a full disk a later beat may succeed; if none does, the lock goes stale
                os.pwrite(self._file.fileno(), f"{count:012d}".encode(), len(self._text) + 1)
                os.fsync(self._file.fileno())
