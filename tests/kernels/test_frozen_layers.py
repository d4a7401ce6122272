"""Theta_hat of every network of which some layers are frozen, against the Jacobian product, on memory full of nan."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.costs import Piece
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.models import build_model
from ntkrun.models.registry import MODELS

# images of 6 x 4 pixels and 2 channels; at this width the second convolution takes the form "patches" when all layers move
X = np.random.default_rng(0).standard_normal((3, 6, 4, 2))
FIELDS: dict[str, Any] = dict(n_outputs=2, activation="relu", sigma_w2=2.0, sigma_b2=0.1)
NETWORKS: dict[str, dict] = {
    "fc": dict(width=16, depth=2),
    "cnn": dict(width=64, depth=2),
    "wide_resnet": dict(width=3, depth=10, norm="none"),
}
WAYS: tuple[dict, ...] = ({"trace_outputs": True}, {}, {"trace_outputs": True, "x2": X[:2]}, {"method": "jacobian"})


def full_of_nan() -> None:
    """What this process allocates next it finds filled with nan, where the allocator hands out the same memory again."""
    for size in (2**8, 2**10, 2**12, 2**14, 2**16, 2**18, 2**20):
        held = [np.full(size, np.nan, np.float32) for _ in range(20)]
        del held


def brute_force(model, params, x1, x2):
    both = [jax.jit(jax.jacrev(lambda p, x=x: model.apply({"params": p}, x)))(params) for x in (x1, x2)]
    rows = [
        np.concatenate([np.asarray(leaf, np.float64).reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(one)], -1)
        for one in both
    ]
    return np.einsum("iap,jbp->ijab", *rows)


def test_every_network_is_here():
    assert set(NETWORKS) == set(MODELS)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("trained", ["all", "readout"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_kernel_is_the_jacobian_product_whatever_is_in_memory(name, trained, dtype):
    model = build_model(name, **FIELDS, **NETWORKS[name], trained=trained, dtype=dtype)
    x = jnp.asarray(X, dtype)
    params = jax.jit(model.init)(jax.random.key(0), x[:1])["params"]
    expected = brute_force(model, params, x, x)
    # rounding of sums of 10^4 products, in another order
    tolerance = (1e-5 if dtype == jnp.float32 else 1e-12) * np.abs(expected).max()
    for how in WAYS if name == "cnn" else WAYS[:1]:
        full_of_nan()
        kernel = empirical_ntk(model, params, x, **how)
        part = expected[:, : len(how.get("x2", X))]
        np.testing.assert_allclose(
            kernel,
            np.einsum("ijaa->ij", part) / 2 if "trace_outputs" in how else part,
            rtol=0,
            atol=tolerance,
            err_msg=str(how),
        )


class CutInTheMiddle(nn.Module):
    """A module of the user's whose first layer is frozen, and with a parameter that nothing depends on."""

    @nn.compact
    def __call__(self, x):
        self.param("unused", nn.initializers.ones, (64,))
        h = jax.lax.stop_gradient(jnp.tanh(nn.Dense(32)(x.reshape(len(x), -1))))
        return nn.Dense(2)(jnp.tanh(nn.Dense(32)(h)))


def test_layers_that_no_output_depends_on_add_zeros_and_cost_nothing():
    model = CutInTheMiddle()
    params = model.init(jax.random.key(0), X[:1])["params"]
    kernel = empirical_ntk(model, params, X)
    np.testing.assert_allclose(kernel, brute_force(model, params, X, X), rtol=1e-5, atol=1e-5)
    by_layer = empirical_ntk(model, params, X, by_layer=True)
    np.testing.assert_array_equal(by_layer["Dense_0"], np.zeros_like(kernel))
    np.testing.assert_array_equal(by_layer["unused"], np.zeros_like(kernel))
    np.testing.assert_allclose(sum(by_layer.values()), kernel, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["structured", "jacobian"])
def test_products_of_frozen_layers_are_not_formed(method):
    """One forward pass and the readout's products, nothing of the weights below it."""

    def work(trained):
        model = build_model("cnn", **FIELDS, width=64, depth=2, trained=trained)
        x = jax.ShapeDtypeStruct((3, 6, 4, 2), jnp.float32)
        params = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
        kernel = partial(empirical_ntk, model, method=method, trace_outputs=True)
        return Piece("kernel", kernel, (params, x)).flops

    forward = 2 * 3 * 24 * 9 * (2 * 64 + 64 * 64)
    assert work("readout") < 1.5 * forward < work("all") / 2
