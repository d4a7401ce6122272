"""Theta_hat = J J^T of any module, from gradients of single outputs."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.kernels.taps import outputs_of
from ntkrun.types import Array, Float, Params

_COLUMNS_PER_BLOCK = 8  # gradients held at once


@partial(jax.jit, static_argnames=("model", "trace_outputs"))
def jacobian_ntk(
    model: nn.Module, params: Params, x1: Array, x2: Array, trace_outputs: bool
) -> Float[Array, "n1 n2 *kk"]:
    """One column Theta_hat[:, j, :, b] = J(x1) J(x2)_jb^T at a time: a backward pass over x2, a forward one over x1."""
    output, vjp = jax.vjp(lambda theta: outputs_of(model, theta, x2), params)
    _, jvp = jax.linearize(lambda theta: outputs_of(model, theta, x1), params)
    n2, k = output.shape

    def column(index: Array) -> Array:
        cotangent = jax.nn.one_hot(index, n2 * k, dtype=output.dtype).reshape(n2, k)
        theta_column = jvp(*vjp(cotangent))
        return theta_column[:, index % k] if trace_outputs else theta_column

    columns = jax.lax.map(column, jnp.arange(n2 * k), batch_size=_COLUMNS_PER_BLOCK)
    if trace_outputs:
        return columns.reshape(n2, k, -1).mean(axis=1).T
    return columns.reshape(n2, k, -1, k).transpose(2, 0, 3, 1)
