"""A network's Taylor expansion in its parameters: of degree 1 the linearization f_lin, equation (5) of the paper."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.models.calls import explained
from ntkrun.models.functions import ModelLike, network_of, params_of
from ntkrun.models.numbers import is_whole
from ntkrun.types import AnyArray, Params

Expansion = Callable[[Params, AnyArray], Any]


def linearize(f: ModelLike, params: Params) -> Expansion:
    """f_lin(theta, x) = f(theta_0, x) + df/dtheta (theta - theta_0), a function of (theta, x) for theta_0 = `params`.

    f is a Flax module or a function f(params, x), whose outputs may have any shape.  One forward pass and its derivative
    along theta - theta_0; no Jacobian.  Whole numbers among the parameters stay those of theta_0.  It is itself a function
    of (params, x), for `jax.jit`, `jax.grad` and `empirical_ntk`.
    """
    return taylor_expand(f, params, degree=1)


def taylor_expand(f: ModelLike, params: Params, degree: int) -> Expansion:
    """f's Taylor polynomial of this degree in theta around theta_0 = `params`, a function of (theta, x).

    sum_j 1/j! d^j/dt^j f(theta_0 + t (theta - theta_0), x) at t = 0: derivatives along one direction, each of them twice the
    cost of the one below.  Raises `UserError` for a degree below 0, and for parameters that f does not take.
    """
    if not (is_whole(degree) and degree >= 0):
        raise UserError(f"degree={degree!r} is no degree of a polynomial: take 1 for the linearization")
    network = network_of(f)
    start = params_of(network, params)

    def expansion(params: Params, x: AnyArray) -> Any:
        theta = params_of(network, params)
        if jax.tree.map(jnp.shape, theta) != jax.tree.map(jnp.shape, start):
            raise UserError(
                "the parameters are not of the names and shapes of those that the network is expanded around"
            )

        def along(t: Any) -> Any:
            moved = jax.tree.map(
                lambda a, b: a + t.astype(jnp.result_type(a)) * (b - a) if _moves(a) else a, start, theta
            )
            return network.apply({"params": moved}, jnp.asarray(x))

        with explained(network, start, jnp.asarray(x)):
            return _summed(along, degree)

    return expansion


def _summed(along: Callable[[Any], Any], degree: int) -> Any:
    """sum_j 1/j! d^j/dt^j along(t) at t = 0."""
    total, derivative = None, along
    for order in range(degree + 1):
        term = derivative(jnp.zeros(()))
        added = jax.tree.map(lambda one, order=order: one / math.factorial(order), term) if order > 1 else term
        total = added if total is None else jax.tree.map(jnp.add, total, added)
        derivative = _derivative(derivative)
    return total


def _derivative(g: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda t: jax.jvp(g, (t,), (jnp.ones_like(t),))[1]


def _moves(leaf: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(leaf), jnp.inexact))
