"""An ensemble is its members, up to rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.dynamics.network import Network
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.lockstep.loop import Dynamics, FullBatch, MiniBatches, run_lockstep
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(24, 30)))
Y = jnp.asarray(np.eye(3)[RNG.integers(0, 3, 24)])
MODEL, WIDER = (
    build_model("fc", width=n, depth=3, n_outputs=3, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float64)
    for n in (33, 128)
)
TX = optax.sgd(0.5, momentum=0.9)
WATCHED = ((("layer_1", "omega"), 3),)


def network(seed: int, model=MODEL) -> Network:
    theta0 = model.init(jax.random.key(seed), X[:1])["params"]
    return Network(theta0, X, Y, X[:5], model=model, tx=TX, loss="mse", watched=WATCHED)


def trained(rival: Dynamics, batches: FullBatch | MiniBatches) -> dict:
    return list(run_lockstep({"r": rival}, [0, 7, 40], batches, Silent(), "test"))[-1][1]["r"]  # type: ignore[return-value]


@pytest.mark.parametrize("seeds", [(0,), (0, 1), (2, 1, 0), (4, 0, 3, 1, 2)])
@pytest.mark.parametrize("batches", [FullBatch(), MiniBatches(jax.random.key(1), 24, 8)], ids=["full", "mini"])
def test_a_member_moves_as_it_does_by_itself(seeds, batches):
    together = trained(Ensemble.of([network(seed) for seed in seeds]), batches)
    for place, seed in enumerate(seeds):
        alone = trained(network(seed), batches)
        for name, values in alone.items():
            # float64 through 40 stable steps: rounding does not grow, sums of 33 terms lose a few units of 2e-16
            np.testing.assert_allclose(together[name][place], values, rtol=0, atol=1e-13, err_msg=f"{seed} {name}")


def test_wide_members_move_in_turn_where_that_is_faster():
    together = trained(Ensemble.of([network(seed, WIDER) for seed in (1, 0)]), FullBatch())
    for place, seed in enumerate((1, 0)):
        for name, values in trained(network(seed, WIDER), FullBatch()).items():
            np.testing.assert_allclose(together[name][place], values, rtol=0, atol=1e-13, err_msg=f"{seed} {name}")


def test_an_ensemble_keeps_the_protocol():
    assert isinstance(Ensemble.of([network(0)]), Dynamics)


def test_what_is_converged_is_carried_forward():
    seen = list(
        run_lockstep(
            {"r": network(0)},
            [0, 5, 9, 10**9],
            FullBatch(),
            Silent(),
            "test",
            lambda found: bool(np.any(found["r"]["weights"])),
        )
    )
    assert [step for step, _ in seen] == [0, 5, 9, 10**9]
    assert seen[1][1] is seen[3][1] and not np.array_equal(seen[0][1]["r"]["train"], seen[1][1]["r"]["train"])
