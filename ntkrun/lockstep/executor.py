"""The compiled loop of a lockstep run, and who runs it: the devices of a mesh, or on one CPU a thread for every core.

The compiler runs a small product, or a batch of them, on one core, and the large ones of a step in turn.  Members of an
ensemble share nothing, so on the CPU they are dealt out into shares: each share is a program by itself, all have one shape
(compiled once), and the threads take them as they come.  Measured on two cores, 10 networks under full-batch descent,
N = 128, against all of them in one program: 1.9 times as fast at n = 16 to 128, 1.6 at 256 and 512, 1.1 at 1024, where
the products of one network fill the cores.

How many shares there are follows from the number of members alone, never from the machine, and what a share computes
does not depend on which thread takes it or when: no number changes with the number of cores.

On an accelerator there is one share, and the loop is one of short loops of constant length: of a loop whose length the
compiler does not know the device asks the host behind every step whether to go on, 20 microseconds in which it stands
still; one of known length runs by itself.  The operations and their order are those of the plain loop.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ntkrun.data.batches import Batch
from ntkrun.devices.platform import platform
from ntkrun.lockstep.ensemble import Ensemble, largest_of_one
from ntkrun.lockstep.mesh import EXAMPLES, MEMBERS, Devices, keep, make_mesh, place, use
from ntkrun.lockstep.processes import several
from ntkrun.types import AnyArray, Array

AT_LEAST = 8  # shares, where there are as many members: even shares for up to eight cores
FILLS_THE_CORES = 2**20  # entries of a member's largest array: n = 1024
IN_A_ROW = 32  # steps of a loop of constant length: the host is asked for a thirtieth of the time that it would take


@runtime_checkable
class FormsFirst(Protocol):
    """A rival a part of whose observation is formed by a program of its own."""

    def formed(self, state: Any) -> Any: ...


def axis_of(rival: Any) -> str | None:
    """What the leading axis of its state is dealt out by; None: each device holds all of the state."""
    return MEMBERS if isinstance(rival, Ensemble) else None


@partial(jax.jit, donate_argnums=1, static_argnames="in_a_row")
def advance(
    rivals: tuple, states: tuple, batches: Batch | None, count: AnyArray | np.int32, in_a_row: int = 1
) -> tuple:
    """`count` steps of every rival without leaving the device, `in_a_row` of them unasked; the states are donated."""

    def body(i: Array, states: tuple) -> tuple:
        batch = jax.tree.map(lambda steps: steps[i], batches)
        moved = [rival.step(state, batch) for rival, state in zip(rivals, states, strict=True)]
        return tuple(keep(state, axis_of(rival)) for rival, state in zip(rivals, moved, strict=True))

    if in_a_row == 1:
        return jax.lax.fori_loop(0, count, body, states)

    def some(turn: Array, states: tuple) -> tuple:
        return jax.lax.fori_loop(0, in_a_row, lambda i, states: body(turn * in_a_row + i, states), states)

    states = jax.lax.fori_loop(0, count // in_a_row, some, states)
    return jax.lax.fori_loop(count // in_a_row * in_a_row, count, body, states)


@jax.jit
def start(rivals: tuple) -> tuple:
    """The states at step 0, in one program.  Copies: a rival may hand out its own arrays (theta0), and the loop donates
    its states."""
    states = jax.tree.map(jnp.copy, tuple(rival.init() for rival in rivals))
    return tuple(keep(state, axis_of(rival)) for rival, state in zip(rivals, states, strict=True))


@jax.jit
def observed(rival: Any, state: Any) -> dict[str, Array]:
    """What a rival shows.  A program for each: f_0 of the network is the same to the bit whichever rivals move beside it."""
    return keep(rival.observe(state), None)  # whole on every device, hence on every host


def member_shares(rivals: tuple) -> int:
    """How many shares these rivals are dealt out into: a divisor of the number of members, 1 if they share anything."""
    counts = {rival.count if isinstance(rival, Ensemble) else 1 for rival in rivals}
    if len(counts) > 1 or platform() != "cpu":
        return 1
    (count,) = counts
    if count == 1 or max(largest_of_one(jax.eval_shape(rival.init)) for rival in rivals) >= FILLS_THE_CORES:
        return 1
    return next(shares for shares in range(min(count, AT_LEAST), count + 1) if count % shares == 0)


class Executor:
    """Rivals on the devices that move them.

    States are a tuple over shares of tuples over rivals; observations are whole, as if there were one share.
    """

    def __init__(self, rivals: tuple, batch_size: int | None, devices: Devices) -> None:
        self.mesh = None if devices == 1 and not several() else _mesh(rivals, batch_size, devices)
        count = member_shares(rivals) if self.mesh is None else 1
        if count > 1:
            self.shares = list(zip(*(rival.shared_out(count) for rival in rivals), strict=True))
        else:
            self.shares = [
                tuple(r.placed(self.mesh) if isinstance(r, Ensemble) else place(r, self.mesh) for r in rivals)
            ]
        self._compiled: set[Any] = set()
        self._threads = ThreadPoolExecutor(min(count, _cores()))

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *failure: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def init(self) -> tuple:
        with use(self.mesh):
            return tuple(start(share) for share in self.shares)

    def place(self, states: tuple) -> tuple:
        """States as read from a checkpoint on the devices that move them."""
        return tuple(
            tuple(place(s, self.mesh, axis_of(rival)) for rival, s in zip(share, its_states, strict=True))
            for share, its_states in zip(self.shares, states, strict=True)
        )

    def advance(self, states: tuple, batches: Batch | None, count: int) -> tuple:
        """`count` steps of all rivals; `states` are used up."""
        block = place(batches, self.mesh)
        in_a_row = 1 if platform() == "cpu" else IN_A_ROW

        def move(share: tuple, its_states: tuple) -> tuple:
            return jax.block_until_ready(advance(share, its_states, block, np.int32(count), in_a_row))

        return tuple(self._each("advance", move, states))

    def observe(self, states: tuple) -> tuple:
        """{what: values} of every rival."""

        def look(share: tuple, its_states: tuple) -> tuple:
            formed = map(self._formed, share, its_states)
            return jax.tree.map(np.asarray, tuple(map(observed, formed, its_states)))

        parts = self._each("observe", look, states)
        return parts[0] if len(parts) == 1 else jax.tree.map(lambda *shares: np.concatenate(shares), *parts)

    def _formed(self, rival: Any, state: Any) -> Any:
        """The rival with what it forms by a program that is compiled already; over a mesh, all is one program."""
        return rival.formed(state) if self.mesh is None and isinstance(rival, FormsFirst) else rival

    def _each(self, what: str, compute: Callable[[tuple, tuple], tuple], states: tuple) -> list[tuple]:
        """compute(share, its states) of all shares; the first time one after the other, so that it is compiled once."""

        def inside(share: tuple, its_states: tuple) -> tuple:
            with use(self.mesh):
                return compute(share, its_states)

        if len(self.shares) == 1 or what not in self._compiled:
            self._compiled.add(what)
            return list(map(inside, self.shares, states))
        return list(self._threads.map(inside, self.shares, states))


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _mesh(rivals: tuple, batch_size: int | None, devices: Devices) -> Mesh | None:
    """Over the members where there are ensembles, else over the examples of a step."""
    counts = [rival.count for rival in rivals if isinstance(rival, Ensemble)]
    if counts:
        return make_mesh(MEMBERS, math.gcd(*counts), devices)
    return make_mesh(EXAMPLES, batch_size or len(rivals[0].y_train), devices)
