"""The precision of what is observed and of kernels: that of the dtype, whatever that of training steps is."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

from ntkrun.devices.float64 import require_float64
from ntkrun.kernels.finite import check_examples
from ntkrun.models import declarations
from ntkrun.models.calls import explained
from ntkrun.models.functions import Model, ModelLike, network_of, params_of
from ntkrun.types import Params

F = TypeVar("F", bound=Callable[..., Any])


def full_precision(model: ModelLike) -> Model:
    """The network with products in its dtype's own precision (`models.products`)."""
    network = network_of(model)
    if declarations.of(network).matmul == "as_dtype":
        return network
    clone: Any = getattr(network, "clone")  # noqa: B009  only modules, and what is made of them, have a field for it
    return clone(matmul="as_dtype")


def full_products(function: F) -> F:
    """The function of (model, params, x, ...) for any `ModelLike`, given the network at full precision and parameters of 32
    bits or more, and in which products that state none have the full one: those of a module of the user's.

    It raises `UserError` for what is no network, for parameters with which it does not run on x, for those in float64 while JAX
    computes in 32 bits, which would round them, and for x (and x2) without examples or with nan or inf.
    """

    taken = signature(function)

    @wraps(function)
    def called(model: Any, params: Params, *args: Any, **kwargs: Any) -> Any:
        network = network_of(model)
        params = jax.tree.map(_in_32_bits, params_of(network, params))
        given = taken.bind(model, params, *args, **kwargs).arguments
        first = list(given)[2]
        x = given[first]
        check_examples(**{name: given[name] for name in (first, "x2") if name in given})
        with jax.default_matmul_precision("highest"), explained(network, params, x):
            return function(full_precision(network), params, *args, **kwargs)

    return cast(F, called)


def _in_32_bits(leaf: Any) -> Any:
    """The leaf, or a float32 copy of fewer bits."""
    dtype = getattr(leaf, "dtype", None)
    if dtype == jnp.float64:
        require_float64("a parameter of the network")
    short = dtype is not None and jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4
    return leaf.astype(jnp.float32) if short else leaf
