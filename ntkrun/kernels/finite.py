"""Kernels at infinite width are numbers: inputs that hold none, and variances beyond the range of their dtype, are told."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ntkrun.errors import UserError
from ntkrun.types import AnyArray, Array


def check_inputs(x: AnyArray) -> None:
    """UserError for inputs with nan or inf; of what JAX traces nothing is known."""
    if isinstance(x, Tracer):
        return
    elsewhere = isinstance(x, jax.Array) and not x.is_fully_addressable  # a part of it is on another machine
    if not (jnp.isfinite(x).all() if elsewhere else np.isfinite(np.asarray(x)).all()):
        raise UserError("the inputs hold nan or inf, and so would all that follows from them: leave these examples out")


def check_examples(**arrays: Any) -> None:
    """UserError for arrays of inputs, by their names, that hold no example, on which no network runs, and as `check_inputs`;
    what is no array is left to whoever takes it."""
    for name, x in arrays.items():
        if isinstance(x, np.ndarray | jax.Array) and x.ndim and jnp.issubdtype(x.dtype, jnp.number):
            if not len(x):
                raise UserError(f"{name} of shape {x.shape} holds no examples, and a network runs on one at least")
            check_inputs(x)


def check_variances(of_layers: Sequence[Array]) -> None:
    """UserError where a variance, (layers, n) for each set of inputs, overflows: the first layer in which one does."""
    finite = np.array([np.isfinite(np.asarray(p)).all(axis=1) for p in of_layers]).all(axis=0)
    if not finite.all():
        layer = int(np.argmin(finite)) + 1
        raise UserError(
            f"K^{layer}(x, x) is beyond the range of {of_layers[0].dtype}: variances grow from layer to layer with these "
            f"numbers; take a smaller sigma_w2, a depth below {layer} or smaller inputs"
        )


def check_kernels(nngp: AnyArray, ntk: AnyArray | None = None) -> None:
    """UserError for K that is not finite and Theta with nan; inf in Theta may be meant (of `sign` at equal inputs)."""
    wrong = any(not np.isfinite(row).all() for row in np.asarray(nngp))  # row by row: a kernel may fill the memory
    if wrong or (ntk is not None and any(np.isnan(row).any() for row in np.asarray(ntk))):
        raise UserError(
            "the kernel is beyond the range of its dtype: it grows from layer to layer with these numbers; take a smaller "
            "sigma_w2, fewer layers or smaller inputs"
        )
