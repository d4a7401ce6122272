# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
"""Convolutional layers' share of Theta_hat in both forms, and whole networks, against Jacobians."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.errors import UserError
from ntkrun.kernels import contraction
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.models import build_model

RNG = np.random.default_rng(0)
X1, X2 = RNG.standard_normal((5, 4, 4, 2)), RNG.standard_normal((3, 4, 4, 2))
FIELDS: dict[str, Any] = dict(width=3, n_outputs=2, activation="tanh", sigma_w2=2.0, sigma_b2=0.1, dtype=jnp.float64)


@pytest.mark.parametrize("form", ["gradients", "patches"])
@pytest.mark.parametrize("k", [1, 3])
def test_both_forms_are_the_product_of_gradients(monkeypatch, form, k):
    monkeypatch.setattr(contraction, "cheaper_form", lambda *sizes, **options: form)
    monkeypatch.setattr(contraction, "PATCH_NUMBERS", 500)
    p, f, c, sizes = 6, 4, 3, (5, 2)

    def layer(n: int) -> tuple[dict, jax.Array]:
        constants = {"weight_coefficient": jnp.asarray(0.3), "bias_coefficient": jnp.asarray(0.7)}
        return {"x": jnp.asarray(RNG.standard_normal((n, p, f))), **constants}, jnp.asarray(
            RNG.standard_normal((n, k, 2, 3, c))
        )

    one, other = layer(sizes[0]), layer(sizes[1])
    deltas = [delta.reshape(len(delta), k, p, c) for _, delta in (one, other)]
    gradients = [
        jnp.einsum("npf,nkpc->nkfc", sown["x"], delta) for (sown, _), delta in zip((one, other), deltas, strict=True)
    ]
    expected = 0.3 * jnp.einsum("iafc,jbfc->iajb", *gradients)
    expected += 0.7 * jnp.einsum("iac,jbc->iajb", *(delta.sum(axis=2) for delta in deltas))
    for trace in (False, True):
        prepared = [contraction.prepared(*pair, sizes, trace_outputs=trace) for pair in (one, other)]
        found = contraction.contribution(*prepared, trace_outputs=trace)
        wanted = jnp.einsum("iaja->ij", expected) / k if trace or k == 1 else expected
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_the_cheaper_form_is_chosen():
    big_map = dict(n1=128, n2=128, k=1, p=1024, f=9 * 64, c=64, trace_outputs=False)
    small_map = big_map | dict(p=16, f=9 * 512, c=512)
    assert contraction.cheaper_form(**big_map) == "gradients"
    assert contraction.cheaper_form(**small_map) == "patches"


def jacobian(model, params, x):
    """(n, k, parameters) by reverse mode: the oracle."""
    blocks = jax.tree.leaves(jax.jit(jax.jacrev(lambda p: model.apply({"params": p}, x)))(params))
    return np.concatenate([np.asarray(block).reshape(*block.shape[:2], -1) for block in blocks], axis=-1)


CASES = {
    "cnn": dict(name="cnn", depth=2),
    "cnn, standard": dict(name="cnn", depth=2, pool="flatten", stride=2, parameterization="standard"),
    "wide_resnet": dict(name="wide_resnet", depth=10, norm="none"),
}


@pytest.mark.parametrize("case", CASES)
def test_kernels_of_convolutional_networks_are_jacobian_products(case):
    model = build_model(**(FIELDS | CASES[case]))
    params = jax.jit(model.init)(jax.random.key(2), X1[:1])["params"]
    first, second = (jacobian(model, params, x) for x in (X1, X2))
    symmetric, cross = (np.einsum("iap,jbp->ijab", first, other) for other in (first, second))

    def check(found, expected):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())

    check(empirical_ntk(model, params, X1), symmetric)
    if case == "cnn":  # in blocks of 2 examples and 1
        check(empirical_ntk(model, params, X1, memory=30_000), symmetric)
        check(empirical_ntk(model, params, X1, X2, memory=30_000), cross)
        traced = empirical_ntk(model, params, X1, X2, trace_outputs=True)
        check(traced, np.einsum("ijaa->ij", cross) / 2)


def test_the_kernel_of_batch_norm_is_that_of_the_batch():
    model = build_model(**(FIELDS | dict(name="wide_resnet", depth=10, norm="batch")))
    params = jax.jit(model.init)(jax.random.key(2), X1[:1])["params"]
    with pytest.raises(UserError, match="whole batch"):
        empirical_ntk(model, params, X1, method="structured")
    found = empirical_ntk(model, params, X1)
    gradients = jacobian(model, params, X1)
    expected = np.einsum("iap,jbp->ijab", gradients, gradients)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())
