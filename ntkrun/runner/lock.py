"""One process at a time: a lock file that names its owner and shows that he is alive.

The first line of the file is the owner (JSON), the second a counter that he raises every `BEAT` seconds.  He is dead
- on his own machine: when his process is gone, or another process has his number (its start tells them apart);
- anywhere else: when the counter stood still for `STALE` seconds of OUR monotonic clock.  No clock of one machine is
  ever compared with that of another, so clocks may jump and differ.

A dead owner's lock is taken over.  Reading, judging and replacing happen under the kernel's lock on `.guard` where the
file system has one.  A lock saves work; right results never hang on it: files appear whole, and two processes that did
run one cell would write the same numbers.
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
STALE = 90.0  # six beats: a busy file server may hold back a few


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def machine() -> str:
    """Where process numbers mean the same: machine, boot, and (in containers) process namespace."""
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
        pass  # somebody else's, hence alive
    status = _first_line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if status and status[0] == "Z":  # dead, its parent has not noticed yet
        return None
    return status[19] if len(status) > 19 else ""


class Lock:
    """`with lock:` after `lock.acquire()` returned True; the file is removed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner: dict[str, Any] | None = None  # as last read, while somebody else has it
        self._file: Any = None
        self._text = ""
        self._sighted: tuple[str, float] | None = None  # what the lock of another machine said, and when

    def acquire(self, *, judge: bool = False, patience: float = 0.0) -> bool:
        """Take the lock if it is free or its owner dead.

        judge     watch a lock of another machine for up to STALE seconds since the first attempt; otherwise it counts
                  as held
        patience  seconds to wait for a living owner
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
        """Remove the lock of an owner who died after his work was done."""
        if self.path.exists() and self.acquire():
            with self:
                pass

    def describe(self) -> str:
        """The owner in words: "process 12 on host, since ..."."""
        owner = self.owner or {}
        return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}, since {owner.get('since', '?')}"

    def mine(self) -> bool:
        """Whether nobody took the lock over, as may happen to a process that was suspended for minutes."""
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
        self.path.parent.mkdir(parents=True, exist_ok=True)  # a process that came to nothing may have taken it back
        with open(self.path.with_name(".guard"), "a") as handle:
            with contextlib.suppress(OSError):  # no such locks on this file system: see the module's text
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _owner_alive(self) -> bool | None:
        """False: free or dead; None: of another machine, to be watched."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return False
        try:
            self.owner = owner = json.loads(text.split("\n")[0])
            pid, born, where = int(owner["pid"]), owner["born"], owner["machine"]
        except (ValueError, KeyError, TypeError):
            return False  # locks are written whole: what cannot be read is no lock of ours
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
            # in place and through this handle: after a take-over it would be another file that moves
            self._file = self.path.open("r+b", buffering=0)
        except (OSError, UserError):
            # it may be in place all the same, and would look like that of a living owner
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
            with contextlib.suppress(OSError):  # a full disk may recover; if not, the lock goes stale
                os.pwrite(self._file.fileno(), f"{count:012d}".encode(), len(self._text) + 1)
                os.fsync(self._file.fileno())
