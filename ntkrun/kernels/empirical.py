"""Kernels of one finite network: Theta_hat = J J^T, and K_hat of its last hidden layer."""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.core import Tracer

from ntkrun.errors import UserError
from ntkrun.kernels.contraction import gram
from ntkrun.kernels.jacobian_contraction import jacobian_ntk
from ntkrun.kernels.method import Method, chosen_method
from ntkrun.kernels.precision import full_products
from ntkrun.kernels.structured import structured_ntk
from ntkrun.kernels.taps import check_readout, readout_taps
from ntkrun.models import declarations
from ntkrun.types import AnyArray, Array, Float, Params


@full_products
def empirical_ntk(
    model: nn.Module,
    params: Params,
    x1: Float[AnyArray, "n1 ..."],
    x2: Float[AnyArray, "n2 ..."] | None = None,
    *,
    trace_outputs: bool = False,
    method: Method | Literal["auto"] = "auto",
    memory_bytes: int | None = None,
) -> Float[Array, "n1 n2 *kk"]:
    """Theta_hat(x1, x2) = sum over parameters of df_a(x_i)/dtheta df_b(x_j)/dtheta, below equation (4); any module.

    Returns (n1, n2, k, k), index [i, j, a, b], or with `trace_outputs` (n1, n2), the mean of its diagonal over a = b;
    x2 = None is x1 with itself.  The dtype is that of the parameters, and its own precision that of every product,
    whatever the network is trained at.  It is J J^T in either parameterization: (S42)'s Theta_hat = J J^T / n of the
    standard one is `ntk_scale(model)` times this.

    method "structured": every parameter has to belong to a layer with taps that is used once, and an example's output
    must not depend on other examples; no Jacobian is formed (`kernels.structured`), and of x1 with itself one half is
    computed.  "jacobian": any module, one gradient per example and output; a network with batch normalisation is then
    the function f(x_i; X) of the whole batch X = x1 (and x2), and so is its kernel.  "auto" takes the structured one for
    networks that declare both of its conditions (`models.declarations`; those of ntkrun do), and for others where the
    first two images of x1 show them: taps cover all parameters, an output is the same without the other image, and
    both methods give one kernel.  Where none of this can be seen, inside `jax.jit` or with a single image, it takes
    "jacobian".

    Memory: structured holds the taps of blocks of examples, k numbers per unit (convolutions: gradients too), within
    about `memory_bytes` (None: `placement.working_bytes` of the device), and the result a few times; more blocks than one
    repeat forward and backward passes.

    Known equal: the Jacobian product (tests).  Raises `UserError` with "structured" if parameters are not covered by
    taps and for batch normalisation, and for an unknown method.
    """
    if method not in ("auto", "structured", "jacobian"):
        raise UserError(f"unknown method {method!r}: choose auto, structured or jacobian")
    first, second = jnp.asarray(x1), None if x2 is None else jnp.asarray(x2)
    method = chosen_method(model, params, first) if method == "auto" else method
    if method == "jacobian":
        return jacobian_ntk(model, params, first, first if second is None else second, trace_outputs)
    if declarations.of(model).batch_dependent:
        raise UserError(
            "with batch normalisation an output depends on its whole batch, and so does the kernel: use "
            "method='jacobian', which takes x1 and x2 for one batch each, or model.norm=none"
        )
    return structured_ntk(model, params, first, second, trace_outputs, memory_bytes)


@full_products
def empirical_nngp(
    model: nn.Module, params: Params, x1: Float[AnyArray, "n1 ..."], x2: Float[AnyArray, "n2 ..."] | None = None
) -> Float[Array, "n1 n2"]:
    """K_hat(x, x') = sigma_w2/n x^L(x).x^L(x') + sigma_b2: the covariance of the readout given the layers below it.

    x^L are the activations of the last hidden layer, n its width; known equal: a hand-written network (tests).  Raises
    `UserError` for a network of other layers than those with taps, and for one that changes what its readout returns.
    """
    first = jnp.asarray(x1)
    if not any(isinstance(array, Tracer) for array in jax.tree.leaves((params, first))):
        check_readout(model, params, first)
    return _nngp(model, params, first, None if x2 is None else jnp.asarray(x2))


def ntk_scale(model: nn.Module) -> float:
    """1 in the NTK parameterization; 1/n, n the largest hidden width, in the standard one: (S42) is Theta_hat = J J^T / n.

    Raises `UserError` for a network in the standard parameterization that declares no width.
    """
    declared = declarations.of(model)
    if declared.parameterization == "ntk":
        return 1.0
    if not declared.width:
        raise UserError(f"{type(model).__name__} is in the standard parameterization and declares no width")
    return 1.0 / declared.width


@partial(jax.jit, static_argnames=("model",))
def _nngp(model: nn.Module, params: Params, x1: Array, x2: Array | None) -> Array:
    layer = readout_taps(model, params, x1)
    other = layer if x2 is None else readout_taps(model, params, x2)
    return layer["weight_variance"] * gram(layer["x"], other["x"]) + layer["bias_variance"]
