"""Cells that failed: what is known of them stands beside the cells, and goes when they are stored.

<cell>.failed.json   the cell's name, why it failed, and the code, packages and device it failed with

A cell that diverged would diverge again: it is not computed anew before the code, the packages or the device are others, or
`retry=true` asks for it.  Whatever else went wrong (memory, a bug, a file) may be over: the next run tries again, with
the cells that have not failed first.
"""

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ntkrun.errors import NonFiniteError, UserError
from ntkrun.runner.files import write_bytes
from ntkrun.runner.plan import Cell
from ntkrun.runner.provenance import code_version, versions_and_device
from ntkrun.runner.store import Store

SUFFIX = ".failed.json"


@dataclass(frozen=True)
class Failure:
    """Why a cell has no table.

    cell           its name in the run in which it failed
    why            one line
    deterministic  whether the same code on the same device will fail again
    made_by        code, packages and device
    """

    cell: str
    why: str
    deterministic: bool
    made_by: dict[str, Any]

    def stands(self, devices: Any) -> bool:
        """Whether to compute it again is of no use; of changed code nobody knows."""
        return self.deterministic and not self.made_by["code"]["dirty"] and self.made_by == _made_by(devices)


def failure_of(cell: Cell, error: Exception) -> Failure:
    why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    line = _unnamed(" ".join(why.split()), cell.name)[:300]
    return Failure(cell.name, line, isinstance(error, NonFiniteError), _made_by(cell.settings.devices))


def _unnamed(why: str, cell: str) -> str:
    """Without the experiment and the cell, which stand in front of the reason wherever it is told: a cell is stored under its
    settings, and another run may call it by another name."""
    return re.sub(rf"^\w+ {re.escape(cell)}: ", "", why)


def write_failure(table: Path, failure: Failure) -> None:
    """Beside where the cell's table would be; the caller holds the cell's lock."""
    write_bytes(table.with_suffix(SUFFIX), json.dumps(asdict(failure), indent=1).encode())


def read_failure(table: Path) -> Failure | None:
    """The one beside this table; None without one, or with a file that is none of ours."""
    try:
        found = Failure(**json.loads(table.with_suffix(SUFFIX).read_text()))
        _ = found.made_by["code"]["dirty"]
        found = replace(found, why=_unnamed(found.why, found.cell))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return found


def remove_failure(table: Path) -> None:
    """Where it can be removed: beside a stored table nobody reads it, and one of bad input holds no later run back."""
    with contextlib.suppress(OSError):
        table.with_suffix(SUFFIX).unlink(missing_ok=True)


def failed_cells(store: Store, cells: Sequence[Cell]) -> dict[str, str]:
    """Of the cells that have failed and are not stored: name -> why."""
    found = {}
    for cell in cells:
        for path in sorted(store.cells.glob(f"{cell.config_hash}-*{SUFFIX}")):
            table = path.with_name(path.name.removesuffix(SUFFIX) + ".parquet")
            if store.named(table.name) is None and (failure := read_failure(table)) is not None:
                found[cell.name] = failure.why
    return found


def _made_by(devices: Any) -> dict[str, Any]:
    return {"code": code_version(), **versions_and_device(devices)}
