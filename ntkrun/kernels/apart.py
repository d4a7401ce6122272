"""Whether a network treats every example by itself, and whether its outputs are numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.kernels.leaves import moving, put, those
from ntkrun.kernels.taps import outputs_of
from ntkrun.models.functions import Model
from ntkrun.types import AnyArray, Array, Params

# Rounding in float32 is 1e-6 a layer; what a batch adds moves an output, or the gradient of a layer, by parts of itself.
_SAME = 1e-3
_NOTHING = 1e-2  # a gradient so much smaller than the largest one may be rounding alone


def sees_one_example(model: Model, params: Params, x: AnyArray) -> bool:
    """Whether the outputs for the first of these examples, and their gradients, are the same without the second.

    Gradients tell what outputs that start at zero do not: a readout of zeros over a normalised batch.  The second is another
    than the first, where there is one: a batch of equal examples has the mean of each.
    """
    two = two_of(x)
    together, alone = (_of_the_first(model, params, two[:rows]) for rows in (2, 1))
    sizes = [jnp.max(jnp.abs(one), initial=0.0) for one in together]
    floor = _NOTHING * jnp.max(jnp.stack(sizes[1:]))
    allowed = [_SAME * size for size in (sizes[0], *(jnp.maximum(size, floor) for size in sizes[1:]))]
    changes = [jnp.max(jnp.abs(one - other), initial=0.0) for one, other in zip(together, alone, strict=True)]
    return bool(jnp.all(jnp.stack(changes) <= jnp.stack(allowed)))


def two_of(x: AnyArray) -> Array:
    """The first of these examples, and the first of the others that is not equal to it; the second where all are equal."""
    if len(x) < 2 or not np.array_equal(x[0], x[1]):
        return jnp.asarray(x[:2])
    others = np.asarray(x)
    apart = np.flatnonzero((others != others[0]).reshape(len(others), -1).any(axis=1))
    return jnp.asarray(others[[0, apart[0] if len(apart) else 1]])


@partial(jax.jit, static_argnums=0)
def _of_the_first(model: Model, params: Params, x: Array) -> list[Array]:
    """f(x_1), and the gradient of a sum of its outputs by every leaf; weights, as some outputs add up to a constant."""
    places = [place for found in moving(params).values() for place in found]
    f, vjp = jax.vjp(lambda theta: outputs_of(model, put(params, places, theta), x)[0], those(params, places))
    (gradient,) = vjp(jnp.cos(jnp.arange(f.size)).astype(f.dtype).reshape(f.shape))
    return [f, *gradient]


@partial(jax.jit, static_argnums=0)
def is_finite(model: Model, params: Params, x: Array) -> Array:
    """Whether f(x, theta) is, all of it."""
    return jnp.all(jnp.isfinite(outputs_of(model, params, x)))
