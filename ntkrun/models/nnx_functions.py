"""Flax NNX modules as functions f(params, x)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
from flax import nnx, traverse_util

from ntkrun.errors import UserError
from ntkrun.models.constants import NOTHING, Constants
from ntkrun.models.declarations import UNKNOWN, Declaration
from ntkrun.models.functions import WITHOUT_TAPS, Function, picked, whence
from ntkrun.types import Params, PRNGKeyArray


@dataclass(frozen=True)
class NnxFunction(Function):
    """An NNX module in evaluation mode, its `nnx.Param`s as nested dicts by the names of attributes.

    title      name of its class
    graph      the module without its variables
    names      path of every parameter, in the order of the leaves of `structure`
    structure  of the parameters, as NNX has them
    held       all other variables
    make       draws the module, make(rngs=...); None where it has been drawn
    """

    title: str
    graph: Any
    names: tuple[tuple[str, ...], ...]
    structure: Any
    held: Constants
    arguments: Constants = NOTHING
    output: int | str | None = None
    make: Callable[..., Any] | None = None
    declared: Declaration = UNKNOWN

    @property
    def declaration(self) -> Declaration:
        return self.declared

    @property
    def name(self) -> str:
        return self.title

    def init(self, key: PRNGKeyArray, x: Any) -> dict[str, Any]:
        if self.make is None:
            raise UserError(f"{self.title} is an NNX module, {WITHOUT_TAPS}")
        _, params, others = _split(self.make(rngs=nnx.Rngs(key)))
        return {"params": _nested(params), "held": others}

    def apply(self, variables: Mapping[str, Any], x: Any, **how: Any) -> Any:
        flat = traverse_util.flatten_dict(self.params_of(variables["params"]))
        if lacking := [name for name in self.names if name not in flat]:
            raise UserError(f"params lack {'/'.join(lacking[0])}: {whence(self)}")
        params = jax.tree.unflatten(self.structure, [flat[name] for name in self.names])
        module = nnx.merge(self.graph, params, variables.get("held", self.held.value))
        return picked(module(x, **self.arguments.value), self.output)

    def holding(self, others: Mapping[str, Any]) -> "NnxFunction":
        return replace(self, held=Constants(others["held"]))

    def params_of(self, params: Any) -> Params:
        """Nested dicts, also of an `nnx.State`."""
        return _nested(params) if isinstance(params, nnx.State) else params


@dataclass(frozen=True)
class Maker:
    """Draws a module, make(rngs=...), from a class or a function and its arguments."""

    kind: Callable[..., Any]
    fields: Constants

    def __call__(self, *, rngs: nnx.Rngs) -> Any:
        return self.kind(**self.fields.value, rngs=rngs)


def nnx_function(
    module: Any,
    arguments: Constants = NOTHING,
    output: int | str | None = None,
    make: Callable[..., Any] | None = None,
    declared: Declaration = UNKNOWN,
) -> tuple[NnxFunction, Params]:
    """(f, its parameters): of arrays, or of their shapes if the module holds those."""
    graph, params, others = _split(module)
    drawn = (type(module).__name__, graph, _names(params), jax.tree.structure(params), Constants(others))
    return NnxFunction(*drawn, arguments, output, make, declared), _nested(params)


def abstract(make: Callable[..., Any]) -> Any:
    """The module that `make(rngs=...)` draws, with shapes in place of arrays."""
    return nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))


def _split(module: Any) -> tuple[Any, Any, Any]:
    """(graph, parameters, other variables) in evaluation mode."""
    copy = nnx.clone(module)
    copy.eval()
    graph, params, others = nnx.split(copy, nnx.Param, ...)
    return graph, params, others


def _names(params: Any) -> tuple[tuple[str, ...], ...]:
    # the last part of a path says that a variable has a value
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    return tuple(tuple(str(part.key) for part in path if hasattr(part, "key")) for path in paths)


def _nested(params: Any) -> Params:
    return traverse_util.unflatten_dict(dict(zip(_names(params), jax.tree.leaves(params), strict=True)))
