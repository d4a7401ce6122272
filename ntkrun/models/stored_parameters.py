"""Parameters from a file: a safetensors file or the folder of an Orbax checkpoint, both of arrays and nothing else.

An array goes by the path of its parameter: "Dense_0/kernel" or "params.Dense_0.kernel", parts divided by slashes or dots.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.errors import UserError, in_one_line
from ntkrun.models.functions import WRITTEN
from ntkrun.models.parameters import named_leaves
from ntkrun.types import NumpyArray

Name = tuple[str, ...]


def read(file: str) -> dict[Name, NumpyArray]:
    """Its arrays by name.  Raises `UserError` for what cannot be read."""
    path = Path(file).expanduser()
    try:
        if path.is_dir():
            return {name: np.asarray(leaf) for name, leaf in named_leaves(_checkpoint(path)).items()}
        from safetensors.numpy import load_file

        return {tuple(name.replace("/", ".").split(".")): array for name, array in load_file(path).items()}
    except Exception as error:
        raise UserError(
            f"model.parameters={file} cannot be read ({in_one_line(error)}): name a safetensors file or the folder of an Orbax "
            "checkpoint"
        ) from error


def _checkpoint(path: Path) -> Any:
    import orbax.checkpoint as ocp  # takes a second

    with ocp.PyTreeCheckpointer() as checkpointer:
        tree: Any = checkpointer.metadata(path.absolute()).item_metadata.tree
        # as they are, whatever devices they were written from
        plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return checkpointer.restore(path.absolute(), restore_args=plain)


def merged(variables: dict[str, Any], stored: dict[Name, NumpyArray], file: str) -> tuple[dict[str, Any], list[str]]:
    """(the variables with the stored arrays in their places, what to tell the user).

    All parameters have to be there, and no others; collections beside them that are not there stay as they were drawn.
    Raises `UserError` for other names or shapes.
    """
    wanted = {name: leaf for name, leaf in named_leaves(variables).items() if name[0] not in WRITTEN}
    places = {_bare(name[1:]): name for name in wanted} | {_bare(name): name for name in wanted}
    with_collections = any(name[0] == "params" for name in stored)  # beside which an optimizer may have left its state
    unknown = [name for name in stored if _bare(name) not in places and (name[0] == "params" or not with_collections)]
    if unknown:
        raise UserError(f"model.parameters={file} has {'/'.join(unknown[0])}, which the network has not")
    found = {places[_bare(name)]: array for name, array in stored.items() if _bare(name) in places}
    if lacking := [name for name in wanted if name[0] == "params" and name not in found]:
        raise UserError(
            f"model.parameters={file} has no {'/'.join(lacking[0][1:])}, which the network has; it has "
            f"{', '.join('/'.join(name) for name in list(stored)[:5])}{', ...' if len(stored) > 5 else ''}"
        )
    drawn = dict.fromkeys("/".join(_bare(name)) for name in wanted if name not in found)
    notes = [f"model.parameters={file} has no {name}: it stays as the network draws it" for name in drawn]
    return _replaced(variables, found, file), notes


def _bare(name: Name) -> Name:
    """Checkpoints of NNX modules have "value" behind the name of a variable."""
    return name[:-1] if len(name) > 1 and name[-1] == "value" else name


def _replaced(variables: dict[str, Any], found: dict[Name, NumpyArray], file: str) -> dict[str, Any]:
    names, (leaves, structure) = list(named_leaves(variables)), jax.tree.flatten(variables)
    for place, name in enumerate(names):
        if name not in found:
            continue
        array, leaf = found[name], leaves[place]
        if array.shape != leaf.shape:
            raise UserError(
                f"model.parameters={file} has {'/'.join(name[1:])} of shape {array.shape}, and the network of {leaf.shape}"
            )
        leaves[place] = jnp.asarray(array, leaf.dtype)
    return jax.tree.unflatten(structure, leaves)
