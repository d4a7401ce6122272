"""The mesh of a lockstep run: devices share its members or the examples of its batches, and hold the rest alike.

One axis: `MEMBERS` of an ensemble (nothing passes between them), else `EXAMPLES` of a batch, whose gradients are summed
over the devices.  Inputs and states are placed, `split` marks what is dealt out, and the compiler partitions the
program; float sums change their order and nothing else does.  Without a mesh (one device) all of this does nothing.

As many devices take part as divide the number of members or examples, so that each has an equal share: a batch of 8 is
dealt out over 4 of 6.  Where a set that is evaluated does not divide evenly each device evaluates all of it.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntkrun.errors import UserError, in_one_line

MEMBERS, EXAMPLES = "members", "examples"
Devices = int | Literal["all"]


def count_devices(asked: Devices) -> int:
    """How many devices the setting `devices` means: local ones, with `processes.start` those of all processes.

    Raises:
        UserError: more than there are, or none that JAX can use.
    """
    try:
        there = jax.device_count()
    except (RuntimeError, AssertionError) as error:  # the latter where JAX_PLATFORMS names what has no plugin here
        named = os.environ.get("JAX_PLATFORMS")
        hint = (
            f"JAX_PLATFORMS={named}: unset it, or install JAX for it, ntkrun[cuda13] say"
            if named
            else in_one_line(error)
        )
        raise UserError(f"JAX finds no device; {hint}") from error
    if asked != "all" and asked > there:
        raise UserError(f"devices={asked}, but there are {there} here: use devices=all or a number up to {there}")
    return there if asked == "all" else asked


def make_mesh(axis: str, size: int, devices: Devices) -> Mesh | None:
    """Over d devices, d the largest number up to `devices` that divides `size`; None for one.

    Raises:
        UserError: several processes, and no such d is a multiple of their number.
    """
    processes = jax.process_count()
    fits = [d for d in range(processes, count_devices(devices) + 1, processes) if size % d == 0]
    if not fits:
        raise UserError(
            f"{size} {axis} cannot be shared by {processes} processes with devices={devices}: each needs as many of both"
        )
    groups = [jax.local_devices(process_index=p)[: fits[-1] // processes] for p in range(processes)]
    return Mesh(np.array(groups).reshape(-1), (axis,)) if fits[-1] > 1 else None


def use(mesh: Mesh | None) -> AbstractContextManager[Any]:
    """What is traced inside is dealt out over the mesh; compiled programs are kept apart by it."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def place(tree: Any, mesh: Mesh | None, axis: str | None = None) -> Any:
    """The arrays of `tree` with their leading axis dealt out (axis=None: whole on every device)."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, _spec(axis)))


def is_dealt_out(axis: str) -> bool:
    """Whether `axis` is that of the mesh in use."""
    return axis in jax.sharding.get_abstract_mesh().axis_names


def keep(tree: Any, axis: str | None) -> Any:
    """`place` for traced arrays: a state stays where it was, whatever the compiler would choose."""
    in_use = jax.sharding.get_abstract_mesh()
    return tree if in_use.empty else jax.lax.with_sharding_constraint(tree, _spec(axis))


def split(x: Any, axis: str = EXAMPLES) -> Any:
    """The traced array with its leading axis dealt out, if that is the mesh's and all devices get an equal share."""
    mesh = jax.sharding.get_abstract_mesh()
    return keep(x, axis) if axis in mesh.axis_names and x.shape[0] % mesh.shape[axis] == 0 else x


def _spec(axis: str | None) -> PartitionSpec:
    return PartitionSpec() if axis is None else PartitionSpec(axis)
