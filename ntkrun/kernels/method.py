"""Which contraction gives Theta_hat of a network: the structured one where it is right, else the one for any module."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ntkrun.errors import UserError
from ntkrun.kernels.apart import is_finite, sees_one_example, two_of
from ntkrun.kernels.jacobian_contraction import jacobian_ntk
from ntkrun.kernels.precision import full_products
from ntkrun.kernels.structured import structured_ntk
from ntkrun.models import declarations
from ntkrun.models.functions import Model, name_of
from ntkrun.types import AnyArray, Array, Params

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
    return _can_be_tried(params, x) and sees_one_example(model, params, x)


def _can_be_tried(params: Params, x: AnyArray) -> bool:
    return len(x) > 1 and not any(isinstance(array, Tracer) for array in jax.tree.leaves((params, x)))


def check_structured(model: Model, params: Params, x1: Array, x2: Array | None) -> None:
    """UserError where the structured contraction is asked for and would give something else than the kernel.

    What is not declared is tried as in `chosen_method`; where it cannot be, the caller is believed.  Parameters without
    taps are left to the contraction itself, which names them, and outputs that are no numbers show nothing.
    """
    declared, name = declarations.of(model), name_of(model)
    if declared.batch_dependent:
        raise UserError(
            "with batch normalisation an output depends on its whole batch, and so does the kernel: use "
            "method='jacobian', which takes x1 and x2 for one batch each, or model.norm=none"
        )
    x = x1 if x2 is None or len(x1) > 1 else x2
    if (declared.tapped and declared.batch_dependent is False) or not _can_be_tried(params, x):
        return
    if covered_by_taps(model, params, x[:2]) == "jacobian" or not is_finite(model, params, x[:2]):
        return
    if not examples_are_apart(model, params, x):
        raise UserError(
            f"an output of {name} depends on the other examples of its batch, and so does its kernel: use "
            "method='jacobian', which takes x1 and x2 for one batch each"
        )
    if contraction_of(model, params, x) == "jacobian":
        raise UserError(
            f"method='structured' gives another kernel than J J^T of {name}: the taps of its layers do not see all that its "
            "parameters do, as of a weight that is used outside its layer, too; use method='jacobian'"
        )


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
    two = two_of(x)
    if covered_by_taps(model, params, two) == "jacobian":
        return "jacobian"
    structured, general = structured_ntk(model, params, two), jacobian_ntk(model, params, two, two, False)
    distance = jnp.linalg.norm(structured - general)
    return "structured" if distance <= _AGREEMENT * jnp.linalg.norm(general) else "jacobian"
