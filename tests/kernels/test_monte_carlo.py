"""Averages over drawn networks against the same networks one by one, and their error against that of independent units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.data.span import span_coordinates
from ntkrun.errors import UserError
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk
from ntkrun.kernels.monte_carlo import sampled_kernels, segment_sums
from ntkrun.models import build_model

X = np.random.default_rng(0).standard_normal((5, 40))
(REDUCED,) = span_coordinates(X)
KEY = jax.random.key(3)


def network(width: int, depth: int):
    return build_model(
        "fc", width=width, depth=depth, n_outputs=1, activation="relu", sigma_w2=2.0, sigma_b2=0.1, dtype=jnp.float64
    )


def test_running_averages_are_those_of_the_networks_one_by_one():
    model, x = network(7, 2), jnp.asarray(REDUCED)
    alone = []
    for draw in range(4):
        params = model.init(jax.random.fold_in(KEY, draw), x[:1])["params"]
        theta = empirical_ntk(model, params, x, method="jacobian", trace_outputs=True)
        alone.append([np.asarray(empirical_nngp(model, params, x)), np.asarray(theta)])
    found = list(sampled_kernels(model, REDUCED, KEY, 4))
    assert [count for count, _ in found] == [1, 2, 4]
    for count, kernels in found:
        np.testing.assert_allclose(kernels, np.mean(alone[:count], axis=0), rtol=1e-12)  # sums in another order


def test_the_error_is_that_of_an_average_over_independent_units():
    """One hidden layer: E error^2 = V/(n M), V from units drawn by NumPy without any network."""
    width, draws = 4, 100
    k1 = 2.0 * X @ X.T / 40 + 0.1
    h = np.random.default_rng(1).multivariate_normal(np.zeros(5), k1, size=20_000)
    phi = np.maximum(h, 0)
    exact = analytic_kernels(X, depth=1, activation="relu", sigma_w2=2.0, sigma_b2=0.1)
    outer = 2.0 * phi[:, :, None] * phi[:, None, :] + 0.1
    # Theta_hat of one unit: its K_hat and the gradient by its input weights and bias, scaled by the readout weight^2
    slope = (h > 0).astype(float) * np.random.default_rng(2).standard_normal((len(h), 1))
    ntk = outer + 2.0 * slope[:, :, None] * slope[:, None, :] * k1
    keys = jax.random.split(KEY, draws)
    drawn = [next(sampled_kernels(network(width, 1), REDUCED, key, 1))[1] for key in keys]
    for kernels, units, target in zip(zip(*drawn, strict=True), (outer, ntk), exact, strict=True):
        spread = np.mean(np.sum((units - target) ** 2, axis=(1, 2)))
        ratios = np.sum((np.stack(kernels) - target) ** 2, axis=(1, 2)) * width / spread
        # five standard errors of the mean over draws, to which the spread's own over 20,000 units adds little
        assert abs(np.mean(ratios) - 1) < 5 * np.std(ratios) / np.sqrt(draws)
        together = np.sum((np.mean(kernels, axis=0) - target) ** 2) * width * draws / spread
        assert together < 20  # unbiased: of mean 1 and at worst a chi^2 with one degree of freedom


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_equal_and_zero_inputs_have_the_kernels_that_they_have_among_others(activation):
    """Rows and columns of equal inputs are equal, of an input 0 without biases 0, and of the others those without them."""
    model = build_model(
        "fc", width=64, depth=2, n_outputs=1, activation=activation, sigma_w2=2.0, sigma_b2=0.0, dtype=jnp.float64
    )
    x = np.concatenate([X[:3], X[:2], np.zeros((1, 40))])
    (*_, (count, found)) = sampled_kernels(model, x, KEY, 64)
    assert count == 64
    exact = analytic_kernels(x, depth=2, activation=activation, sigma_w2=2.0, sigma_b2=0.0)
    for kernel, limit in zip(found, exact, strict=True):
        np.testing.assert_allclose(kernel[:2], kernel[3:5], rtol=1e-8, atol=1e-12)
        np.testing.assert_array_equal(kernel[5], 0.0)
        # 64 draws of 64 units: 3 standard deviations of the mean, a unit's own being about its size
        np.testing.assert_allclose(kernel, limit, atol=3 * np.abs(limit).max() / np.sqrt(64 * 64) * 2)


def test_no_draw_changes_with_the_inputs_of_which_others_are_singular():
    """A group that meets one singular Gram matrix keeps its other draws: the sums of full rank are the same either way."""
    model, x = network(32, 2), jnp.asarray(REDUCED)
    usual, any_rank = (segment_sums(model, x, KEY, jnp.asarray(0), 4, any_rank=it) for it in (False, True))
    np.testing.assert_allclose(usual, any_rank, rtol=1e-12)


def test_what_is_too_large_is_refused():
    with pytest.raises(UserError, match="too large"):
        next(sampled_kernels(network(32, 2), 1e200 * X, KEY, 1))


def test_other_counts_than_powers_of_two_are_refused():
    with pytest.raises(UserError, match="draws = 3"):
        next(sampled_kernels(network(4, 1), X, KEY, 3))
