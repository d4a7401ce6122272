"""Kernels of one finite network: Theta_hat = J J^T, and K_hat of its last hidden layer."""

from functools import partial
from pathlib import Path
from typing import Literal, overload

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ntkrun import NUMERICS_VERSION
from ntkrun.errors import UserError
from ntkrun.kernels.blocks import WHOLE, ByLayer, KeptBlocks, in_blocks, kernel_hash
from ntkrun.kernels.contraction import gram
from ntkrun.kernels.jacobian_contraction import batches_ntk, example_blocks, examples_ntk
from ntkrun.kernels.method import Method, check_structured, chosen_method, examples_are_apart
from ntkrun.kernels.outputs import check_outputs
from ntkrun.kernels.precision import full_products
from ntkrun.kernels.structured import blocks_of, structured_block
from ntkrun.kernels.taps import check_readout, outputs_of, readout_taps
from ntkrun.models import declarations
from ntkrun.models.functions import Model, ModelLike, network_of
from ntkrun.models.parameterizations import rate_factor
from ntkrun.types import AnyArray, Array, Float, Num, Params, check_arrays


@overload
def empirical_ntk(
    model: ModelLike, params: Params, x1: AnyArray, x2: AnyArray | None = None, *, trace_outputs: bool = False,
    by_layer: Literal[False] = False, method: Method | Literal["auto"] = "auto", memory: int | None = None,
    resume_in: str | Path | None = None,
) -> Array: ...  # fmt: skip


@overload
def empirical_ntk(
    model: ModelLike, params: Params, x1: AnyArray, x2: AnyArray | None = None, *, trace_outputs: bool = False,
    by_layer: Literal[True], method: Method | Literal["auto"] = "auto", memory: int | None = None,
    resume_in: str | Path | None = None,
) -> ByLayer: ...  # fmt: skip


@full_products
def empirical_ntk(
    model: ModelLike,
    params: Params,
    x1: Num[AnyArray, "n1 ..."],
    x2: Num[AnyArray, "n2 ..."] | None = None,
    *,
    trace_outputs: bool = False,
    by_layer: bool = False,
    method: Method | Literal["auto"] = "auto",
    memory: int | None = None,
    resume_in: str | Path | None = None,
) -> Float[Array, "n1 n2 *kk"] | ByLayer:
    """Theta_hat(x1, x2) = sum over parameters of df_a(x_i)/dtheta df_b(x_j)/dtheta, below equation (4); any network.

    model is a Flax module, linen or NNX, or a function f(params, x) -> (n, k); further variables and arguments of a module
    are held by `ntkrun.as_function`.  Returns (n1, n2, k, k), index [i, j, a, b], or with `trace_outputs` (n1, n2), the
    mean of its diagonal over a = b; x2 = None is x1 with itself.  With `by_layer` a dict, path of the layer in `params` ->
    its part of the sum.  Whole numbers among the parameters have no derivative and are left out.

    The dtype is that of the parameters, and its own precision that of every product, whatever the network is trained at;
    parameters of less than 32 bits are taken as float32.  It is J J^T in either parameterization: (S42)'s Theta_hat =
    J J^T / n of the standard one is `ntk_scale(model)` times this.

    method "structured": every parameter has to belong to a layer with taps that is used once, and an example's output
    must not depend on other examples, which is tried as by "auto"; no Jacobian is formed (`kernels.structured`), and of x1
    with itself one half is computed.  "jacobian": any network, one gradient per example and output; where an output depends
    on its batch, as with batch normalisation, it is the function f(x_i; X) of the whole batch X = x1 (and x2), and so is
    its kernel.  "auto" takes the structured one for networks that declare both of its conditions (`models.declarations`;
    those of ntkrun do), and for others where the first two images of x1 show them: taps cover all parameters, output and
    gradient are the same without the other image, and both methods give one kernel.  Where none of this can be seen, inside
    `jax.jit` or with a single image, it takes "jacobian" of the whole batch, and "structured" is believed.

    Memory: blocks of examples are worked on together whose gradients (structured: taps, k numbers per unit) are held in
    about `memory` bytes (None: `placement.working_bytes` of the device), one example at least, and the result a few times;
    more blocks than one repeat forward and backward passes.  `resume_in` is a folder in which finished blocks are kept: the
    same call goes on from them.

    Known equal: the Jacobian product (tests).  Raises `UserError` for a network that does not run on x1 or returns no
    (n, k), with "structured" where one of its conditions does not hold, for no examples or such with nan or inf, for an
    unknown method, for `memory` or `resume_in` where an output depends on its batch or JAX traces, and for a folder of
    another kernel.
    """
    if method not in ("auto", "structured", "jacobian"):
        raise UserError(f"unknown method {method!r}: choose auto, structured or jacobian")
    model = network_of(model)
    check_arrays(x1=x1, x2=x1 if x2 is None else x2)
    first, second = jnp.asarray(x1), None if x2 is None else jnp.asarray(x2)
    check_outputs(model, params, first)
    if not jax.tree.leaves(params):
        raise UserError("the network has no parameters, and a kernel is a sum over them: give it a Dense or Conv layer")
    if second is not None and first.shape[1:] != second.shape[1:]:
        raise UserError(f"x1 holds examples of shape {first.shape[1:]}, x2 of {second.shape[1:]}: they must be alike")
    if method == "auto":
        method = chosen_method(model, params, first)
    elif method == "structured":
        check_structured(model, params, first, second)
    return _ntk(model, params, first, second, (trace_outputs, by_layer), method, memory, resume_in)


