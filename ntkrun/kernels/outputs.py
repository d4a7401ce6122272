"""Whether a network is what kernels are of: f(params, x) with k outputs of 32 bits or more for every example."""

import math

import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.models import declarations
from ntkrun.models.calls import outputs_shape
from ntkrun.models.functions import Model, name_of
from ntkrun.types import AnyArray, Params


def check_outputs(model: Model, params: Params, x: AnyArray) -> None:
    """UserError, saying what to pass, unless it runs on x and returns (n, k); from shapes, and not for ntkrun's own."""
    if not declarations.of(model).tapped:
        checked_outputs(model, params, x)


def checked_outputs(model: Model, params: Params, x: AnyArray) -> jax.ShapeDtypeStruct:
    """Shape and dtype of its outputs, checked likewise, of any network."""
    name, where = name_of(model), f"x of shape {x.shape}"
    f = outputs_shape(model, params, x)
    if not isinstance(f, jax.ShapeDtypeStruct):
        raise UserError(f"{name} returns a {type(f).__name__}: pass lambda params, x: f(params, x)[0], say")
    if len(f.shape) != 2 or f.shape[0] != x.shape[0]:
        n, size = x.shape[0], math.prod(f.shape)
        remedy = (
            "pass lambda params, x: f(params, x)[:, None], say"
            if f.shape == (n,)
            else "pass lambda params, x: f(params, x).reshape(len(x), -1), say"
            if f.shape[:1] == (n,) and size
            else "it must give k numbers for every example: return no sum or mean over examples, and no loss"
        )
        raise UserError(f"{name} returns {f.shape} for {where}: it must be (n, k), n = {n}; {remedy}")
    if jnp.issubdtype(f.dtype, jnp.complexfloating):
        raise UserError(
            f"{name} returns {f.dtype}, and complex numbers have no such kernel: return real outputs, real and imaginary part "
            "as two of them, say, and hold both parts of complex parameters as two arrays"
        )
    if not jnp.issubdtype(f.dtype, jnp.floating):
        raise UserError(f"{name} returns {f.dtype}, which has no derivative: return real numbers, float32 or float64")
    if f.dtype.itemsize < 4:
        raise UserError(
            f"{name} returns {f.dtype}, and a kernel of it would have its rounding: let it compute in float32, by its field "
            "dtype, say"
        )
    return f
