"""Members are dealt out over the cores of a CPU, and no number depends on how many there are."""

import os
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.dynamics.network import Network
from ntkrun.lockstep import executor
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.executor import Executor, member_shares
from ntkrun.lockstep.loop import MiniBatches, run_lockstep
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(12, 5)), jnp.float32)
Y = jnp.asarray(np.eye(2)[RNG.integers(0, 2, 12)], jnp.float32)


def network(seed: int, width: int = 7) -> Network:
    fields: dict[str, Any] = dict(activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float32)
    model = build_model("fc", width=width, depth=2, n_outputs=2, **fields)
    theta0 = model.init(jax.random.key(seed), X[:1])["params"]
    return Network(theta0, X, Y, X[:3], model=model, tx=optax.sgd(0.5, momentum=0.9), loss="mse", watched=())


def ensemble(count: int) -> Ensemble:
    return Ensemble.of([network(seed) for seed in range(count)])


def stand_in(count: int) -> Ensemble:
    """As many members without drawing each."""
    one: Any = network(0)
    return Ensemble(one.replace(theta0=jax.tree.map(lambda leaf: jnp.stack([leaf] * count), one.theta0)), ("theta0",))


@pytest.mark.parametrize(
    ("members", "expected"), [(1, 1), (2, 2), (3, 3), (7, 7), (10, 10), (16, 8), (20, 10), (97, 97), (100, 10)]
)
def test_equal_shares_for_up_to_eight_cores(members, expected):
    assert member_shares((stand_in(members),)) == expected
    shares = stand_in(members).shared_out(expected)
    assert {share.count for share in shares} == {members // expected}


def test_who_shares_something_or_fills_the_cores_stays_in_one_program():
    assert member_shares((network(0), network(1))) == 1, "rivals of one network see the same images in the same step"
    assert member_shares((ensemble(2), ensemble(3))) == 1
    assert member_shares((ensemble(3), ensemble(3))) == 3
    assert member_shares((Ensemble.of([network(seed, 1024) for seed in range(2)]),)) == 1
    assert member_shares((Ensemble.of([network(seed, 1023) for seed in range(2)]),)) == 2


@pytest.mark.parametrize("count", [3, 16])
def test_no_number_depends_on_the_number_of_threads(count, monkeypatch):
    def trained(threads: int) -> list[tuple[int, Any]]:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(threads)), raising=False)
        batches = MiniBatches(jax.random.key(1), 12, 4)
        return list(run_lockstep({"all": ensemble(count)}, [0, 3, 40], batches, Silent(), "test"))

    first, *others = [trained(threads) for threads in (1, 2, 5)]
    assert first[-1][1]["all"]["train"].shape == (count, 12, 2)
    for other in others:
        for (step, ours), (same_step, theirs) in zip(first, other, strict=True):
            assert step == same_step
            for name, values in ours["all"].items():
                np.testing.assert_array_equal(values, theirs["all"][name])


def test_members_keep_their_order_over_the_lanes():
    ((_, found),) = run_lockstep({"all": ensemble(5)}, [20], MiniBatches(jax.random.key(1), 12, 4), Silent(), "test")
    for seed in range(5):
        ((_, alone),) = run_lockstep(
            {"r": network(seed)}, [20], MiniBatches(jax.random.key(1), 12, 4), Silent(), "test"
        )
        # float32 through 20 stable steps on outputs of order 1: sums of a few tens of terms, rounding of 6e-8 each
        np.testing.assert_allclose(found["all"]["train"][seed], alone["r"]["train"], rtol=0, atol=1e-5)


def test_lanes_move_at_the_same_time(monkeypatch):
    """Two shares meet inside a step: with one thread the barrier would break."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    meeting, advance = threading.Barrier(2, timeout=20), executor.advance
    with Executor((ensemble(2),), None, 1) as both:
        states = both.advance(both.init(), None, 1)  # the first time they go in turn

        def met(*arguments: Any) -> tuple:
            meeting.wait()
            return advance(*arguments)

        monkeypatch.setattr(executor, "advance", met)
        both.advance(states, None, 1)


def test_a_failing_lane_fails_the_run(monkeypatch):
    with Executor((ensemble(3),), None, 1) as three:
        states = three.advance(three.init(), None, 1)

        def fails(*_: Any) -> tuple:
            raise MemoryError("out of memory")

        monkeypatch.setattr(executor, "advance", fails)
        with pytest.raises(MemoryError, match="out of memory"):
            three.advance(states, None, 1)


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 21])
@pytest.mark.parametrize("size", [None, 4])
def test_short_loops_of_one_length_take_the_same_steps_as_a_plain_one(count, size):
    """Every step and batch once and in order, whatever is left over: mini-batches tell the steps apart."""
    rivals = (network(0), network(1))
    block = None if size is None else MiniBatches(jax.random.key(1), 12, size).block(5, 24)

    def moved(in_a_row: int) -> tuple:
        return executor.advance(rivals, executor.start(rivals), block, np.int32(count), in_a_row)

    plain, nested = moved(1), moved(3)
    for ours, theirs in zip(jax.tree.leaves(nested), jax.tree.leaves(plain), strict=True):
        # the same operations in another program: rounding of float32 over up to 21 steps
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    steps = jax.make_jaxpr(executor.advance, static_argnums=4)(
        rivals, executor.start(rivals), block, np.int32(count), 3
    )
    assert "length=3" in str(steps), "a loop whose length the compiler is told"


def test_the_start_is_no_view_of_what_a_rival_keeps():
    one = network(0)
    (state,) = executor.start((one,))
    executor.advance((one,), (state,), None, np.int32(1))  # which donates the state
    assert np.isfinite(np.asarray(one.theta0["layer_1"]["omega"])).all()
