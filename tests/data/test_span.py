"""Inputs in the basis of their span make the same networks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntkrun.data.span import span_coordinates
from ntkrun.dynamics.network import Network
from ntkrun.dynamics.protocol import FullBatch, run_lockstep
from ntkrun.models import build_model
from ntkrun.progress import Silent

X = np.random.default_rng(0).normal(size=(5, 4, 3, 2))
FLAT = X.reshape(5, 24)


def test_all_products_of_inputs_are_kept_per_dimension():
    z = span_coordinates(X)
    assert z.shape == (5, 5)
    np.testing.assert_allclose(z @ z.T / 5, FLAT @ FLAT.T / 24, rtol=1e-13, atol=1e-15)


def test_dependent_inputs_are_no_special_case():
    twice = np.concatenate([FLAT, FLAT[:2], FLAT[:1] + FLAT[1:2]])
    z = span_coordinates(twice)
    assert z.shape == (8, 8)
    np.testing.assert_allclose(z @ z.T / 8, twice @ twice.T / 24, rtol=1e-13, atol=1e-14)


def test_more_inputs_than_dimensions_stay_what_they_are():
    np.testing.assert_array_equal(span_coordinates(FLAT.T), FLAT.T)


def test_a_network_trains_as_on_full_inputs():
    """omega^1 -> Q^T omega^1 maps one run to the other, and the change of omega^1 keeps its norm."""
    z = span_coordinates(X)
    basis = np.linalg.solve(np.sqrt(24 / 5) * z, FLAT).T  # X = Z Q^T
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-13)
    model = build_model(
        "fc", width=7, depth=2, n_outputs=2, activation="relu", sigma_w2=2.0, sigma_b2=0.1, dtype=jnp.float64
    )
    full: Any = model.init(jax.random.key(0), FLAT[:1])["params"]
    first = full["layer_1"]
    spanned = full | {"layer_1": first | {"omega": basis.T @ first["omega"]}}
    y = jnp.ones((5, 2))
    runs = []
    for theta0, x in ((full, jnp.asarray(FLAT)), (spanned, jnp.asarray(z))):
        network = Network(theta0, x, y, x[:1], model=model, tx=optax.sgd(0.3, 0.5), loss="mse", watched=())
        runs.append(
            [seen["r"]["train"] for _, seen in run_lockstep({"r": network}, [0, 30], FullBatch(), Silent(), "")]
        )
    # float64 through 30 stable steps
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-11, atol=1e-12)
