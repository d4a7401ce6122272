"""Many members of one rival, moved as one: networks that differ in theta0 alone.

An ensemble is itself a rival (`loop.Dynamics`): every leaf of its state and of its observations has a leading axis
s, one entry a member.  What the members share (images, targets) is held once.  On an accelerator the members are
vmapped.  On the CPU wide ones move in turn inside the same compiled loop: batched products reach a third of the speed of
single ones there (11 against 34 GFLOP/s for 25 networks of n = 256, side by side on two cores).

A member moves as it does by itself up to rounding, not bit for bit (the compiler orders sums by the number of members):
how many there are belongs to the identity of a cell, and no cell is ever grouped by what else happens to run.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh

from ntkrun.data.batches import Batch
from ntkrun.devices.platform import platform
from ntkrun.lockstep.mesh import MEMBERS, is_dealt_out, place
from ntkrun.types import Array

# Entries of a member's largest array: n = 128.  Measured: 64 is faster vmapped by a fifth, 256 in turn by a third or more.
WIDE = 2**14


def largest_of_one(arrays: Any) -> int:
    """Entries of the largest of these arrays that belongs to one member."""
    return max(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(arrays))


@jax.jit
def _stacked(members: list[Any]) -> Any:
    """One program for all leaves."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


@struct.dataclass
class Ensemble:
    """`members`: a rival whose fields named in `varying` carry the leading axis s; made by `Ensemble.of`."""

    members: Any
    varying: tuple[str, ...] = struct.field(pytree_node=False)

    @classmethod
    def of(cls, rivals: Sequence[Any], varying: tuple[str, ...] = ("theta0",)) -> "Ensemble":
        """The ensemble of `rivals`, which are equal but for the fields `varying`."""
        of_each = [{name: getattr(rival, name) for name in varying} for rival in rivals]
        return cls(rivals[0].replace(**_stacked(of_each)), varying)

    @property
    def count(self) -> int:
        """s, the number of members."""
        return len(jax.tree.leaves(getattr(self.members, self.varying[0]))[0])

    def placed(self, mesh: Mesh | None) -> "Ensemble":
        """What varies dealt out over the mesh, what the members share whole on every device."""
        if mesh is None:
            return self
        varying = {name: place(getattr(self.members, name), mesh, MEMBERS) for name in self.varying}
        shared = place(self.members.replace(**dict.fromkeys(self.varying, jnp.zeros(()))), mesh)
        return Ensemble(shared.replace(**varying), self.varying)

    def shared_out(self, shares: int) -> "list[Ensemble]":
        """Ensembles of as many members each, in order; `shares` divides the number of members."""

        def fields_of(share: int) -> Any:
            size = self.count // shares
            return {
                name: jax.tree.map(lambda leaf: leaf[share * size : (share + 1) * size], getattr(self.members, name))
                for name in self.varying
            }

        return [Ensemble(self.members.replace(**fields_of(share)), self.varying) for share in range(shares)]

    def _each(self, function: Any, *states: Any, largest: int = 0) -> Any:
        """function(member, *its states) for every member; `largest`: entries of the largest array it works on."""
        varying = {name: getattr(self.members, name) for name in self.varying}

        def one(fields: dict[str, Any], *state: Any) -> Any:
            return function(self.members.replace(**fields), *state)

        if platform() == "cpu" and not is_dealt_out(MEMBERS) and largest >= WIDE:
            return jax.lax.map(lambda each: one(*each), (varying, *states))
        return jax.vmap(one)(varying, *states)

    def init(self) -> Any:
        return self._each(lambda member: member.init())

    def step(self, state: Any, batch: Batch | None) -> Any:
        return self._each(lambda member, one: member.step(one, batch), state, largest=largest_of_one(state))

    def observe(self, state: Any) -> dict[str, Array]:
        # what is kept to compare with, kernels at theta0 say, is as large as what is formed
        largest = largest_of_one([getattr(self.members, name) for name in self.varying])
        return self._each(lambda member, one: member.observe(one), state, largest=largest)
