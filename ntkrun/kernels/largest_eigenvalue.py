"""lambda_max of Theta_hat without Theta_hat: power iteration with products J J^T v."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.devices.numerics import GENERATOR
from ntkrun.kernels.precision import full_products
from ntkrun.kernels.taps import outputs_of
from ntkrun.models.functions import Model, ModelLike
from ntkrun.types import AnyArray, Array, Num, Params

_POWER_STEPS = 20  # the largest eigenvalue is 3 times the next one and more: (1/3)^40


@full_products
def largest_eigenvalue(model: ModelLike, params: Params, x: Num[AnyArray, "n ..."]) -> float:
    """lambda_max of Theta_hat = J J^T on x without the kernel, by power iteration; for any module, in the dtype of params.

    J is that of f(X; theta) as one function of theta, so batch normalisation over X is part of it.  The Rayleigh
    quotient errs by the square of the vector's error, which falls by (lambda_2/lambda_1) an iteration.
    """
    return float(_power_iteration(model, params, jnp.asarray(x)))


@partial(jax.jit, static_argnames=("model",))
def _power_iteration(model: Model, params: Params, x: Array) -> Array:
    outputs, forward = jax.linearize(lambda theta: outputs_of(model, theta, x), params)
    transposed = jax.linear_transpose(forward, params)

    def once(_: Any, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        v, _ = pair
        image = forward(*transposed(v))
        return image / jnp.linalg.norm(image), jnp.vdot(v, image, precision="highest")

    start = jax.random.normal(jax.random.key(0, impl=GENERATOR), outputs.shape, outputs.dtype)
    start = start / jnp.linalg.norm(start)
    _, quotient = jax.lax.fori_loop(0, _POWER_STEPS, once, (start, jnp.zeros((), outputs.dtype)))
    return quotient
