"""What a network of the user's starts from: its parameters, drawn or read from a file, and all else that it holds."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.errors import UserError, in_one_line
from ntkrun.models.functions import WRITTEN, LinenFunction, Model, name_of
from ntkrun.models.stored_parameters import merged, read
from ntkrun.types import AnyArray, Params, PRNGKeyArray

HINT = (
    "it is called as f(x) for images x (n, height, width, channels): set what else it takes, model.apply_arguments.train=false "
    "or deterministic=true, so that it neither writes running averages nor draws random numbers"
)


def check_user_module(model: Model, x: AnyArray | jax.ShapeDtypeStruct, k: int) -> None:
    """UserError, naming what to write, unless f(params, x) is (n, k) for these images; from shapes alone."""
    name = name_of(model)
    image, dtype = tuple(x.shape[1:]), x.dtype
    two = jax.ShapeDtypeStruct((2, *image), dtype)
    try:
        variables, f = jax.eval_shape(partial(_drawn_and_applied, model), two)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} does not run on images of shape {image}: {in_one_line(error)}; {HINT}") from error
    params = variables.get("params", {})
    if not jax.tree.leaves(params):
        raise UserError(f"{name} has no parameters: make them by layers in an `@nn.compact` __call__, or by self.param")
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            where = jax.tree_util.keystr(path)
            raise UserError(
                f"{name}: params{where} is {leaf.dtype}, and has to be an array of real numbers to be trained"
            )
    _check_outputs(name, f, k)


def _check_outputs(name: str, f: Any, k: int) -> None:
    if not hasattr(f, "shape"):
        raise UserError(f"{name} returns {type(f).__name__}, several outputs: pick one, model.output=0, or by its name")
    if f.shape != (2, k):
        raise UserError(
            f"{name} returns {f.shape} for 2 images and k = {k} outputs: it must be (2, {k}); give it a field "
            f"`n_outputs: int`, which is set to k, or set the field that it has for them, model.args.num_classes={k}, say"
        )
    if not jnp.issubdtype(f.dtype, jnp.floating) or f.dtype.itemsize < 4:
        raise UserError(
            f"{name} returns {f.dtype}, and its kernel would have that rounding: let it compute in float32, by a field `dtype`"
        )


def _drawn_and_applied(model: Model, x: Any) -> tuple[dict[str, Any], Any]:
    variables: Any = model.init(jax.random.key(0), x)
    kept = {name: values for name, values in variables.items() if name not in WRITTEN}
    return kept, model.apply(kept, x)


def started(
    model: Model, key: PRNGKeyArray, x: AnyArray, dtype: Any, file: str | None = None
) -> tuple[Model, Params, list[str]]:
    """(the network with all that it holds beside its parameters, theta_0 in this dtype, what to tell the user).

    theta_0 is drawn by `key`, or read from `file`.  Raises `UserError` for a file of other names or shapes.
    """
    variables, notes = dict(_variables(model, key, x)), []
    if file is not None:
        variables, notes = merged(variables, read(file), file)
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), variables["params"])
    return holding(model, variables), params, notes


def planned(model: Model, x: jax.ShapeDtypeStruct, dtype: Any) -> tuple[Model, Params]:
    """The same from shapes: zeros for what it holds."""
    variables = dict(jax.eval_shape(model.init, jax.random.key(0), x))
    held = {name: jax.tree.map(_blank, values) for name, values in variables.items() if name != "params"}
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), variables["params"])
    return holding(model, held), params


def holding(model: Model, variables: dict[str, Any]) -> Model:
    """The network that holds what its `init` gives beside "params"; a module that has nothing more as it is."""
    others = {name: values for name, values in variables.items() if name != "params" and name not in WRITTEN}
    if not others:
        return model
    return (LinenFunction(model) if isinstance(model, nn.Module) else model).holding(others)


@partial(jax.jit, static_argnums=0)
def _variables(model: Model, key: PRNGKeyArray, x: Any) -> Any:
    return model.init(key, x)


def _blank(leaf: jax.ShapeDtypeStruct) -> Any:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), leaf.shape)
    return jnp.zeros(leaf.shape, leaf.dtype)
