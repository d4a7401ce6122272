"""Kernels from projections of the weights against those of the very weights, and their law against drawn networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk
from ntkrun.kernels.projected import drawn_projections, is_projectable, projected_kernels
from ntkrun.models import build_model

X = np.random.default_rng(0).standard_normal((5, 4))
KEY = jax.random.key(3)


def network(width: int, depth: int, activation: str = "tanh", **changes):
    fields = dict(sigma_w2=1.7, sigma_b2=0.2, dtype=jnp.float64, parameterization="ntk", n_outputs=1) | changes
    return build_model("fc", width=width, depth=depth, activation=activation, **fields)


EQUAL = X[[0, 1, 2, 0, 1]]


@pytest.mark.parametrize(
    "depth, inputs, full_rank",
    [(1, X, True), (2, X, True), (4, X, True), (3, X, False), (1, EQUAL, False), (3, EQUAL, False)],
)
def test_projections_of_given_weights_give_the_kernels_of_these_weights(depth, inputs, full_rank):
    """G = Q^T omega and H = P^T omega^T of one omega: then the equations are identities, not laws."""
    model, x = network(9, depth), jnp.asarray(inputs)
    split = jax.random.split(KEY, depth + 2)
    normal = jax.random.normal
    omega = {layer: normal(jax.random.fold_in(KEY, layer), (9, 9), jnp.float64) for layer in range(2, depth + 1)}
    params = {"layer_1": {"omega": normal(split[0], (4, 9), jnp.float64), "beta": normal(split[1], (9,), jnp.float64)}}
    for layer in omega:
        params[f"layer_{layer}"] = {"omega": omega[layer], "beta": normal(split[layer], (1, 9), jnp.float64)[0]}
    readout = normal(split[-1], (1, 9), jnp.float64).T
    params[f"layer_{depth + 1}"] = {"omega": readout, "beta": jnp.zeros(1)}

    def projections(layer, transposed, basis):
        seen = np.diag(np.arange(5) >= 5 - len(np.unique(inputs, axis=0)))  # of equal rows as many directions as of one
        np.testing.assert_allclose(basis @ basis.T, seen, atol=1e-10)
        return basis @ (omega[layer].T if transposed else omega[layer])

    nngp, ntk = projected_kernels(model, x, KEY, projections, full_rank=full_rank)
    np.testing.assert_allclose(nngp, empirical_nngp(model, params, x), rtol=1e-10)
    exact = empirical_ntk(model, params, x, method="jacobian", trace_outputs=True)
    np.testing.assert_allclose(ntk, exact, rtol=1e-10, atol=1e-11)


def test_drawn_projections_have_the_law_of_drawn_networks():
    """Means and variances of both kernels over 4,000 networks each, entry by entry."""
    model, x, draws = network(8, 3), jnp.asarray(X), 4000
    keys = jax.random.split(KEY, draws)

    @jax.jit
    @jax.vmap
    def ours(key):
        layers, inner = jax.random.split(key)
        return jnp.stack(projected_kernels(model, x, layers, drawn_projections(inner)))

    @jax.jit
    @jax.vmap
    def theirs(key):
        params = model.init(jax.random.fold_in(key, 1), x[:1])["params"]
        return jnp.stack([empirical_nngp(model, params, x), empirical_ntk(model, params, x, trace_outputs=True)])

    a, b = np.log(np.abs(ours(keys)) + 1.0), np.log(np.abs(theirs(keys)) + 1.0)  # light tails
    standard_error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / draws)
    # 100 entries, strongly dependent within a kernel: 5 standard errors are never reached by chance
    assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * standard_error)
    # the variance of a variance of light tails is about 2 / draws; twice that for safety
    assert np.all(np.abs(np.log(a.var(axis=0) / b.var(axis=0))) < 5 * np.sqrt(2 * 4 / draws))


@pytest.mark.parametrize(
    "changes", [{"parameterization": "standard"}, {"n_outputs": 2}, {"trained": "readout"}], ids=lambda c: next(iter(c))
)
def test_other_networks_are_drawn_as_they_are(changes):
    assert is_projectable(network(20, 2), 5) and not is_projectable(network(19, 2), 5)
    assert not is_projectable(network(20, 2, **changes), 5)
