"""Sharpness: lambda_max of the Hessian of the training loss, by Lanczos with Hessian-vector products."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ntkrun.devices.numerics import GENERATOR
from ntkrun.dynamics.metrics import check_targets, loss_of
from ntkrun.kernels.outputs import checked_outputs
from ntkrun.kernels.precision import full_products
from ntkrun.kernels.taps import outputs_of
from ntkrun.models.functions import Model, ModelLike, network_of
from ntkrun.types import AnyArray, Array, Float, Params

# Error of Lanczos after m steps: of order (lambda_max - lambda_min) (sqrt(n k)/T_{m-1}(1 + 2 g))^2 with the Chebyshev
# polynomial T and g = (lambda_1 - lambda_2)/(lambda_2 - lambda_min).  The first eigenvalue is twice the next one and more
# (g = 1: 10^-25) until training has flattened the top of the spectrum; within 5 per cent of the next one: 10^-3.
LANCZOS_STEPS = 20


@full_products
def sharpness(
    model: ModelLike, params: Params, x: AnyArray, y: Float[AnyArray, "n k"], *, loss: str = "mse"
) -> Float[Array, ""]:
    """lambda_max of the Hessian of L(theta) on (x, y), L averaged over examples and outputs (`metrics`); any network.

    Gradient descent on a quadratic is stable where eta lambda_max < 2, heavy ball where eta lambda_max < 2 + 2 beta; eta is
    the rate on theta itself (eta_0/n in the standard parameterization).  20 products, each about two training steps on
    (x, y); in the dtype of params.  Known equal: the dense Hessian (tests).  Raises `UserError` for an unknown loss, for
    targets of another shape than the outputs, and for params that the network does not take.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    network = network_of(model)
    check_targets(checked_outputs(network, params, x), y, loss)
    return _sharpness(network, params, x, y, loss)


@partial(jax.jit, static_argnames=("model", "loss"))
def _sharpness(model: Model, params: Params, x: Array, y: Array, loss: str) -> Array:
    flat, tree = ravel_pytree(params)

    def gradient(theta: Array) -> Array:
        of_tree = jax.grad(lambda theta: loss_of(loss)(outputs_of(model, theta, x), y))(tree(theta))
        return ravel_pytree(of_tree)[0]

    _, product = jax.linearize(gradient, flat)  # the network's own pass once, and not with every product
    start = jax.random.normal(jax.random.key(0, impl=GENERATOR), flat.shape, flat.dtype)
    return largest_by_lanczos(product, start)


def largest_by_lanczos(
    product: Callable[[Array], Array], start: Float[Array, " p"], steps: int = LANCZOS_STEPS
) -> Float[Array, ""]:
    """The largest (not the largest in size) eigenvalue of a symmetric matrix, given by its product with a vector.

    The recurrence of three terms, without a basis that would hold `steps` times the parameters.  Rounding then lets found
    eigenvalues come again (Paige 1971), which leaves the largest one what it is.
    """
    zero, resolved = jnp.zeros((), start.dtype), jnp.finfo(start.dtype).eps

    def once(step: Array, carry: tuple) -> tuple:
        before, v, beta, diagonal, beside = carry
        image = product(v)
        alpha = _dot(v, image)
        rest = image - alpha * v - beta * before
        length = jnp.sqrt(_dot(rest, rest))
        # No direction is left: the matrix has few eigenvalues, or the start lies in few of them.  The first Rayleigh quotient,
        # which no eigenvalue added to the others may exceed, then fills the diagonal.
        ended = length <= resolved * jnp.sqrt(_dot(image, image))
        alpha = jnp.where(_dot(v, v) > 0, alpha, diagonal[0])
        length = jnp.where(ended, 0, length)
        after = jnp.where(ended, 0, rest / jnp.where(ended, 1, length))
        return v, after, length, diagonal.at[step].set(alpha), beside.at[step].set(length)

    first = start / jnp.sqrt(_dot(start, start))
    empty = jnp.zeros(steps, start.dtype)
    *_, diagonal, beside = jax.lax.fori_loop(0, steps, once, (jnp.zeros_like(start), first, zero, empty, empty))
    tridiagonal = jnp.diag(diagonal) + jnp.diag(beside[:-1], 1) + jnp.diag(beside[:-1], -1)
    return jnp.linalg.eigvalsh(tridiagonal)[-1]


def _dot(a: Array, b: Array) -> Array:
    return jnp.vdot(a, b, precision="highest")
