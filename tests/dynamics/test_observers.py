"""Relative changes against kernels by explicit Jacobians and norms by numpy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.dynamics.network import Network
from ntkrun.dynamics.observers import FROM_THEIR_START, Changes, relative_change
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk
from ntkrun.lockstep.ensemble import Ensemble
from ntkrun.models import build_model

MODEL = build_model(
    "fc", width=6, depth=2, n_outputs=3, activation="tanh", sigma_w2=1.5, sigma_b2=0.0, dtype=jnp.float64
)
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)))
Y = jnp.asarray(np.eye(3)[[0, 1, 2, 0]])


def network(seed: int) -> Network:
    theta0 = MODEL.init(jax.random.key(seed), X[:1])["params"]
    return Network(theta0, X, Y, X[:1], model=MODEL, tx=optax.sgd(2.0), loss="mse", watched=())


def jacobian_kernel(theta) -> np.ndarray:
    jacobian = jax.jacrev(lambda theta: MODEL.apply({"params": theta}, X))(theta)
    j = np.concatenate([np.asarray(leaf).reshape(12, -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
    return j @ j.T


def last_hidden_kernel(theta) -> np.ndarray:
    h = np.asarray(X)
    for layer, fan_in in (("layer_1", 5), ("layer_2", 6)):
        h = np.tanh(np.sqrt(1.5 / fan_in) * h @ np.asarray(theta[layer]["omega"]))
    return 1.5 / 6 * h @ h.T


def ratio(a: np.ndarray, a0: np.ndarray) -> float:
    return float(np.linalg.norm(a - a0) / np.linalg.norm(a0))


def watched(one: Network, unseen: float) -> Network:
    ntk0, nngp0 = (kernel(MODEL, one.theta0, X) for kernel in (empirical_ntk, empirical_nngp))
    return replace(one, observer=Changes(ntk0, nngp0, jnp.asarray(unseen)))


@pytest.fixture(scope="module")
def moved():
    """Two networks after three steps, as one ensemble."""
    networks = [network(0), network(1)]
    ensemble = Ensemble.of(
        [watched(one, unseen) for one, unseen in zip(networks, (0.0, 30.0), strict=True)],
        FROM_THEIR_START,
    )
    state = ensemble.init()
    for _ in range(3):
        state = ensemble.step(state, None)
    return networks, state, ensemble


def test_changes_are_those_of_explicit_kernels_and_weights(moved):
    networks, state, ensemble = moved
    seen = ensemble.observe(state)
    for place, one in enumerate(networks):
        theta = jax.tree.map(lambda leaf, place=place: np.asarray(leaf[place]), state[0])
        assert seen["ntk_change"][place] == pytest.approx(
            ratio(jacobian_kernel(theta), jacobian_kernel(one.theta0)), rel=1e-10
        )
        assert seen["nngp_change"][place] == pytest.approx(
            ratio(last_hidden_kernel(theta), last_hidden_kernel(one.theta0)), rel=1e-10
        )
        for index, layer in enumerate(("layer_1", "layer_2", "layer_3")):
            w, w0 = theta[layer]["omega"], np.asarray(one.theta0[layer]["omega"])
            unseen = 30.0 if (place, index) == (1, 0) else 0.0
            expected = np.linalg.norm(w - w0) / np.sqrt(np.sum(w0**2) + unseen)
            assert seen["weight_change"][place, index] == pytest.approx(expected, rel=1e-10)


def test_nothing_has_changed_at_the_start(moved):
    _, _, ensemble = moved
    seen = ensemble.observe(ensemble.init())
    for name in ("ntk_change", "nngp_change", "weight_change"):
        assert np.max(seen[name]) < 1e-14, name


def test_small_changes_of_float32_keep_their_digits():
    a0 = jnp.asarray(np.random.default_rng(0).normal(size=(300, 300)), jnp.float32)
    a = a0 * jnp.float32(1 + 2.0**-12)  # a change that float32 holds to 2^-12 of itself
    assert float(relative_change(a, a0)) == pytest.approx(2.0**-12, rel=1e-3)
