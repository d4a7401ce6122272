"""Networks as functions f(params, x): Flax linen modules, Flax NNX modules and plain functions, alike to whoever uses them.

A linen module that needs nothing but `params` stays what it is.  Everything else becomes a `Function`, which has the `init`
and `apply` of a linen module.  Functions that compute the same are equal, so that JAX finds compiled programs again.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax

from ntkrun.errors import UserError
from ntkrun.models import declarations
from ntkrun.models.constants import NOTHING, Constants
from ntkrun.models.declarations import UNKNOWN, Declaration
from ntkrun.types import AnyArray, Params, PRNGKeyArray

# what linen modules write while they run, which is no part of f
WRITTEN = ("perturbations", "taps", "intermediates")
WITHOUT_TAPS = (
    "and the layers of linen modules alone are seen by method='structured' and empirical_nngp: use method='jacobian', or a "
    "module of `Dense` and `Conv` of ntkrun.models.layers"
)


class Function:
    """f(params, x).  `init(key, x)` gives all variables, "params" among them, and `apply(variables, x)` the outputs."""

    @property
    def name(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    @property
    def declaration(self) -> Declaration:
        raise NotImplementedError

    def init(self, key: PRNGKeyArray, x: Any) -> dict[str, Any]:
        raise NotImplementedError

    def apply(self, variables: Mapping[str, Any], x: Any, **how: Any) -> Any:
        raise NotImplementedError

    def holding(self, others: Mapping[str, Any]) -> "Function":
        """The function in which what `init` gives beside "params" stays as it is here."""
        raise NotImplementedError

    def __call__(self, params: Params, x: AnyArray) -> Any:
        return self.apply({"params": params}, x)


Model = nn.Module | Function
ModelLike = Model | Callable[..., Any]  # whatever `network_of` takes


@dataclass(frozen=True)
class PlainFunction(Function):
    """A function of (params, x) as somebody wrote it, and how its parameters are drawn, where that is known."""

    f: Callable[[Params, Any], Any]
    initial: Callable[[PRNGKeyArray, Any], Params] | None = None
    arguments: Constants = NOTHING
    output: int | str | None = None
    declared: Declaration = UNKNOWN

    @property
    def declaration(self) -> Declaration:
        return self.declared

    @property
    def name(self) -> str:
        return getattr(self.f, "__name__", type(self.f).__name__)

    def init(self, key: PRNGKeyArray, x: Any) -> dict[str, Any]:
        if self.initial is None:
            raise UserError(f"{self.name} is a function f(params, x), {WITHOUT_TAPS}")
        return {"params": self.initial(key, x)}

    def apply(self, variables: Mapping[str, Any], x: Any, **how: Any) -> Any:
        return picked(self.f(variables["params"], x, **self.arguments.value), self.output)

    def holding(self, others: Mapping[str, Any]) -> "Function":
        return self


@dataclass(frozen=True)
class LinenFunction(Function):
    """A linen module called with further arguments and variables.

    arguments  of its __call__ beside x, by name
    held       collections beside "params": running averages, say
    output     which of several outputs is meant, by its place or name; None: there is one
    width      n of a module that was made with one and has no field of it; 0: the module's own
    """

    module: nn.Module
    arguments: Constants = NOTHING
    held: Constants = NOTHING
    output: int | str | None = None
    width: int = 0

    @property
    def name(self) -> str:
        return type(self.module).__name__

    @property
    def declaration(self) -> Declaration:
        declared = declarations.of(self.module)
        return declared.but(width=self.width) if self.width else declared

    def clone(self, **fields: Any) -> "LinenFunction":
        """The same with other fields of the module, as linen modules have it."""
        return replace(self, module=self.module.clone(**fields))

    def init(self, key: PRNGKeyArray, x: Any) -> dict[str, Any]:
        return dict(self.module.init(key, x, **self.arguments.value))

    def apply(self, variables: Mapping[str, Any], x: Any, **how: Any) -> Any:
        found: Any = self.module.apply({**self.held.value, **variables}, x, **self.arguments.value, **how)
        if "mutable" in how:
            return picked(found[0], self.output), found[1]
        return picked(found, self.output)

    def holding(self, others: Mapping[str, Any]) -> "LinenFunction":
        kept = {name: values for name, values in others.items() if name != "params" and name not in WRITTEN}
        return replace(self, held=Constants(kept))


def name_of(network: Model) -> str:
    """What messages call it."""
    return network.name if isinstance(network, Function) else type(network).__name__


def picked(outputs: Any, output: int | str | None) -> Any:
    """The one of several outputs that is meant.  Raises `UserError` where it is not among them."""
    if output is None:
        return outputs
    try:
        return outputs[output]
    except (KeyError, IndexError, TypeError) as error:
        names = list(outputs) if isinstance(outputs, Mapping) else range(len(outputs)) if _several(outputs) else None
        there = f"there are {', '.join(map(str, names))}" if names is not None else "there is a single one"
        raise UserError(f"output {output!r} is not among the outputs of the network: {there}") from error


def _several(outputs: Any) -> bool:
    return isinstance(outputs, tuple | list)


def as_function(
    module: Any, variables: Mapping[str, Any] | None = None, /, **arguments: Any
) -> tuple[Function, Params]:
    """(f, params) of a Flax module, f(params, x) being its outputs with all else held as it is here.

    A linen module comes with the `variables` that its `init` returned or that were trained: "params" are handed out, the
    other collections (running averages) are held.  An NNX module has its variables itself; it is taken in evaluation mode
    (`module.eval()`: running averages, no dropout), its `nnx.Param`s are handed out as nested dicts, and the module is left
    as it is.  `arguments` are those of its call beside x: train=False, deterministic=True.

    Raises `UserError` for what is no module, and for variables without "params".
    """
    if isinstance(module, nn.Module):
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise UserError(
                f"as_function takes a linen module with what its init returns, {{'params': ...}}: write "
                f"as_function({type(module).__name__.lower()}, variables)"
            )
        function = LinenFunction(module, Constants(arguments)).holding(variables)
        return function, variables["params"]
    if is_nnx(module):
        if variables is not None:
            raise UserError("an NNX module has its variables itself: write as_function(module), with arguments by name")
        from ntkrun.models.nnx_functions import nnx_function

        return nnx_function(module, Constants(arguments))
    raise UserError(f"as_function takes a Flax module, linen or NNX, not {_named(module)}")


def network_of(model: Any) -> Model:
    """A linen module or a `Function` as it is, anything else that is a function f(params, x) as a `Function`.

    Raises `UserError` for what is none.
    """
    if isinstance(model, type):
        raise UserError(f"{model.__name__} is a class: pass a module that is made of it, {model.__name__}(...)")
    if isinstance(model, Model):
        return model
    if is_nnx(model):
        return as_function(model)[0]
    if callable(model):
        return PlainFunction(model)
    raise UserError(f"{_named(model)} is no network: pass a Flax module or a function f(params, x)")


def params_of(network: Model, params: Any) -> Params:
    """The parameters as `network` takes them.

    Raises `UserError` for all variables of a linen module in their place, for None and for what is no tree of numbers.
    """
    if params is None:
        raise UserError(f"params is None: {whence(network)}")
    linen = isinstance(network, nn.Module | LinenFunction)
    if linen and isinstance(params, Mapping) and isinstance(params.get("params"), Mapping):
        raise UserError(
            "params holds the collections of a module's variables: pass variables['params'], and where the module needs the "
            "others f, params = ntkrun.as_function(module, variables) in place of the module"
        )
    own = getattr(network, "params_of", None)
    found = params if own is None else own(params)
    if (linen or own is not None) and not isinstance(found, Mapping):
        raise UserError(f"params is {_named(params)}, and has to be a dict of arrays: {whence(network)}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, int | float | complex):
            where = jax.tree_util.keystr(path)
            raise UserError(f"params{where} is {_named(leaf)}, and has to be an array of numbers: {whence(network)}")
    return found


def whence(network: Model) -> str:
    """Where its parameters are to be had."""
    if isinstance(network, nn.Module | LinenFunction):
        return "pass params = module.init(jax.random.key(0), x)['params']"
    if isinstance(network, PlainFunction):
        return "pass the params that the function takes, a tree of arrays"
    return "write f, params = ntkrun.as_function(module) and pass these two"


def is_nnx(model: Any) -> bool:
    """Whether it is an NNX module."""
    nnx = sys.modules.get("flax.nnx")  # there, if there is a module of it
    return nnx is not None and isinstance(model, nnx.Module)


def _named(thing: Any) -> str:
    return f"something of type {type(thing).__name__}"
