"""Derivatives of the analytic kernels, and the kernels under jit and vmap: against differences and the route by tiles."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.errors import UserError
from ntkrun.kernels.analytic import analytic_kernels

NET: dict[str, Any] = dict(depth=2)
SIGMA = (1.4, 0.3)  # sigma_w2, sigma_b2


def inputs() -> np.ndarray:
    """With an equal, an opposite and a parallel pair."""
    x = 0.7 * np.random.default_rng(0).standard_normal((6, 5))
    x[3], x[4], x[5] = x[1], -x[2], 2 * x[1]
    return x


def weighed(x, sigma_w2, sigma_b2, **net):
    """One number that depends on every entry of both kernels."""
    kernels = analytic_kernels(x, sigma_w2=sigma_w2, sigma_b2=sigma_b2, **(NET | net))
    weights = np.random.default_rng(1).standard_normal((2, 6, 6))
    return sum((w * k).sum() for w, k in zip(weights, kernels, strict=True))


@pytest.mark.parametrize("activation", ["relu", "abs", "gelu", "sin", "rectified_monomial", "tanh"])
def test_reverse_and_forward_derivatives_are_limits_of_differences(activation):
    """By sigma_w2, sigma_b2 and along a direction of the inputs, through equal, opposite and parallel pairs."""
    x = inputs()
    net: dict[str, Any] = dict(activation=activation, largest_variance=6.0 if activation == "tanh" else None)
    direction = np.random.default_rng(2).standard_normal(x.shape)
    reverse = jax.grad(weighed, argnums=(0, 1, 2))(jnp.asarray(x), *SIGMA, **net)
    assert all(np.all(np.isfinite(one)) for one in reverse)
    forward = jax.jvp(lambda *a: weighed(*a, **net), (jnp.asarray(x), *SIGMA), (jnp.asarray(direction), 0.0, 0.0))[1]
    np.testing.assert_allclose(forward, np.sum(reverse[0] * direction), rtol=1e-10)
    steps = [(direction, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    found = [np.sum(np.asarray(one) * step[i]) for i, (one, step) in enumerate(zip(reverse, steps, strict=True))]
    for step, derivative in zip(steps, found, strict=True):
        h = 1e-5
        ahead, behind = (
            weighed(*(a + sign * h * s for a, s in zip((x, *SIGMA), step, strict=True)), **net) for sign in (1, -1)
        )
        # angles between equal inputs grow like |step|: their difference is h, and has an error of 1e-16/h^2
        np.testing.assert_allclose(derivative, (ahead - behind) / (2 * h), rtol=1e-4)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("trained", ["all", "readout"])
def test_jit_and_vmap_give_the_kernels_of_the_tiles(parameterization, trained):
    x = inputs()
    net: dict[str, Any] = dict(activation="erf", parameterization=parameterization, trained=trained, width=50)
    expected = analytic_kernels(x, x[:4], sigma_w2=SIGMA[0], sigma_b2=SIGMA[1], **(NET | net))

    def kernels(a: Any, b: Any, w: Any, v: Any) -> Any:
        return analytic_kernels(a, b, sigma_w2=w, sigma_b2=v, **(NET | net))

    compiled = jax.jit(kernels)(x, x[:4], *SIGMA)
    both = jax.vmap(lambda w: kernels(x, None, w, SIGMA[1]))(jnp.array([SIGMA[0], 2.0]))
    for one, other, stacked in zip(expected, compiled, both, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-13)
        np.testing.assert_allclose(stacked[0][:, :4], one, rtol=1e-12)
        np.testing.assert_array_equal(stacked[1], stacked[1].T)


def test_the_kernel_of_a_readout_behind_steps_has_derivatives():
    """Tdot of sign is infinite on the diagonal, and no part of what the readout alone learns."""
    net: dict[str, Any] = dict(activation="sign", trained="readout")
    found = jax.grad(weighed, argnums=1)(jnp.asarray(inputs()), *SIGMA, **net)
    ahead, behind = (weighed(inputs(), SIGMA[0] + h, SIGMA[1], **net) for h in (1e-5, -1e-5))
    np.testing.assert_allclose(found, (ahead - behind) / 2e-5, rtol=1e-6)


def test_what_is_not_known_while_jax_traces_is_asked_for_and_kept_to():
    with pytest.raises(UserError, match=r"pass largest_variance=10.0"):
        jax.grad(weighed, argnums=1)(jnp.asarray(inputs()), *SIGMA, activation="tanh")
    x = np.stack([np.ones(5), 9 * np.ones(5)])
    tanh: dict[str, Any] = dict(activation="tanh", largest_variance=6.0)
    kernels = jax.jit(lambda x: analytic_kernels(x, sigma_w2=1.0, sigma_b2=0.0, **NET, **tanh))(x)
    assert np.all(np.isnan(kernels.nngp) == [[False, True], [True, True]])
    slope = jax.grad(lambda w: analytic_kernels(x, sigma_w2=w, sigma_b2=0.0, **NET, **tanh).nngp[0, 1])(1.0)
    assert np.isnan(slope)
