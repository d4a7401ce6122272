"""Pre-activations against the width: by hand for one network, and by the slopes that each parameterization is known for."""

from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import ntkrun
from ntkrun.errors import UserError
from ntkrun.models.parameterizations import NAMES

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(6, 5)))
Y = jnp.sign(X[:, :1])
WIDTHS = (16, 64, 256)


def network(parameterization: str) -> Any:
    how: dict[str, Any] = dict(depth=2, n_outputs=1, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float64)
    return lambda width: ntkrun.build_model("fc", width=width, parameterization=parameterization, **how)


@cache
def check(name: str) -> pd.DataFrame:
    return ntkrun.coordinate_check(network(name), WIDTHS, X, Y, eta=1.0, seeds=4)


# Of both hidden layers and the readout.  At the rate eta_0/n input weights drop out: delta = O(n^-1/2) moves them by n^-3/2.
# Four seeds and a width of 16 among three leave a slope to about 0.15.
SLOPES = {"ntk": (-0.5, -0.5, 0.0), "standard": (-1.5, -0.5, 0.0), "mup": (0.0, 0.0, 0.0)}


@pytest.mark.parametrize("name", NAMES)
def test_layers_move_with_the_width_as_their_parameterization_says(name):
    slopes = ntkrun.preactivation_slopes(check(name))
    np.testing.assert_allclose(slopes["slope"], SLOPES[name], atol=0.2)
    assert (slopes["low"] < slopes["slope"]).all() and (slopes["slope"] < slopes["high"]).all()


def test_a_change_is_the_root_mean_square_over_examples_and_units():
    model = network("ntk")(16)
    theta0 = model.init(jax.random.key(2, impl="threefry2x32"), X)["params"]
    gradient = jax.grad(lambda p: ntkrun.mse(jnp.asarray(model.apply({"params": p}, X)), Y))(theta0)
    theta = jax.tree.map(lambda p, g: p - 1.0 * g, theta0, gradient)
    first = [
        np.sqrt(1.5 / 5) * np.asarray(X) @ p["layer_1"]["omega"]
        + np.sqrt(0.1) * np.asarray(p["layer_1"]["beta"])[None, :]
        for p in (theta0, theta)
    ]
    table = check("ntk")
    row = table[(table["width"] == 16) & (table["seed"] == 2) & (table["step"] == 1) & (table["index"] == 0)]
    assert row["value"].item() == pytest.approx(np.sqrt(np.mean((first[1] - first[0]) ** 2)), rel=1e-10)


def test_the_picture_has_a_panel_for_each_check_and_a_line_for_each_layer():
    checks = {name: check(name) for name in NAMES}
    figure = ntkrun.plot_coordinate_check(checks)
    assert [ax.get_title().partition(",")[0] for ax in figure.axes] == list(NAMES)
    for ax, table in zip(figure.axes, checks.values(), strict=True):
        slopes = ntkrun.preactivation_slopes(table)["slope"].to_numpy()
        labels = ax.get_legend_handles_labels()[1]
        assert labels == [f"layer {place}: slope {slope:.2f}" for place, slope in enumerate(slopes, start=1)]


def test_networks_of_flax_layers_are_looked_at_and_others_refused():
    class Plain(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(nn.relu(nn.Dense(self.width)(x)))

    class Bare(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x[:, :1] * self.param("a", nn.initializers.ones, ())

    table = ntkrun.coordinate_check(Plain, 2 ** np.arange(2, 4), X, Y, eta=0.1, steps=np.array([1]), seeds=1)
    assert sorted(table["index"].unique()) == [0, 1] and (table["value"] > 0).all()
    with pytest.raises(UserError, match="no layers of type Dense or Conv"):
        ntkrun.coordinate_check(lambda width: Bare(), (4, 8), X, Y, eta=0.1)
    with pytest.raises(UserError, match="two widths or more"):
        ntkrun.coordinate_check(Plain, (4,), X, Y, eta=0.1)
