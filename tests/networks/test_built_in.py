"""The descriptions of the built-in networks are these networks, name by name and number by number."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.errors import UserError
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.kernels.empirical import ntk_scale
from ntkrun.models.registry import MODELS
from ntkrun.networks.built_in import described
from ntkrun.networks.infinite_width import infinite_width_kernels

X = np.random.default_rng(0).standard_normal((3, 6, 4, 2))
KEY = jax.random.key(0)
FIELDS: dict[str, Any] = dict(n_outputs=2, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float64)
NETWORKS: dict[str, Any] = {
    "fc": dict(depth=2, width=(4, 3)),
    "cnn": dict(depth=2, width=3),
    "cnn flatten": dict(depth=2, width=3, pool="flatten", stride=2, parameterization="standard"),
    "wide_resnet": dict(depth=10, width=3, norm="none"),
    "wide_resnet phi": dict(depth=10, width=3, norm="none", last_activation=True),
}


def built(name: str, **others: Any) -> Any:
    return MODELS[name.split()[0]](**(FIELDS | NETWORKS[name] | others))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_description_is_its_network_at_any_theta(name):
    model = built(name)
    module = described(model).module(dtype=jnp.float64)
    params = model.init(KEY, X)["params"]
    jax.tree.map(np.testing.assert_array_equal, module.init(KEY, X)["params"], params)
    moved = jax.tree.map(
        lambda leaf: leaf + jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), params
    )
    f, f_described = (np.asarray(of.apply({"params": moved}, X)) for of in (model, module))
    np.testing.assert_allclose(f_described, f, rtol=1e-12)
    assert ntk_scale(module) == ntk_scale(model)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("trained", ["all", "readout"])
def test_the_fully_connected_one_has_the_kernels_of_the_recursion(parameterization, trained):
    model = built("fc", activation="erf", width=16, parameterization=parameterization, trained=trained)
    fields = {name: getattr(model, name) for name in ("depth", "sigma_w2", "sigma_b2", "activation")}
    expected = analytic_kernels(X, X[:2] + 1.0, parameterization=parameterization, width=16, trained=trained, **fields)
    found = infinite_width_kernels(described(model), X, X[:2] + 1.0)
    np.testing.assert_allclose(found.nngp, expected.nngp, rtol=1e-12)
    np.testing.assert_allclose(ntk_scale(model) * found.ntk, expected.ntk, rtol=1e-12)


def test_frozen_layers_have_no_share_in_theta():
    kernels = infinite_width_kernels(described(built("cnn", trained="readout", activation="relu")), X)
    np.testing.assert_allclose(kernels.ntk, kernels.nngp, rtol=1e-12)  # (S20)


def test_what_has_no_kernel_says_so():
    with pytest.raises(UserError, match=r"batch normalisation has no kernel.*model.norm=none"):
        described(built("wide_resnet", norm="batch"))
    with pytest.raises(UserError, match=r"write it as ntkrun\.networks\.Sequential"):
        described(nn.Dense(2))
