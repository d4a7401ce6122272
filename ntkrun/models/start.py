"""What a network of the user's starts from: its parameters, drawn or read from a file, and all else that it holds."""

import inspect
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import errors

from ntkrun.errors import UserError, in_one_line
from ntkrun.models import declarations
from ntkrun.models.functions import WRITTEN, LinenFunction, Model, PlainFunction, name_of
from ntkrun.models.rounding import rounds_to
from ntkrun.models.stored_parameters import merged, read
from ntkrun.types import AnyArray, Params, PRNGKeyArray

TRAINING = ("train", "training", "is_training")  # arguments that modules have to be told that they train,
EVALUATION = ("deterministic", "use_running_average", "eval")  # and that they do not


SHOWN = "NTKRUN_DEBUG=1 shows where it fails"


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
        fails = f"{name} does not run on {_inputs(image)}"
        remedy = _remedy(model, error)
        if isinstance(model, PlainFunction) and model.initial is not None and not _draws(model, two):
            fails = f"{name_of(PlainFunction(model.initial))}, which draws the parameters, fails for {_inputs(image)}"
            remedy = f"it is called as init(key, x); {SHOWN}"
        raise UserError(f"{fails}: {in_one_line(error)}; {remedy}") from error
    params = variables.get("params", {})
    if not jax.tree.leaves(params):
        raise UserError(f"{name} has no parameters: make them by layers in an `@nn.compact` __call__, or by self.param")
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            where = jax.tree_util.keystr(path)
            raise UserError(
                f"{name}: params{where} is {leaf.dtype}, and has to be an array of real numbers to be trained"
            )
    _check_outputs(name, f, k, _inputs(image))
    held = {**variables, "params": jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), params)}
    _check_rounding(model, held, two)


def _check_rounding(model: Model, variables: dict[str, Any], x: jax.ShapeDtypeStruct) -> None:
    """UserError for half precision inside, unless it is what the module was asked for by its own field `matmul`."""
    found = rounds_to(model.apply, variables, x) if declarations.of(model).matmul == "as_dtype" else None
    if found is not None:
        short, layer = found
        where = f" in {layer}" if layer else ""
        raise UserError(
            f"{name_of(model)} computes in {short}{where}, and its kernel and linearization would have that rounding: let it "
            "compute in float32, by the field `dtype` of its layers"
        )


def _draws(model: Model, x: jax.ShapeDtypeStruct) -> bool:
    try:
        jax.eval_shape(model.init, jax.random.key(0), x)
    except Exception:
        return False
    return True


def _inputs(shape: tuple[int, ...]) -> str:
    return f"images of shape {shape}" if len(shape) > 1 else f"vectors of shape {shape}"


def _remedy(model: Model, error: Exception) -> str:
    """What to set, or to write in the module, so that it runs."""
    if not isinstance(error, errors.InvalidRngError | errors.ModifyScopeVariableError):
        plain = isinstance(model, PlainFunction)
        given = "it is called as f(params, x)" if plain else "its call is given the inputs x (n, ...) alone"
        return f"{given}; {SHOWN}"
    module = model if isinstance(model, nn.Module) else getattr(model, "module", None)
    switches = [
        f"model.apply_arguments.{name}={str(name not in TRAINING).lower()}"
        for name in inspect.signature(type(module).__call__).parameters
        if name in (*TRAINING, *EVALUATION)
    ]
    set_ = (
        f"set {switches[0]}"
        if switches
        else "give its __call__ an argument train and set model.apply_arguments.train=false"
    )
    return f"{set_}, so that it neither draws random numbers nor writes running averages"


def _check_outputs(name: str, f: Any, k: int, inputs: str) -> None:
    if f is None:
        raise UserError(f"{name} returns None: end its call with `return`")
    if not hasattr(f, "shape"):
        raise UserError(f"{name} returns {type(f).__name__}, several outputs: pick one, model.output=0, or by its name")
    if f.shape != (2, k):
        raise UserError(f"{name} returns {f.shape} for two {inputs}, and it must be (2, {k}): {_of_shape(f.shape, k)}")
    if not jnp.issubdtype(f.dtype, jnp.floating):
        raise UserError(f"{name} returns {f.dtype}: outputs are real numbers, float32 or float64")
    if f.dtype.itemsize < 4:
        raise UserError(
            f"{name} returns {f.dtype}, and its kernel would have that rounding: let it compute in float32, by a field `dtype`"
        )


def _of_shape(shape: tuple[int, ...], k: int) -> str:
    """What to write so that outputs of this shape become (2, k)."""
    if shape == (2,) and k == 1:
        return "return f[:, None]"
    if len(shape) != 2 or shape[0] != 2:
        return "begin with x = x.reshape(len(x), -1), and return an output for each of x"
    return (
        "give it a field `n_outputs: int`, which is set to k, or set the field that it has for them, "
        f"model.args.num_classes={k}, say"
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
