"""A network called with parameters and inputs that it does not go with: one line that says which they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from ntkrun.errors import UserError, in_one_line
from ntkrun.models.functions import LinenFunction, Model, name_of, whence
from ntkrun.models.parameters import named_leaves
from ntkrun.types import AnyArray, Params

NEEDS_MORE = (
    "what it needs beside params and x is given by f, params = ntkrun.as_function(module, variables, train=False)"
)


def outputs_shape(network: Model, params: Params, x: AnyArray | jax.ShapeDtypeStruct) -> Any:
    """Shape and dtype of f(params, x), whatever it returns.  Raises `UserError` where it does not run on them."""
    try:
        return jax.eval_shape(partial(_applied, network), params, x)
    except UserError:
        raise
    except Exception as error:
        unlike = _unlike(network, params, x)
        reason, remedy = in_one_line(error), NEEDS_MORE
        if unlike is not None or not isinstance(network, nn.Module | LinenFunction):
            reason, remedy = unlike or reason, f"{whence(network)}, or the x that these params are for"
        raise UserError(f"{name_of(network)} does not run on x of shape {x.shape}: {reason}; {remedy}") from error


@contextmanager
def explained(network: Model, params: Params, x: AnyArray | jax.ShapeDtypeStruct) -> Iterator[None]:
    """An error inside becomes a `UserError` where the network itself does not run on these parameters and inputs.

    It is tried after the error: what goes through costs nothing more.
    """
    try:
        yield
    except UserError:
        raise
    except Exception:
        outputs_shape(network, params, x)
        raise


def _applied(network: Model, params: Params, x: Any) -> Any:
    return network.apply({"params": params}, x)


def _unlike(network: Model, params: Params, x: Any) -> str | None:
    """The first of the parameters that is another than the network draws for such x; None where none is, or none is known."""
    if not isinstance(network, nn.Module | LinenFunction):
        return None
    one = jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)
    try:
        drawn = jax.eval_shape(network.init, jax.random.key(0), one)["params"]
    except Exception:  # it needs more than x to be drawn, say: the error of the call is what there is to tell
        return None
    wanted, given = (
        {"/".join(path): np.shape(leaf) for path, leaf in named_leaves(p).items()} for p in (drawn, params)
    )
    for name in wanted:
        if name not in given:
            return f"params lack {name}"
        if given[name] != wanted[name]:
            return f"params of {name} have the shape {given[name]}, and {wanted[name]} is needed"
    return None
