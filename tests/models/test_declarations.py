"""What networks declare, what is assumed of those that do not, and what that decides."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.errors import UserError
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.kernels.empirical import empirical_nngp, empirical_ntk, ntk_scale
from ntkrun.kernels.method import chosen_method
from ntkrun.kernels.monte_carlo import sampled_kernels
from ntkrun.kernels.projected import is_projectable, projected_kernels
from ntkrun.models import build_model, declarations
from ntkrun.models.declarations import Declaration, FullyConnected
from ntkrun.models.fc import FC
from ntkrun.models.functions import Model
from ntkrun.models.layers import BuiltIn, Dense
from ntkrun.models.registry import MODELS

FIELDS: dict[str, Any] = dict(n_outputs=2, activation="tanh", sigma_w2=1.5, sigma_b2=0.1, dtype=jnp.float64)
X = np.random.default_rng(0).standard_normal((4, 6))
KEY = jax.random.key(0)


def layer(features: int) -> Dense:
    return Dense(features, 1.5, 0.1, dtype=jnp.float64)


class Undeclared(nn.Module):
    """Layers with taps, an example at a time, and no word about it."""

    n_outputs: int = 2

    @nn.compact
    def __call__(self, x):
        return layer(self.n_outputs)(jnp.tanh(layer(5)(x)))


class Untapped(Undeclared):
    @nn.compact
    def __call__(self, x):
        return layer(self.n_outputs)(jnp.tanh(nn.Dense(5, param_dtype=jnp.float64)(x)))


class Tied(Undeclared):
    """A weight is used once more where no tap sees it."""

    @nn.compact
    def __call__(self, x):
        first = layer(5)
        h = first(x)
        return layer(self.n_outputs)(h + jnp.sum(first.variables["params"]["omega"], axis=0)[None, :])


class Centred(Undeclared):
    """An output depends on the batch, though no gradient goes that way: both contractions agree on one batch."""

    @nn.compact
    def __call__(self, x):
        h = layer(5)(x)
        return layer(self.n_outputs)(jnp.tanh(h - jax.lax.stop_gradient(jnp.mean(h, axis=0, keepdims=True))))


class Declared(Undeclared):
    @property
    def declaration(self) -> Declaration:
        return Declaration(batch_dependent=False, tapped=True)


def drawn(model: Model):
    return model.init(KEY, X)["params"]


def jacobian_product(model: Model, params, x1, x2) -> np.ndarray:
    def flat(x):
        blocks = jax.tree.leaves(jax.jacrev(lambda theta: jnp.asarray(model.apply({"params": theta}, x)))(params))
        return np.concatenate([np.asarray(block).reshape(*block.shape[:2], -1) for block in blocks], axis=-1)

    return np.einsum("iap,jbp->ijab", flat(x1), flat(x2))


@pytest.mark.parametrize(
    ("model", "method"),
    [(Undeclared(), "structured"), (Untapped(), "jacobian"), (Tied(), "jacobian"), (Centred(), "jacobian")],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else value,
)
def test_any_module_has_a_kernel_without_a_method_named(model, method):
    params = drawn(model)
    assert chosen_method(model, params, X) == method
    for x2 in (None, X[:3] + 1.0):
        expected = jacobian_product(model, params, X, X if x2 is None else x2)
        found = empirical_ntk(model, params, X, x2)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


def test_what_cannot_be_tried_goes_by_the_jacobian_and_what_is_declared_is_not_tried():
    found = []

    @jax.jit
    def trace(params, x):
        found.extend(chosen_method(model, params, x) for model in (Undeclared(), Declared()))
        return x

    trace(drawn(Undeclared()), X)
    assert found == ["jacobian", "structured"]
    assert chosen_method(Undeclared(), drawn(Undeclared()), X[:1]) == "jacobian"
    assert chosen_method(Declared(), drawn(Declared()), X[:1]) == "structured"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_built_in_network_declares_what_its_kernel_takes(name):
    depth = 10 if name == "wide_resnet" else 2
    declared = declarations.of(build_model(name, width=3, depth=depth, parameterization="standard", **FIELDS))
    assert (declared.width, declared.parameterization, declared.tapped) == (3, "standard", True)
    assert declared.batch_dependent is (name == "wide_resnet")
    assert (declared.fully_connected is not None) == (name == "fc")


def test_the_declared_recursion_is_the_limit():
    model = build_model("fc", width=4096, depth=1, trained="readout", **FIELDS)
    net = declarations.of(model).fully_connected
    assert net is not None and net.widths == (4096,)
    limit = analytic_kernels(X, **net.recursion).ntk
    found = np.asarray(empirical_ntk(model, drawn(model), X, trace_outputs=True))
    assert np.linalg.norm(found - limit) < 0.1 * np.linalg.norm(limit)  # n^-1/2 = .016


class Fields(Undeclared):
    width: int = 8
    parameterization: str = "standard"


class WideOnly(Undeclared):
    parameterization: str = "standard"


class Wrong(Undeclared):
    declaration: str = "fc"


def test_a_module_without_a_declaration_is_taken_by_its_fields_else_by_what_is_safe():
    assert declarations.of(Undeclared()) == Declaration()
    assert declarations.of(Fields()) == Declaration(width=8, parameterization="standard")
    assert (ntk_scale(Undeclared()), ntk_scale(Fields())) == (1.0, 1 / 8)
    with pytest.raises(UserError, match="declares no width"):
        ntk_scale(WideOnly())
    with pytest.raises(UserError, match=r"Wrong.declaration must be"):
        declarations.of(Wrong())
    assert not is_projectable(Undeclared(), 1)
    with pytest.raises(UserError, match="not declared as equation"):
        projected_kernels(Undeclared(), jnp.asarray(X), KEY, lambda *_: jnp.zeros(0))


def test_kernels_of_any_tapped_network_are_drawn_and_averaged():
    (_, first), (_, both) = sampled_kernels(Undeclared(1), X, KEY, 2)
    alone = []
    for draw in range(2):
        model = Undeclared(1)
        params = model.init(jax.random.fold_in(KEY, draw), X[:1])["params"]
        alone.append([empirical_nngp(model, params, X), empirical_ntk(model, params, X, trace_outputs=True)])
    np.testing.assert_allclose(first, alone[0], rtol=1e-10)
    np.testing.assert_allclose(both, np.mean(alone, axis=0), rtol=1e-10)
    with pytest.raises(UserError, match=r"layers without taps \(Dense_1\)"):
        empirical_nngp(Untapped(), drawn(Untapped()), X)


class Doubled(FC, kw_only=True):
    """Another function than its parent's, of which the parent's declaration says nothing."""

    def __call__(self, x):
        return 2 * super().__call__(x)


class Renamed(FC, kw_only=True):
    """The parent's function."""


