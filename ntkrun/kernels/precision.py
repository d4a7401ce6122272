"""The precision of what is observed and of kernels: that of the dtype, whatever that of training steps is."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(model: Any) -> Any:
    """The network with products in its dtype's own precision (`models.products`)."""
    return model if getattr(model, "matmul", "as_dtype") == "as_dtype" else model.clone(matmul="as_dtype")


def full_products(function: Callable[P, R]) -> Callable[P, R]:
    """The function, in which products that state no precision have the full one: those of a module of the user's."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return called
