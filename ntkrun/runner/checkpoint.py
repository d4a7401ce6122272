"""Checkpoints inside a cell: what its lockstep runs need to go on as if nothing had happened.

<cell>.checkpoints/<serial>   one Orbax checkpoint of plain arrays, the two newest are kept
    states/<i>                leaves of the states (parameters or coefficients, optimizer states) of the run under way
    seen/<j>                  what every run of the cell has observed so far, one array a quantity
    record                    JSON as bytes: step, structure, shapes, what made it, and sha256 of all the arrays

A checkpoint appears under its name when it is whole (Orbax writes aside and renames).  The order of batches is a pure
function of a key and the step, random keys are folded from the cell's identity: neither needs saving.  Whatever is not
as it was written is passed over with a warning, for the one before.
"""

import contextlib
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.errors import UserError
from ntkrun.lockstep.progress import Resumed
from ntkrun.runner.files import sync_folder
from ntkrun.runner.lock import Lock
from ntkrun.runner.stop import StopRequests

KEEP = 2
# What a process that died while writing (Orbax) or removing (`remove_checkpoints`) left.  Nothing else in the folder is ours.
LEFTOVER = re.compile(r"\d+\.orbax-checkpoint-tmp.*|\.\d+\.gone")
FORMAT = 2  # 1: inputs in a basis of their span had signs by chance, and a network goes on in the basis it began in

Seen = list[tuple[int, dict[str, dict[str, np.ndarray]]]]  # [(step, {rival: {quantity: array}})]


class CellCheckpoints:
    """The checkpoints of one cell, whose `lock` the caller holds.

    Every lockstep run of the cell is known by its turn: a cell is a fixed sequence of them.  `made_by` must be equal for
    a checkpoint to be used: programs of other versions or devices round differently.
    """

    def __init__(
        self,
        folder: Path,
        minutes: float,
        made_by: dict[str, Any],
        lock: Lock,
        stop: StopRequests,
        warn: Callable[[str], None],
    ) -> None:
        self.folder, self.seconds, self.made_by = folder, 60 * minutes, made_by
        self.lock, self.stop, self.warn = lock, stop, warn
        self._finished: list[Seen | None] = []  # by turn; None: a run that was abandoned, and is run again
        self._current: Resumed | None = None
        self._saved_finished = 0
        self._last = time.monotonic()
        self._bad: set[Path] = set()
        self._restored = self._load()
        self.stop.save = self._save_finished

    @contextlib.contextmanager
    def running(self, label: str, states: Any) -> Iterator[Resumed]:
        """One lockstep run; see `progress.Checkpoints`."""
        turn = len(self._finished)
        self._current = run = self._resume(turn, label, states)
        self.stop.busy = True
        complete = False
        try:
            yield run
            complete = True
        finally:
            self.stop.busy = False
            self._current = None
            self._finished.append(run.seen if complete else None)
        self.stop.take_effect()

    def reached(self, step: int, states: Any) -> None:
        """Save when it is time or somebody asked to stop."""
        if self.due():
            self.save(step, states)

    def due(self) -> bool:
        return self.stop.pending is not None or time.monotonic() - self._last >= self.seconds

    def save(self, step: int, states: Any) -> None:
        """Save now, then stop if somebody asked to."""
        self._save(step, states)
        self.stop.take_effect()

    def remove(self) -> None:
        """The cell is stored: nothing of this is needed any more."""
        self.stop.save = lambda: None
        remove_checkpoints(self.folder)

    # -- saving

    def _save_finished(self) -> None:
        if len(self._finished) > self._saved_finished:
            self._save(0, None)

    def _save(self, step: int, states: Any) -> None:
        """Write one more checkpoint; a disk that does not take it is a warning, for the run itself is sound."""
        if not self.lock.mine():
            raise UserError(f"another process took over {self.lock.path.stem} while this one was suspended; it goes on")
        serial = max([0, *(int(path.name) for path in self.folder.glob("*") if path.name.isdecimal())]) + 1
        try:
            if self.folder.is_symlink():
                raise UserError(f"{self.folder.name} is a link, which is not followed")
            self.folder.mkdir(exist_ok=True)
            write_arrays(self.folder / str(serial), self._arrays(step, states))
            sync_folder(self.folder)
        # tensorstore and Orbax report a full or failing disk by exceptions of many kinds
        except Exception as error:
            reason = " ".join(str(error).split())[:120]
            self.warn(f"no checkpoint could be written ({reason}); the run goes on, an interruption would cost more")
        else:
            self._prune()
            self._saved_finished = len(self._finished)
        self._last = time.monotonic()

    def _arrays(self, step: int, states: Any) -> dict[str, Any]:
        runs = [*self._finished, *([self._current.seen] if self._current is not None and states is not None else [])]
        arrays: dict[str, Any] = {"states": {}, "seen": {}}
        for index, leaf in enumerate(jax.tree.leaves(states)):
            arrays["states"][str(index)] = np.asarray(leaf)
        described = []
        for run in runs:
            description, stacks = stack(run)
            described.append(description)
            for stacked in stacks:
                arrays["seen"][str(len(arrays["seen"]))] = stacked
        record = {
            "format": FORMAT,
            "made_by": self.made_by,
            "label": self._current.label if self._current is not None else "",
            "under_way": states is not None,
            "step": step,
            "runs": described,
            "specs": {part: {i: _spec(a) for i, a in arrays[part].items()} for part in arrays},
        }
        record["sha256"] = _digest(record, arrays)
        # Orbax refuses arrays without elements; their shapes stand in the record
        plain = {part: {i: a for i, a in arrays[part].items() if a.size} for part in arrays}
        return {name: part for name, part in plain.items() if part} | {"record": _encode(record)}

    def _prune(self) -> None:
        good = [path for path in self._serials() if path not in self._bad]
        for path in [*good[KEEP:], *self._bad]:
            remove_checkpoints(path)
        self._bad.clear()

    # -- loading

    def _serials(self) -> list[Path]:
        """The checkpoints that are there, newest first."""
        found = [path for path in self.folder.glob("*") if path.name.isdecimal() and not path.is_symlink()]
        return sorted(found, key=lambda path: int(path.name), reverse=True)

    def _load(self) -> tuple[dict[str, Any], dict[str, Any], list[Seen | None]] | None:
        """(record, arrays, what the runs observed) of the newest readable checkpoint."""
        if not self.folder.is_dir() or self.folder.is_symlink():
            return None
        for left in self.folder.iterdir():
            if LEFTOVER.fullmatch(left.name) and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
        for path in self._serials():
            try:
                record, arrays = read_arrays(path)
                if record["made_by"] != self.made_by:
                    raise ValueError("other versions or another device made it")
                return record, arrays, _unstack(record, arrays)
            # a damaged checkpoint can make its readers fail in any way
            except Exception as error:
                self._bad.add(path)
                reason = " ".join(str(error).split())[:80]
                self.warn(f"checkpoint {path} is of no use ({reason}); going back to the one before")
        return None

    def _resume(self, turn: int, label: str, states: Any) -> Resumed:
        """Where run number `turn` of the cell goes on."""
        if self._restored is None:
            return Resumed(label, 0, states, [])
        record, arrays, runs = self._restored
        last = len(runs) - 1
        if turn > last or runs[turn] is None:
            return Resumed(label, 0, states, [])
        if turn < last or not record["under_way"]:
            return Resumed(label, 0, states, runs[turn] or [])
        leaves, structure = jax.tree.flatten(states)
        saved = list(arrays["states"].values())
        if record["label"] != label or [_spec(leaf) for leaf in leaves] != [_spec(leaf) for leaf in saved]:
            raise UserError(f"the checkpoints in {self.folder} belong to another program; remove them and run again")
        return Resumed(
            label, record["step"], structure.unflatten(jnp.asarray(leaf) for leaf in saved), runs[turn] or []
        )


