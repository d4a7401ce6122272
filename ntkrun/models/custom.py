"""A user's own network from settings: built from what `model.path` names, and checked for what the rivals need of it.

It names a class of linen or NNX modules, a linen module, a function that makes one of these, or a pair (init, f) of functions
init(key, x) -> params and f(params, x) -> outputs.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn

from ntkrun.errors import UserError, did_you_mean, in_one_line
from ntkrun.models import declarations
from ntkrun.models.constants import NOTHING, Constants
from ntkrun.models.declarations import Declaration
from ntkrun.models.functions import Function, LinenFunction, Model, PlainFunction, is_nnx
from ntkrun.models.parameterizations import NAMES
from ntkrun.settings.custom_source import load

BUILT_IN = {"trained": "all", "matmul": "as_dtype"}  # what a module without fields of these names does
OF_FLAX = ("parent", "name", "rngs", "self")  # arguments of every module, which are no fields of the user's
OUTPUTS_HINT = " (k, the number of outputs, is set by itself where the field is called n_outputs)"
WANTED = "a linen or NNX module, a function that makes one, or a pair (init, f) with init(key, x) and f(params, x)"


def build_user_module(
    path: str,
    source: str,
    args: dict[str, Any],
    arguments: dict[str, Any] | None = None,
    output: int | str | None = None,
    **offered: Any,
) -> Model:
    """The network with the fields `args`, and those of `offered` (width, n_outputs, dtype, ...) that it has.

    arguments  of its call beside the images
    output     which of several outputs is meant, None where there is one

    Raises `UserError` for what is no network, for fields and arguments that it has not or lacks, and for a setting among
    `BUILT_IN` that it cannot follow.
    """
    named = load(path, source)
    if isinstance(named, nn.Module) or _is_pair(named):
        made, fields, given = named, {}, {}
        _check_fields(type(named).__name__, fields, args, offered)
    elif is_nnx(named):
        raise UserError(f"model.path={path} is a drawn module: name its class, or a function of rngs that makes it")
    elif callable(named):
        fields = _fields(path, named)
        _check_fields(_name(named), fields, args, offered)
        given = {name: value for name, value in offered.items() if name in fields and value is not None} | args
        _check_complete(named, fields, given)
        made = _made(named, given)
    else:
        raise UserError(f"model.path={path} is {type(named).__name__}, no network: it has to be {WANTED}")
    called = Constants(arguments or {})
    if isinstance(made, nn.Module):
        return _linen(made, called, output, _width_of(named, given))
    if _is_pair(made):
        _check_init(made[0])
        _check_call(made[1], 2, called.value)
        return PlainFunction(made[1], made[0], called, output, _declared(named, given))
    if is_nnx(made):
        return _nnx(partial(named, **given), called, output, _declared(named, given))
    raise UserError(f"{_name(named)} returns {type(made).__name__}, no network: it has to return {WANTED}")


def _fields(path: str, named: Callable[..., Any]) -> dict[str, bool]:
    """Name -> whether it has a default."""
    if isinstance(named, type) and issubclass(named, nn.Module):
        missing = (dataclasses.MISSING, dataclasses.MISSING)
        found = {f.name: (f.default, f.default_factory) != missing for f in dataclasses.fields(named) if f.init}
    else:
        try:
            parameters = _signature(named).values()
        except (TypeError, ValueError) as error:
            raise UserError(f"model.path={path} is {_name(named)}, no network: it has to be {WANTED}") from error
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        found = {p.name: p.default is not p.empty for p in parameters if p.kind not in kinds}
    return {name: has_default for name, has_default in found.items() if name not in OF_FLAX}


def _signature(named: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    # classes of NNX are called through their metaclass, which tells no arguments
    return inspect.signature(named.__init__ if isinstance(named, type) else named).parameters


def _check_fields(name: str, fields: dict[str, bool], args: dict[str, Any], offered: dict[str, Any]) -> None:
    if unknown := sorted(args.keys() - fields.keys()):
        there = ", ".join(fields) or "none"
        hint = did_you_mean(unknown[0], fields) or ";"
        raise UserError(f"model.args.{unknown[0]}: {name} has no such field{hint} it has {there}")
    for setting, usual in BUILT_IN.items():
        if setting not in fields and offered.get(setting, usual) != usual:
            raise UserError(
                f"{setting}={offered[setting]} needs a field `{setting}: str` in {name}, "
                f"used as ntkrun.models.layers does; without one there is {setting}={usual}"
            )


def _check_complete(named: Callable[..., Any], fields: dict[str, bool], given: dict[str, Any]) -> None:
    lacking = [name for name, has_default in fields.items() if not has_default and name not in given]
    if not isinstance(named, type) and len(lacking) == 2 and lacking == list(fields)[:2]:
        raise UserError(
            f"{_name(named)}({', '.join(fields)}) makes no network of settings: a function f(params, x) is named together "
            "with its init, as a pair: network = (init, f), and model.path=module:network"
        )
    if lacking:
        more = f", and likewise {', '.join(lacking[1:])}" if lacking[1:] else ""
        raise UserError(
            f"model.args.{lacking[0]} is not set, and {_name(named)} has no default for it: add model.args.{lacking[0]}=64, "
            f"say{more}{OUTPUTS_HINT if 'n_outputs' not in fields else ''}"
        )


def _made(named: Callable[..., Any], given: dict[str, Any]) -> Any:
    """What it makes of these fields; an NNX module of shapes."""
    try:
        if "rngs" in _signature(named):
            from ntkrun.models.nnx_functions import abstract

            return abstract(partial(named, **given))
        return named(**given)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{_name(named)}({_listed(given)}) fails with {in_one_line(error)}") from error


def _linen(module: nn.Module, arguments: Constants, output: int | str | None, width: int) -> Model:
    name = type(module).__name__
    if not any("__call__" in vars(kind) for kind in type(module).__mro__):
        raise UserError(f"{name} has no __call__(self, x): it is what gives the outputs of inputs x")
    _check_call(type(module).__call__, 2, arguments.value)
    try:
        lists = {
            f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.init and f.name not in OF_FLAX
        }
        module = module.clone(**{key: _tuples(value) for key, value in lists.items() if isinstance(value, list)})
        hash(module)
    except Exception as error:
        raise UserError(f"a field of {name} fails with {in_one_line(error)}") from error
    declared = declarations.of(module)
    made_of = 0 if declared.width else width  # of the function that made it
    if declared.parameterization not in NAMES:
        raise UserError(
            f"{name}.parameterization={declared.parameterization!r} must be ntk, standard or mup: it decides eta_0, eta_0/n or "
            "eta_0 n"
        )
    if declared.parameterization != "ntk" and not (declared.width or made_of):
        rate = "eta_0 / width" if declared.parameterization == "standard" else "eta_0 width"
        raise UserError(
            f"{name} needs a field `width`: its {declared.parameterization} parameterization steps with {rate}"
        )
    if arguments == NOTHING and output is None and not made_of:
        return module
    return LinenFunction(module, arguments, output=output, width=made_of)


def _nnx(make: Callable[..., Any], arguments: Constants, output: int | str | None, declared: Declaration) -> Function:
    from ntkrun.models.nnx_functions import Maker, abstract, nnx_function

    if isinstance(make, partial) and "rngs" not in _signature(make.func):
        raise UserError(
            f"{_name(make.func)} draws its parameters by no rngs: give its __init__ the argument `rngs`, of nnx.Rngs"
        )
    module = abstract(make)
    _check_call(type(module).__call__, 2, arguments.value)
    maker = Maker(make.func, Constants(make.keywords)) if isinstance(make, partial) else make
    return nnx_function(module, arguments, output, maker, declared)[0]


def _check_call(call: Callable[..., Any], before: int, arguments: dict[str, Any]) -> None:
    """UserError unless a call takes these arguments behind the first ones (self and x, or params and x), and needs no more."""
    parameters = list(inspect.signature(call).parameters.values())
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if len(parameters) < before:
        raise UserError(
            f"{getattr(call, '__qualname__', 'the function')} takes no inputs x: they are its argument {before}"
        )
    further = {p.name: p.default is not p.empty for p in parameters[before:] if p.kind not in kinds}
    name = getattr(call, "__qualname__", "the function").removesuffix(".__call__")
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    if not takes_any and (unknown := sorted(arguments.keys() - further.keys())):
        there = f"it takes {', '.join(further)}" if further else "it takes none beside the images"
        raise UserError(f"model.apply_arguments.{unknown[0]}: {name} has no such argument; {there}")
    for argument, has_default in further.items():
        if not has_default and argument not in arguments:
            raise UserError(f"{name} is called with {argument}: set model.apply_arguments.{argument}=false, say")


def _check_init(init: Callable[..., Any]) -> None:
    """UserError unless the first of a pair can be called with a key and inputs."""
    try:
        inspect.signature(init).bind(None, None)
    except TypeError as error:
        raise UserError(
            f"{_name(init)}, which draws the parameters of the pair (init, f), is called as init(key, x): {error}; let it take "
            "both, x for its shape"
        ) from error
    except ValueError:  # a built-in function, which tells no arguments
        return


def _declared(named: Any, given: dict[str, Any]) -> Declaration:
    return Declaration(width=_width_of(named, given), tapped=False)


def _width_of(named: Any, given: dict[str, Any]) -> int:
    """n of what is made with these arguments, by that of this name or its default; 0 where there is none."""
    parameter = (
        _signature(named).get("width") if given or (callable(named) and not isinstance(named, nn.Module)) else None
    )
    width = given.get("width", None if parameter is None else parameter.default)
    return width if isinstance(width, int) else 0


def _is_pair(named: Any) -> bool:
    return isinstance(named, tuple | list) and len(named) == 2 and all(callable(one) for one in named)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _name(named: Any) -> str:
    return str(getattr(getattr(named, "func", named), "__name__", type(named).__name__))


def _listed(given: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in given.items())
