"""The change of the input basis is exact: kernels, and the network after training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.data.span import span_coordinates
from ntkrun.errors import UserError
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.models import build_model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 5, 8, 1))
X[6] = X[0] - 2 * X[3]  # rank 6
LINE = 0.3 * X[1:3] - 0.7 * X[2:4]


def test_kernels_are_kept_and_the_rank_is_found():
    x, line = span_coordinates(X, LINE)
    assert x.shape == (7, 6)
    options: dict = dict(depth=2, activation="tanh", sigma_w2=1.5, sigma_b2=0.1)
    for one, other in (((x, line), (X, LINE)), ((line, line), (LINE, LINE))):
        found, expected = analytic_kernels(*one, **options), analytic_kernels(*other, **options)
        np.testing.assert_allclose(found.ntk, expected.ntk, rtol=1e-12)
        np.testing.assert_allclose(found.nngp, expected.nngp, rtol=1e-12)


def test_the_trained_network_is_the_same():
    x, line = span_coordinates(X, LINE)
    # the orthonormal V that was used, from the coordinates themselves: X = sqrt(n_0/r) x V^T
    basis = np.linalg.lstsq(x, X.reshape(7, -1), rcond=None)[0].T * np.sqrt(x.shape[1] / 40)
    np.testing.assert_allclose(basis.T @ basis, np.eye(6), atol=1e-12)
    model = build_model(
        "fc", width=9, depth=2, n_outputs=1, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float64
    )
    theta = model.init(jax.random.key(0), X[:1])["params"]
    turned = {**theta, "layer_1": {**theta["layer_1"], "omega": basis.T @ theta["layer_1"]["omega"]}}
    y = np.cos(np.arange(7.0))[:, None]

    @jax.jit
    def trained(params, x, line):
        def descend(_, params):
            gradient = jax.grad(lambda p: jnp.mean((model.apply({"params": p}, x) - y) ** 2))(params)
            return optax.apply_updates(params, jax.tree.map(lambda g: -0.5 * g, gradient))

        return model.apply({"params": jax.lax.fori_loop(0, 30, descend, params)}, line)

    # float64, 30 stable steps
    np.testing.assert_allclose(trained(turned, x, line), trained(theta, X, LINE), rtol=0, atol=1e-12)


def test_outside_the_span_is_refused():
    with pytest.raises(UserError, match="outside the span"):
        span_coordinates(X, RNG.normal(size=(1, 5, 8, 1)))


def test_signs_are_those_of_the_inputs_whatever_lapack_returns(monkeypatch):
    """A singular vector has a sign by chance; the basis, and with it the networks that are drawn in it, has not."""
    expected = span_coordinates(X, LINE)
    svd, rng = np.linalg.svd, np.random.default_rng(1)

    def turned(x, full_matrices):
        u, values, rows = svd(x * (1 + 1e-15 * rng.normal(size=x.shape)), full_matrices=full_matrices)
        signs = rng.choice([-1, 1], size=len(values))
        return u * signs, values, rows * signs[:, None]

    monkeypatch.setattr(np.linalg, "svd", turned)
    for _ in range(5):
        for found, one in zip(span_coordinates(X, LINE), expected, strict=True):
            # 1e-15 through the conditioning of the singular vectors, whose values lie some per cent apart
            np.testing.assert_allclose(found, one, rtol=0, atol=1e-12)
