"""The keys of all random numbers of a cell, folded from what identifies it."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.devices.numerics import GENERATOR
from ntkrun.devices.placement import on_the_host
from ntkrun.settings.base import CommonSettings
from ntkrun.types import Array, PRNGKeyArray


def cell_key(settings: CommonSettings, stream: str) -> PRNGKeyArray:
    """The key of one stream of random numbers ("theta0", "batches", ...) of a cell.

    It is folded from the seed, the model's settings and the name of the stream: order, shards and interruptions cannot
    move it, networks of two widths are independent, and a longer run starts from the same theta0.
    """
    return _folded(settings.seed, [settings.drawn_for, stream])


@on_the_host()
def member_keys(members: Sequence[CommonSettings], stream: str) -> Array:
    """`cell_key` of every member of an ensemble."""
    return jnp.stack([cell_key(member, stream) for member in members])


def shared_key(settings: CommonSettings, stream: str) -> PRNGKeyArray:
    """The key of a stream that all cells of a seed have in common, whatever their networks: random inputs."""
    return _folded(settings.seed, [stream])


@on_the_host()
def _folded(seed: int, identity: list[Any]) -> PRNGKeyArray:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()
    return jax.random.fold_in(jax.random.key(seed, impl=GENERATOR), int.from_bytes(digest[:4], "big"))
