"""Which contraction gives Theta_hat of a module that we have not written: the structured one where it is right."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.kernels.empirical import Method, empirical_ntk
from ntkrun.types import AnyArray, Params

# Both are the same sum of products in another order, to 1e-5 in float32; a layer left out or counted twice is per cents.
_AGREEMENT = 1e-3


def covered_by_taps(model: nn.Module, params: Params, x: AnyArray | jax.ShapeDtypeStruct) -> Method:
    """ "structured" where every parameter lies in a layer with taps that is used once, else "jacobian"; from shapes."""
    try:
        jax.eval_shape(partial(empirical_ntk, model), params, x)
    except Exception:  # whatever stands in its way, the general contraction asks for nothing but f(params, x)
        return "jacobian"
    return "structured"


def contraction_of(model: nn.Module, params: Params, x: AnyArray) -> Method:
    """The same, and only if both give one kernel on the first two of these images."""
    two = jnp.asarray(x[:2])
    if covered_by_taps(model, params, two) == "jacobian":
        return "jacobian"
    structured, general = (empirical_ntk(model, params, two, method=m) for m in ("structured", "jacobian"))
    distance = jnp.linalg.norm(structured - general)
    return "structured" if distance <= _AGREEMENT * jnp.linalg.norm(general) else "jacobian"
