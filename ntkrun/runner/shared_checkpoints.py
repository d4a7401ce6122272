"""Checkpoints of a cell that several processes compute: the leader keeps them, and all go on from the same bytes.

Whether to save is the leader's to say (its clock, its signals), and it says so to all, because states that lie on
several hosts are gathered by all of them together.  What it restores it tells the others, who need not see its disk.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ntkrun.errors import UserError
from ntkrun.lockstep.processes import agree, leave, tell, whole
from ntkrun.lockstep.progress import Resumed
from ntkrun.runner.checkpoint import CellCheckpoints, Seen, stack, unstack

GOES_ON, STOPS, FAILS = range(3)  # what becomes of the leader behind a checkpoint


class SharedCheckpoints:
    """`progress.Checkpoints` for one of several processes; `kept`: the leader's files, None in all others."""

    def __init__(self, kept: CellCheckpoints | None) -> None:
        self.kept = kept

    @contextlib.contextmanager
    def running(self, label: str, states: Any) -> Iterator[Resumed]:
        """One lockstep run, begun where the leader's files say."""
        if self.kept is None:
            yield _heard(label, states)
            return
        with contextlib.ExitStack() as kept:
            try:
                run = kept.enter_context(self.kept.running(label, states))
            except UserError:
                agree(0)
                raise
            _told(run)
            yield run

    def reached(self, step: int, states: Any) -> None:
        """Save if the leader wants to; followers end with a leader that stops."""
        kept = self.kept
        if not agree(int(kept is not None and kept.due())):
            return
        gathered = jax.tree.map(whole, states)
        if kept is None:
            become = agree(GOES_ON)
            if become == STOPS:
                leave(0)
            if become == FAILS:
                raise UserError("the leading process says what is wrong")
            return
        try:
            kept.save(step, gathered)
        except BaseException as error:
            agree(FAILS if isinstance(error, UserError) else STOPS)
            raise
        agree(GOES_ON)


def _told(run: Resumed) -> None:
    """The leader's part of `_heard`."""
    described, arrays = stack(run.seen)
    specs = [[str(array.dtype), list(array.shape)] for array in arrays]
    text = json.dumps({"step": run.step, "seen": described, "specs": specs}).encode()
    agree(len(text))
    tell(np.frombuffer(text, np.uint8))
    if run.step:
        arrays = [*arrays, *(np.asarray(leaf) for leaf in jax.tree.leaves(run.states))]
    for array in arrays:
        tell(array)


def _heard(label: str, states: Any) -> Resumed:
    """Where the leader begins; `states` are the initial ones, of its structure and shapes."""
    length = agree(0)
    if not length:
        raise UserError("the leading process says what is wrong")
    text = tell(np.zeros(length, np.uint8))
    record = json.loads(text.tobytes())
    arrays = [tell(np.zeros(shape, dtype)) for dtype, shape in record["specs"]]
    seen: Seen = unstack(record["seen"], iter(arrays)) or []
    if record["step"]:
        states = jax.tree.map(lambda leaf: tell(np.zeros(leaf.shape, leaf.dtype)), states)
    return Resumed(label, record["step"], states, seen)