def test_a_declaration_is_not_inherited_by_another_function():
    fields: dict[str, Any] = FIELDS | dict(width=16, depth=2, n_outputs=1)
    parent, doubled, same = FC(**fields), Doubled(**fields), Renamed(**fields)
    assert declarations.of(same) == declarations.of(parent)
    assert declarations.of(doubled).fully_connected is None
    params = drawn(parent)
    np.testing.assert_allclose(empirical_ntk(doubled, params, X), 4 * empirical_ntk(parent, params, X), rtol=1e-10)
    with pytest.raises(UserError, match="changes what its last layer"):
        empirical_nngp(doubled, params, X)
    with pytest.raises(UserError, match="changes what its last layer"):
        next(sampled_kernels(doubled, X, KEY, 1))


class Parallel(BuiltIn, kw_only=True):
    """Two hidden layers beside each other: an architecture as CONTRIBUTING.md has it added."""

    width: int

    @property
    def declaration(self) -> Declaration:
        return declarations.by_fields(self).but(batch_dependent=False, tapped=True)

    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1)
        both = [jnp.tanh(Dense(self.width, name=name, **self.common)(x)) for name in ("left", "right")]
        return Dense(self.n_outputs, name="readout", **self.common)(both[0] + both[1])


def test_an_architecture_is_one_class_and_one_line(monkeypatch):
    monkeypatch.setitem(MODELS, "parallel", Parallel)
    model = build_model("parallel", width=3, depth=1, parameterization="standard", **FIELDS)
    params = drawn(model)
    assert chosen_method(model, params, X) == "structured" and ntk_scale(model) == 1 / 3
    expected = jacobian_product(model, params, X, X)
    np.testing.assert_allclose(empirical_ntk(model, params, X), expected, rtol=1e-10, atol=1e-12)


def test_equation_1_counts_its_layers():
    net = FullyConnected((4, 5), 1, "relu", 2.0, 0.0, "ntk", "all")
    assert net.depth == 2 and net.recursion["depth"] == 2
