"""The precision of what is observed and of kernels: that of the dtype, whatever that of training steps is."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.devices.float64 import require_float64
from ntkrun.models import declarations
from ntkrun.types import Params

F = TypeVar("F", bound=Callable[..., Any])


def full_precision(model: nn.Module) -> nn.Module:
    """The network with products in its dtype's own precision (`models.products`)."""
    return model if declarations.of(model).matmul == "as_dtype" else model.clone(matmul="as_dtype")


def full_products(function: F) -> F:
    """The function of (model, params, ...), given the network at full precision, and in which products that state none
    have the full one: those of a module of the user's.

    It raises `UserError` for parameters in float64 while JAX computes in 32 bits, which would round them.
    """

    @wraps(function)
    def called(model: nn.Module, params: Params, *args: Any, **kwargs: Any) -> Any:
        if any(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(params)):
            require_float64("a parameter of the network")
        with jax.default_matmul_precision("highest"):
            return function(full_precision(model), params, *args, **kwargs)

    return cast(F, called)