def remove_checkpoints(folder: Path) -> None:
    """Remove a checkpoint, or all of a cell: gone at once under its name, whenever the removal itself is interrupted.

    A link is left alone: what it leads to is somebody else's.
    """
    if folder.is_symlink():
        return
    aside = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(aside, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _spec(array: Any) -> list[Any]:
    return [str(array.dtype), list(array.shape)]


def _digest(record: dict[str, Any], arrays: dict[str, Any]) -> str:
    told = {key: value for key, value in record.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for part in ("states", "seen"):
        for index in record["specs"][part]:
            digest.update(np.ascontiguousarray(arrays[part][index]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _encode(record: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(record).encode(), np.uint8)


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    import orbax.checkpoint as ocp  # takes a second, and short cells never come here

    with _checkpointer(ocp) as checkpointer:
        checkpointer.save(path.absolute(), arrays)


def _checkpointer(ocp: Any) -> Any:
    """For plain arrays by this process alone: with several, Orbax would wait for the others, who keep nothing."""
    alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0}, barrier_sync_key_prefix="leader")
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone)


def read_arrays(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Record and arrays of a checkpoint; raises (anything) when it is not as it was written."""
    import orbax.checkpoint as ocp

    with _checkpointer(ocp) as checkpointer:
        found = checkpointer.restore(path.absolute())
    record = json.loads(np.asarray(found["record"]).tobytes())
    if record["format"] != FORMAT:
        raise ValueError(f"its format is {record['format']}, not {FORMAT}")
    arrays: dict[str, Any] = {}
    for part, specs in record["specs"].items():
        held = found.get(part, {})
        arrays[part] = {
            i: np.asarray(held[i]) if np.prod(shape) else np.empty(shape, jnp.dtype(dtype))
            for i, (dtype, shape) in specs.items()
        }
        if {i: _spec(a) for i, a in arrays[part].items()} != specs:
            raise ValueError("its arrays have other shapes than recorded")
    if _digest(record, arrays) != record["sha256"]:
        raise ValueError("its content is not what was written: hashes differ")
    return record, arrays


def _unstack(record: dict[str, Any], arrays: dict[str, Any]) -> list[Seen | None]:
    """The observations of every run from their stacked arrays."""
    stacks = iter(arrays["seen"].values())
    return [unstack(run, stacks) for run in record["runs"]]


def stack(run: Seen | None) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What a run observed, as a description for JSON and one array a quantity."""
    names = {} if not run else {rival: list(found) for rival, found in run[0][1].items()}
    stacks = [np.stack([found[rival][name] for _, found in run or ()]) for rival in names for name in names[rival]]
    return {"steps": [at for at, _ in run or ()], "names": names, "abandoned": run is None}, stacks


def unstack(run: dict[str, Any], stacks: Iterator[np.ndarray]) -> Seen | None:
    """`stack` undone; takes from `stacks` what is the run's."""
    columns = {rival: {name: next(stacks) for name in names} for rival, names in run["names"].items()}
    seen = [
        (step, {rival: {name: stacked[i] for name, stacked in found.items()} for rival, found in columns.items()})
        for i, step in enumerate(run["steps"])
    ]
    return None if run["abandoned"] else seen
