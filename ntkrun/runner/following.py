"""The numbers of a cell while it computes, point by point: what `log=csv` and `log=tensorboard` write.

<experiment>/log/<cell>-<config hash>-<data fingerprint>.csv   a header, then a row per record point: step, time, learning_rate
                                                               and the other numbers that the run tells (`Progress.recorded`)
<experiment>/log/<the same name>/events.out.tfevents.*         the same as scalars of TensorBoard, float32, by the step

A resumed cell tells what it recorded before once more, bit for bit: the files end up as those of a run without interruption.
Whoever follows them may stop at any time, and so may the run; a full disk is a warning, for the run itself is sound.
"""

import importlib
import importlib.util
import re
import time as clock
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from ntkrun.errors import UserError
from ntkrun.runner.plan import Cell
from ntkrun.runner.store import Store
from ntkrun.settings.base import CommonSettings

UNUSUAL = re.compile(r"[^A-Za-z0-9=,._-]+")  # in a cell's name: file systems and TensorBoard take the rest
LONGEST = 100  # characters of it


@runtime_checkable
class Writer(Protocol):
    """One kind of files; `place` is theirs without a suffix."""

    def __init__(self, place: Path) -> None: ...
    def record(self, step: int, time: float, values: Mapping[str, float]) -> None: ...

    def finish(self) -> None:
        """The cell is stored."""
        ...

    def close(self) -> None:
        """Nothing is written any more."""
        ...


class Csv:
    """One file.  What is there already is compared, and cut off from where it is something else: half a line that a killed
    process left, rows of another computation."""

    def __init__(self, place: Path) -> None:
        self.path = place.with_name(f"{place.name}.csv")
        self._file: BinaryIO | Any = None

    def record(self, step: int, time: float, values: Mapping[str, float]) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            self._file = self.path.open("r+b", buffering=0)
            self._put(["step", "time", *values])
        self._put([str(step), *(repr(float(value)) for value in (time, *values.values()))])

    def _put(self, fields: list[str]) -> None:
        line = (",".join(fields) + "\n").encode()
        place = self._file.tell()
        if self._file.read(len(line)) == line:
            return
        self._file.seek(place)
        self._file.truncate()
        if self._file.write(line) != len(line):
            self._file.truncate(place)
            raise OSError(28, "No space left on device")

    def finish(self) -> None:
        if self._file is not None:
            self._file.truncate()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class TensorBoard:
    """One folder, a run of TensorBoard.  Its file begins anew with every process and tells all points so far; to a TensorBoard
    that is looking it says that earlier ones are void."""

    def __init__(self, place: Path) -> None:
        self.folder = place
        self._events: Any = None
        self._messages: Any = None

    def record(self, step: int, time: float, values: Mapping[str, float]) -> None:
        if self._events is None:
            self._begin()
        event = self._messages.Event(step=step)
        for name, value in values.items():
            event.summary.value.add(tag=name, simple_value=float(value))
        self._write(event)

    def _begin(self) -> None:
        # which log=off does without
        self._messages = importlib.import_module("tensorboardX.proto.event_pb2")
        writers = importlib.import_module("tensorboardX.event_file_writer")
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._events = writers.EventsWriter(str(self.folder / "events"))
        start = self._messages.SessionLog(status=self._messages.SessionLog.START)
        self._write(self._messages.Event(step=0, session_log=start))

    def _write(self, event: Any) -> None:
        event.wall_time = clock.time()
        self._events.write_event(event)
        self._events.flush()

    def finish(self) -> None: ...

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


# what `log` may be beside off
WRITERS: dict[str, type[Writer]] = {"csv": Csv, "tensorboard": TensorBoard}


class CellLog:
    """`lockstep.progress.Log` of one cell, whose lock the caller holds."""

    def __init__(self, writer: Writer | None, warn: Callable[[str], None]) -> None:
        self.writer, self.warn = writer, warn

    @classmethod
    def of(cls, cell: Cell, path: Path, store: Store, warn: Callable[[str], None]) -> "CellLog":
        """path: of the cell's table."""
        if cell.settings.log == "off":
            return cls(None, warn)
        name = UNUSUAL.sub("_", cell.name)[:LONGEST]
        return cls(WRITERS[cell.settings.log](store.logs / f"{name}-{path.stem}"), warn)

    def record(self, step: int, time: float, values: Mapping[str, float]) -> None:
        self._try(lambda writer: writer.record(step, time, values))

    def finish(self) -> None:
        """The cell is stored: what an earlier computation wrote behind its last point is none of its own."""
        self._try(lambda writer: writer.finish())

    def close(self) -> None:
        self._try(lambda writer: writer.close())
        self.writer = None

    def _try(self, what: Callable[[Writer], None]) -> None:
        if self.writer is None:
            return
        try:
            what(self.writer)
        except OSError as error:
            self.warn(f"the log cannot be written ({error.strerror}); the run goes on without it")
            self.writer = None


def check_log(settings: CommonSettings) -> None:
    """UserError where the package that writes the log is not installed."""
    if settings.log == "tensorboard" and importlib.util.find_spec("tensorboardX") is None:
        raise UserError(
            "log=tensorboard needs tensorboardX, which is not installed: pip install 'ntkrun[tensorboard]', or take log=csv"
        )


def without_log(settings: CommonSettings) -> list[str]:
    """The line that says why a log would stay empty; none where it would not."""
    if settings.log == "off" or not settings.nothing_to_log:
        return []
    return [f"log={settings.log} writes nothing for experiment={settings.experiment}: {settings.nothing_to_log}"]


def how_to_follow(cells: Iterable[Cell], store: Store) -> str:
    """What to type in another terminal while these cells are computed; "" where nothing is written."""
    logs = {cell.settings.log for cell in cells if not cell.settings.nothing_to_log} - {"off"}
    if not logs:
        return ""
    return "to follow the run: " + (
        f"tail -f {store.logs}/*.csv" if "csv" in logs else f"tensorboard --logdir {store.logs}"
    )
