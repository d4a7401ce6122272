"""Which contraction gives Theta_hat of a network: the structured one where it is right, else the one for any module."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ntkrun.kernels.apart import sees_one_example
from ntkrun.kernels.jacobian_contraction import jacobian_ntk
from ntkrun.kernels.precision import full_products
from ntkrun.kernels.structured import structured_ntk
from ntkrun.models import declarations
from ntkrun.models.functions import Model
from ntkrun.types import AnyArray, Params

Method = Literal["structured", "jacobian"]

# Both are the same sum of products in another order, to 1e-5 in float32; a layer left out or counted twice is per cents.
_AGREEMENT = 1e-3


def chosen_method(model: Model, params: Params, x: AnyArray) -> Method:
    """The contraction for a network of which nobody has said more than it declares (`models.declarations`).

    What is not declared is tried on the first two of these images; while JAX traces, or with fewer images, nothing can
    be tried, and "jacobian" is right for every module.
    """
    declared = declarations.of(model)
    if declared.batch_dependent or declared.tapped is False:
        return "jacobian"
    if declared.tapped and declared.batch_dependent is False:
        return "structured"
    if not examples_are_apart(model, params, x):
        return "jacobian"
    return contraction_of(model, params, x)


def examples_are_apart(model: Model, params: Params, x: AnyArray) -> bool:
    """Whether an output is known not to depend on the other examples: declared, or tried on two of these."""
    declared = declarations.of(model).batch_dependent
    if declared is not None:
        return not declared
    if len(x) < 2 or any(isinstance(array, Tracer) for array in jax.tree.leaves((params, x))):
        return False
    return sees_one_example(model, params, x)


@full_products
def covered_by_taps(model: Model, params: Params, x: AnyArray | jax.ShapeDtypeStruct) -> Method:
    """ "structured" where every parameter lies in a layer with taps that is used once, else "jacobian"; from shapes."""
    declared = declarations.of(model)
    if declared.batch_dependent or declared.tapped is False:
        return "jacobian"
    try:
        jax.eval_shape(partial(structured_ntk, model), params, x)
    except Exception:  # whatever stands in its way, the general contraction asks for nothing but f(params, x)
        return "jacobian"
    return "structured"


@full_products
def contraction_of(model: Model, params: Params, x: AnyArray) -> Method:
    """The same, and only if both give one kernel on the first two of these images."""
    two = jnp.asarray(x[:2])
    if covered_by_taps(model, params, two) == "jacobian":
        return "jacobian"
    structured, general = structured_ntk(model, params, two), jacobian_ntk(model, params, two, two, False)
    distance = jnp.linalg.norm(structured - general)
    return "structured" if distance <= _AGREEMENT * jnp.linalg.norm(general) else "jacobian"
