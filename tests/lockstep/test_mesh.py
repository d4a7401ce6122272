"""Dealt out over devices, a run is the run on one device up to the order of float sums."""

import os
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from processes import ran

from ntkrun.data.batches import Batch
from ntkrun.dynamics.linear_parameter_space import LinearParameterSpace
from ntkrun.dynamics.network import Network
from ntkrun.errors import UserError
from ntkrun.lockstep import executor
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import FullBatch, MiniBatches, run_lockstep
from ntkrun.lockstep.mesh import EXAMPLES, MEMBERS, count_devices, make_mesh, place, use
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model
from ntkrun.models.wide_resnet import batch_norm

RNG = np.random.default_rng(3)
X = jnp.asarray(RNG.normal(size=(24, 6, 6, 2)), jnp.float32)
Y = jnp.asarray(np.eye(3)[RNG.integers(0, 3, 24)], jnp.float32)
FIELDS: dict[str, Any] = dict(n_outputs=3, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype="float32")
WIDE = build_model("fc", width=200, depth=2, **FIELDS)  # more than ensemble.WIDE entries: in turn on one device


class Conv(nn.Module):
    """Its batch statistics are sums over all devices."""

    @nn.compact
    def __call__(self, x):
        x = batch_norm(nn.Conv(5, (3, 3))(x))
        return nn.Dense(3)(jnp.tanh(x).mean(axis=(1, 2)))


CONV = Conv()


def network(kind: type = Network, model: Any = CONV, seed: int = 0, chunk: int = 8) -> Any:
    theta0 = jax.jit(model.init)(jax.random.key(seed), X[:1])["params"]
    # 12 test images in chunks of 8: the second chunk is filled up
    return kind(theta0, X, Y, X[:12], model, optax.sgd(0.1, momentum=0.9), "mse", (), chunk=chunk)


def trained(rivals: dict, batches: FullBatch | MiniBatches, devices: Any) -> dict:
    return list(run_lockstep(rivals, [0, 3, 8], batches, Silent(), "test", devices=devices))[-1][1]


def rivals() -> dict[str, Any]:
    return {"network": network(), "linear": network(LinearParameterSpace)}


CASES: dict[str, tuple[Any, FullBatch | MiniBatches]] = {
    "mini": (rivals, MiniBatches(jax.random.key(1), 24, 8, flip=True, crop=1)),
    "full": (lambda: {"network": network(model=WIDE)}, FullBatch()),
    "members": (lambda: {"all": Ensemble.of([network(model=WIDE, seed=s) for s in range(4)])}, FullBatch()),
}


def compare_on_four_devices() -> None:
    """What the subprocess below runs."""
    assert jax.local_device_count() == 4
    placed, advance = [], executor.advance

    def watched(engines: tuple, states: tuple, *rest: Any) -> tuple:
        states = advance(engines, states, *rest)
        placed.append((engines, states))
        return states

    executor.advance = watched
    for name, (make, batches) in CASES.items():
        one = trained(make(), batches, 1)
        assert all(len(leaf.sharding.device_set) == 1 for leaf in jax.tree.leaves(placed[-1])), name
        four = trained(make(), batches, "all")
        leaves = jax.tree.leaves(placed[-1])
        assert all(len(leaf.sharding.device_set) == 4 for leaf in leaves), name
        assert all(leaf.sharding.is_fully_replicated for leaf in leaves) == (name != "members"), name
        for rival, found in one.items():
            for what, values in found.items():
                # 8 stable steps on outputs of order 1: sums of a few hundred terms in float32, rounding of 6e-8 each
                np.testing.assert_allclose(four[rival][what], values, rtol=0, atol=1e-5, err_msg=f"{name} {rival}")
    three = make_mesh(MEMBERS, 6, "all")
    assert three is not None and dict(three.shape) == {MEMBERS: 3}, "the largest number of devices that divides 6"
    assert make_mesh(MEMBERS, 7, "all") is None
    assert_work_is_shared(network(model=WIDE))


def assert_work_is_shared(rival: Network) -> None:
    """A step and an evaluation of one device of four are a quarter of those of a single one."""
    mesh, batch = make_mesh(EXAMPLES, 8, "all"), Batch(jnp.arange(8))
    for work in (lambda rival, state: rival.step(state, batch), lambda rival, state: rival.observe(state)):

        def flops(on: Any, work: Any = work) -> float:
            placed, state = place((rival, rival.init()), on)
            with use(on):
                return jax.jit(work).lower(placed, state).compile().cost_analysis()["flops"]  # type: ignore[index]

        # the optimizer's part and the summed gradients are everybody's
        assert flops(mesh) < 0.35 * flops(None), (flops(mesh), flops(None))


def test_four_devices_give_the_numbers_of_one(root):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    wide = "import jax; jax.config.update('jax_enable_x64', True); "
    code = wide + "from tests.lockstep.test_mesh import compare_on_four_devices as run; run()"
    done = ran(sys.executable, "-c", code, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


def test_more_devices_than_there_are_is_one_line():
    there = jax.local_device_count()
    assert count_devices("all") == there
    with pytest.raises(UserError, match=rf"devices={there + 1}, but there are {there} here"):
        count_devices(there + 1)
