"""What the numbers of equation (1) may be, for whoever calls the library: the settings' types say the same of what is typed."""

import operator
from typing import Any

import numpy as np
from jax.core import Tracer

from ntkrun.errors import UserError


def check_numbers(*, width: Any = None, **numbers: Any) -> None:
    """UserError unless depth and width are whole numbers from 1 on, sigma_w2 > 0 and sigma_b2 >= 0, each one number.

    width  None where none is given; a tuple holds one a layer.
    numbers  of `depth`, `sigma_w2`, `sigma_b2` those that are given; what JAX traces has no value yet and is let pass
    """
    widths = width if isinstance(width, tuple) else (width,)
    for name, value in (("depth", numbers.get("depth", 1)), *(("width", one) for one in widths)):
        if value is not None and not (is_whole(value) and value >= 1):
            raise UserError(f"{name} = {value!r}: it must be a whole number from 1 on")
    for name, bound in (("sigma_w2", "> 0"), ("sigma_b2", ">= 0")):
        value = numbers.get(name, 1.0)
        if isinstance(value, Tracer):
            continue
        if not np.isrealobj(value) or np.ndim(value) or isinstance(value, str):
            raise UserError(f"{name} = {value!r}: it must be one number, the same for every layer")
        if not (np.isfinite(value) and (value > 0 if bound == "> 0" else value >= 0)):
            raise UserError(f"{name} = {value}: this variance must be a finite number {bound}")


def check_dtype(dtype: Any) -> None:
    """UserError unless it is float32 or float64: kernels are to have all digits of one of these, and what is in fewer is
    rounded where nobody sees it again.  Products of rounded factors have a setting of their own (`models.products`)."""
    try:
        name = "" if dtype is None else np.dtype(dtype).name
    except TypeError:
        name = ""
    if name not in ("float32", "float64"):
        raise UserError(
            f"dtype={name or repr(dtype)}: networks and their kernels are in float32 or float64; choose one of them, and "
            "matmul='bfloat16' where the factors of the products alone may be rounded"
        )


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, Python's, NumPy's or JAX's, and not True or False."""
    try:
        return operator.index(value) == value and not isinstance(value, bool)
    except TypeError:
        return False
