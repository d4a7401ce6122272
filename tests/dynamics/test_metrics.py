import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.dynamics import metrics

KEY = jax.random.key(0)
F = jax.random.normal(KEY, (6, 4))
Y = jax.nn.one_hot(jnp.array([0, 1, 2, 3, 0, 1]), 4, dtype=jnp.float64)


def test_mse_is_half_the_mean_over_examples_and_outputs():
    by_hand = sum((float(F[i, a]) - float(Y[i, a])) ** 2 for i in range(6) for a in range(4)) / (2 * 6 * 4)
    assert np.isclose(metrics.mse(F, Y), by_hand, rtol=1e-14)


def test_mse_of_zero_output_on_one_hot_is_a_twentieth_for_ten_classes():
    targets = jnp.eye(10)
    assert np.isclose(metrics.mse(jnp.zeros((10, 10)), targets), 0.05)
    # and predicting the class means gives the plateau of Figure 4, 1/2 * 1/10 * 9/10
    assert np.isclose(metrics.mse(jnp.full((10, 10), 0.1), targets), 0.045)


def test_cross_entropy_of_equal_logits_is_log_k_over_k():
    assert np.isclose(metrics.cross_entropy(jnp.zeros((6, 4)), Y), np.log(4) / 4)


def test_gradients_against_finite_differences():
    for loss in metrics.LOSSES.values():
        gradient = jax.grad(loss)(F, Y)
        shifted = F.at[2, 1].add(1e-6)
        # central error O(h) = 1e-6 of second derivatives of order 1/24
        assert np.isclose(gradient[2, 1], (loss(shifted, Y) - loss(F, Y)) / 1e-6, atol=1e-6)


def test_accuracy_for_signs_and_for_classes():
    signs = jnp.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert metrics.accuracy(jnp.array([[0.2], [-3.0], [-0.1], [4.0]]), signs) == 0.5
    assert metrics.accuracy(Y * 2 - 1, Y) == 1.0


def test_rmse_is_the_root_of_one_mean_over_examples_and_outputs():
    f, g = jnp.array([[3.0, 0.0], [0.0, 4.0]]), jnp.zeros((2, 2))
    assert np.isclose(metrics.rmse(f, g), 2.5, rtol=1e-14), (
        "of (9 + 16)/4, not the mean of each row's root or a maximum"
    )
