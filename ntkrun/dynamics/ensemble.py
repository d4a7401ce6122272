"""Many members of one rival, moved as one: networks that differ in theta0 alone, vmapped.

An ensemble is itself a rival (`protocol.Dynamics`): every leaf of its state and of its observations has a leading axis
s, one entry a member.  What the members share (images, targets) is held once; a product of shared inputs with s weight
matrices becomes one product of s times the width.  A member moves as it does by itself up to rounding, not bit for bit
(the compiler orders sums by the number of members): how many there are belongs to the identity of a cell, and no cell
is ever grouped by what else happens to run.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntkrun.data.batches import Batch
from ntkrun.types import Array


@struct.dataclass
class Ensemble:
    """`members`: a rival whose fields named in `varying` carry the leading axis s; made by `Ensemble.of`."""

    members: Any
    varying: tuple[str, ...] = struct.field(pytree_node=False)

    @classmethod
    def of(cls, rivals: Sequence[Any], varying: tuple[str, ...] = ("theta0",)) -> "Ensemble":
        """The ensemble of `rivals`, which are equal but for the fields `varying`."""
        stacked = {
            name: jax.tree.map(lambda *leaves: jnp.stack(leaves), *(getattr(rival, name) for rival in rivals))
            for name in varying
        }
        return cls(rivals[0].replace(**stacked), varying)

    def spread(self) -> "Ensemble":
        """The members dealt out over the local devices, as many of them as divide s; each moves its own.

        Nothing passes between members, so that only the order of float sums may change (the s of one device's products).
        """
        own = {name: getattr(self.members, name) for name in self.varying}
        count, devices = len(jax.tree.leaves(own)[0]), jax.local_devices()
        used = max(d for d in range(1, len(devices) + 1) if count % d == 0)
        over_members = NamedSharding(Mesh(np.array(devices[:used]), ("s",)), PartitionSpec("s"))
        return Ensemble(self.members.replace(**jax.device_put(own, over_members)), self.varying)

    def _each(self, function: Any, *states: Any) -> Any:
        """function(member, *its states) for every member."""
        own = {name: getattr(self.members, name) for name in self.varying}
        return jax.vmap(lambda fields, *state: function(self.members.replace(**fields), *state))(own, *states)

    def init(self) -> Any:
        return self._each(lambda member: member.init())

    def step(self, state: Any, batch: Batch | None) -> Any:
        return self._each(lambda member, one: member.step(one, batch), state)

    def observe(self, state: Any) -> dict[str, Array]:
        return self._each(lambda member, one: member.observe(one), state)