def _ntk(
    model: Model, params: Params, x1: Array, x2: Array | None, how: tuple[bool, bool], method: Method,
    memory: int | None, resume_in: str | Path | None,
) -> Array | ByLayer:  # fmt: skip
    """In blocks of examples where they do not depend on each other; how: trace_outputs, by_layer."""
    if method == "structured":
        contraction, blocks = structured_block, blocks_of(model, params, x1, x2, memory)
    elif examples_are_apart(model, params, x1):
        contraction, blocks = examples_ntk, example_blocks(model, params, x1, x2, memory)
    else:
        contraction, blocks = batches_ntk, ([slice(0, len(x1))], [slice(0, len(x1 if x2 is None else x2))])
        if memory is not None or resume_in is not None:
            raise UserError(
                "memory= and resume_in= are for kernels in blocks of examples, and here an output depends on its batch, or "
                "that cannot be tried (inside jax.jit, or with a single image): leave them out"
            )
    kept = None
    if resume_in is not None:
        kernel = kernel_hash(params, x1, x2, (method, *how, NUMERICS_VERSION, type(model).__name__))
        kept = KeptBlocks(resume_in, kernel, outputs_of(model, params, x1[:2]), blocks)
        blocks = kept.blocks
    found = in_blocks(partial(contraction, model, params, *how), x1, x2, blocks, kept)
    return found if how[1] else found[WHOLE]


@full_products
def empirical_nngp(
    model: ModelLike, params: Params, x1: Float[AnyArray, "n1 ..."], x2: Float[AnyArray, "n2 ..."] | None = None
) -> Float[Array, "n1 n2"]:
    """K_hat(x, x') = sigma_w2/n x^L(x).x^L(x') + sigma_b2: the covariance of the readout given the layers below it.

    x^L are the activations of the last hidden layer, n its width; known equal: a hand-written network (tests).  Raises
    `UserError` for a network of other layers than those with taps, and for one that changes what its readout returns.
    """
    check_arrays(x1=x1, x2=x1 if x2 is None else x2)
    model, first = network_of(model), jnp.asarray(x1)
    if not any(isinstance(array, Tracer) for array in jax.tree.leaves((params, first))):
        check_readout(model, params, first)
    return _nngp(model, params, first, None if x2 is None else jnp.asarray(x2))


def ntk_scale(model: ModelLike) -> float:
    """The factor of a parameterization on eta_0 and on J J^T: 1 in the NTK one; 1/n, n the largest hidden width, in the standard
    one, where (S42) is Theta_hat = J J^T / n; n in mup (`models.parameterizations`).

    Raises `UserError` for a network in one of the latter that declares no width.
    """
    declared = declarations.of(network_of(model))
    if declared.parameterization != "ntk" and not declared.width:
        raise UserError(
            f"{type(model).__name__} is in the {declared.parameterization} parameterization and declares no width"
        )
    return rate_factor(declared.parameterization, declared.width)


@partial(jax.jit, static_argnames=("model",))
def _nngp(model: Model, params: Params, x1: Array, x2: Array | None) -> Array:
    layer = readout_taps(model, params, x1)
    other = layer if x2 is None else readout_taps(model, params, x2)
    return layer["weight_variance"] * gram(layer["x"], other["x"]) + layer["bias_variance"]
