"""A user's own Flax module as a network of ours: built from settings, and checked for what the rivals need of it."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntkrun.errors import UserError, in_one_line
from ntkrun.models import declarations
from ntkrun.settings.custom_source import load
from ntkrun.types import AnyArray, Params

NEEDED = (
    "__call__(self, x) for images x (n, height, width, channels), on `params` alone: without dropout or batch_stats"
)
BUILT_IN = {"trained": "all", "matmul": "as_dtype"}  # what a module without fields of these names does


def build_user_module(path: str, source: str, args: dict[str, Any], **offered: Any) -> nn.Module:
    """The module with the fields `args`, and those of `offered` (width, n_outputs, dtype, ...) that it has.

    Raises `UserError` for what is no linen module, for fields that it has not or lacks, and for a setting among
    `BUILT_IN` that it cannot follow.
    """
    kind = load(path, source)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise UserError(f"model.path={path} is no class derived from flax.linen.Module")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    fields = {name: field for name, field in fields.items() if name not in ("parent", "name")}
    if unknown := sorted(args.keys() - fields.keys()):
        raise UserError(f"model.args.{unknown[0]}: {kind.__name__} has no such field; it has {', '.join(fields)}")
    for name, usual in BUILT_IN.items():
        if name not in fields and offered.get(name, usual) != usual:
            raise UserError(
                f"{name}={offered[name]} needs a field `{name}: str` in {kind.__name__}, "
                f"used as ntkrun.models.layers does; without one there is {name}={usual}"
            )
    given = {name: value for name, value in offered.items() if name in fields and value is not None} | args
    missing = (dataclasses.MISSING, dataclasses.MISSING)
    for name, field in fields.items():
        if name not in given and (field.default, field.default_factory) == missing:
            raise UserError(f"model.args.{name} is not set, and {kind.__name__} has no default for it")
    return _constructed(kind, given)


def _constructed(kind: type[nn.Module], given: dict[str, Any]) -> nn.Module:
    try:
        model = kind(**given)
        hash(model)
    except Exception as error:
        raise UserError(f"{kind.__name__}({_listed(given)}) fails with {in_one_line(error)}") from error
    declared = declarations.of(model)
    if declared.parameterization not in ("ntk", "standard"):
        raise UserError(
            f"{kind.__name__}.parameterization={declared.parameterization!r} must be ntk or standard: it decides eta_0 or "
            "eta_0/n"
        )
    if declared.parameterization == "standard" and not declared.width:
        raise UserError(
            f"{kind.__name__} needs a field `width`: its standard parameterization steps with eta_0 / width"
        )
    return model


def check_user_module(model: nn.Module, x: AnyArray | jax.ShapeDtypeStruct, k: int) -> None:
    """UserError, naming what to write, unless f(params, x) is (n, k) for these images; from shapes alone."""
    name = type(model).__name__
    image, dtype = tuple(x.shape[1:]), x.dtype
    two = jax.ShapeDtypeStruct((2, *image), dtype)

    def outputs(images: Any) -> tuple[Params, Any]:
        params: Any = model.init(jax.random.key(0), images).get("params", {})
        return params, model.apply({"params": params}, images)

    try:
        params, f = jax.eval_shape(outputs, two)
    except Exception as error:
        raise UserError(
            f"{name} does not run on images of shape {image}: {in_one_line(error)}; it needs {NEEDED}"
        ) from error
    if not params:
        raise UserError(f"{name} has no parameters: make them by layers in an `@nn.compact` __call__, or by self.param")
    if getattr(f, "shape", None) != (2, k) or not jnp.issubdtype(f.dtype, jnp.floating):
        returned = getattr(f, "shape", type(f).__name__)
        raise UserError(
            f"{name} returns {returned} for 2 images and k = {k} outputs: it must be (2, {k}); give it a field "
            "`n_outputs: int`, which is set to k, for the features of its last layer"
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        where = jax.tree_util.keystr(path)
        if not all(hasattr(part, "key") for part in path) or not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise UserError(f"{name}: params{where} must be an array of real numbers in nested dicts")


def _listed(given: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in given.items())
