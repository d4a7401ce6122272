"""Finite networks of a description converge to its kernels: with the number of draws, and with the width."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.kernels.empirical import empirical_ntk, ntk_scale
from ntkrun.kernels.monte_carlo import sampled_kernels
from ntkrun.networks import (
    Activation,
    AveragePool,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    Residual,
    Sequential,
)
from ntkrun.networks.infinite_width import infinite_width_kernels

IMAGES = np.random.default_rng(0).standard_normal((3, 5, 4, 2))
AFFINE: dict[str, Any] = dict(sigma_w2=1.6, sigma_b2=0.2)
RELU, ERF = Activation("relu"), Activation("erf")


def conv(n: int, **others: Any) -> Conv:
    return Conv(n, **(AFFINE | others))


# networks of width n, of all layers, each within the smallest of programs
NETWORKS: dict[str, Any] = {
    "unequal filters and strides": lambda n: Sequential(
        conv(n, size=(2, 3), strides=(2, 1), padding="VALID"), RELU, conv(n, size=(1, 2)), ERF, Flatten(), Dense(1)
    ),
    "circular, pooled before and behind": lambda n: Sequential(
        conv(n, padding="CIRCULAR", strides=(2, 1)), RELU, AveragePool((2, 2), padding="SAME"), conv(n, size=(3, 2)), ERF,
        GlobalAveragePool(), Dense(1, **AFFINE),
    ),
    "residual with a projection, normalised": lambda n: Sequential(
        Residual(conv(n), RELU, conv(n), shortcut=Dense(n)), LayerNorm(axes=(1, 2, 3)), RELU, Residual(conv(n)),
        GlobalAveragePool(), Dense(1),
    ),
    "standard parameterization": lambda n: Sequential(
        conv(n, parameterization="standard"), RELU, Flatten(), Dense(n), RELU,
        Dense(1, **AFFINE, parameterization="standard"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_averages_over_drawn_networks_approach_both_kernels(name):
    network, draws = NETWORKS[name](64), 64
    limit, model = infinite_width_kernels(network, IMAGES), network.module()
    *_, (_, found) = sampled_kernels(model, jnp.asarray(IMAGES, jnp.float32), jax.random.key(1), draws)
    for ours, kernel in zip(found, (limit.nngp, ntk_scale(model) * limit.ntk), strict=True):
        # one network is off by 64^-1/2 = .13 at most, and the mean by .13/8 and the bias O(1/n) = .02
        assert np.linalg.norm(ours - kernel) < 0.05 * np.linalg.norm(kernel)


def vectors(n: int) -> Sequential:
    """Equal positions alone, so that it costs little."""
    return Sequential(
        Dense(n, **AFFINE), RELU, Residual(Dense(n), LayerNorm(), ERF, Dense(n, **AFFINE)), Dense(n), ERF, Dense(1)
    )


def test_the_error_falls_with_the_root_of_the_draws():
    x, network = IMAGES.reshape(3, -1), vectors(64)
    kernel, model = infinite_width_kernels(network, x).nngp, network.module(dtype=jnp.float64)

    def product(key):
        f: Any = model.apply({"params": model.init(key, x)["params"]}, x)
        return f @ f.T

    products = np.asarray(jax.jit(jax.vmap(product))(jax.random.split(jax.random.key(1), 1024)))
    sizes = 4 ** np.arange(4)
    errors = [np.sqrt(np.mean((products.reshape(-1, m, 3, 3).mean(axis=1) - kernel) ** 2)) for m in sizes]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1), errors  # the last size has 16 averages: 18 % of its error


def test_theta_hat_of_one_network_approaches_theta_with_the_root_of_its_width():
    x, widths, errors = IMAGES.reshape(3, -1), (16, 64, 256), []
    for n in widths:
        theta, model = infinite_width_kernels(vectors(n), x).ntk, vectors(n).module(dtype=jnp.float64)
        draw = jax.jit(lambda key, model=model: model.init(key, x)["params"])
        found = [
            empirical_ntk(model, draw(key), x, trace_outputs=True) for key in jax.random.split(jax.random.key(2), 12)
        ]
        errors.append(np.sqrt(np.mean((np.stack(found) - theta) ** 2)))
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.15), errors  # 12 networks a width: 15 % of an error


def test_dropout_is_its_expectation_over_masks():
    network = Sequential(Dense(128, **AFFINE), RELU, Dropout(0.4), Dense(128, **AFFINE), ERF, Dropout(0.2), Dense(1))
    x = IMAGES.reshape(3, -1)
    model, kernels = network.module(dtype=jnp.float64), infinite_width_kernels(network, x)

    @jax.jit
    def products(key):
        params, masks = jax.random.split(key)
        variables = {"params": model.init(params, x)["params"]}
        f: Any = model.apply(variables, x, train=True, rngs={"dropout": masks})
        return f @ f.T

    samples = np.asarray(jax.lax.map(products, jax.random.split(jax.random.key(3), 1024), batch_size=64))
    standard = samples.std(axis=0) / 32
    # and what a width of 128 leaves, O(1/n)
    assert np.all(np.abs(samples.mean(axis=0) - kernels.nngp) < 5 * standard + kernels.nngp.max() / 128)
    without = infinite_width_kernels(Sequential(*(of for of in network.layers if not isinstance(of, Dropout))), x)
    assert np.all(np.abs(np.diagonal(kernels.nngp - without.nngp)) > 5 * np.diagonal(standard))
