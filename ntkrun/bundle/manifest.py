"""What a bundle holds: for the person who makes it, for the machine that it comes to."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ntkrun.bundle.images import Used
from ntkrun.bundle.target import Target
from ntkrun.bundle.wheels import Closure
from ntkrun.errors import UserError
from ntkrun.runner.data_sets import fingerprint_here
from ntkrun.runner.plan import Cell
from ntkrun.runner.store import cell_file

MB = 1e6


@dataclass
class Sizes:
    """Bytes by part, held against the limit in MB (None: none)."""

    limit: float | None
    parts: dict[str, int] = field(default_factory=dict)

    def add(self, part: str, size: int) -> None:
        """Note a part; UserError when what is there by now is too much."""
        if size:
            self.parts[part] = size
        self._check({})

    def expect(self, parts: Mapping[str, float]) -> None:
        """UserError when these, too, would be too much."""
        self._check(parts)

    def _check(self, expected: Mapping[str, float]) -> None:
        if self.limit is None or sum(self.parts.values()) + sum(expected.values()) <= MB * self.limit:
            return
        known = [f"{part} {size / MB:.3g} MB" for part, size in self.parts.items()]
        known += [f"{part} at least {size / MB:.3g} MB" for part, size in expected.items()]
        raise UserError(
            f"the bundle is larger than limit_mb={self.limit:g} with {', '.join(known)}: bundle fewer experiments or cells, "
            "list in target=... what the machine has, or raise limit_mb"
        )

    def __str__(self) -> str:
        whole = {**self.parts, "all": sum(self.parts.values())}
        return "\n".join(f"  {size / MB:9.3f} MB  {part}" for part, size in whole.items())


def manifest(
    folder: Path,
    cells: Sequence[tuple[str, Cell]],
    command: Sequence[str],
    target: Target,
    used: Sequence[Used],
    closure: Closure,
    code: Mapping[str, Any],
) -> str:
    """The text of manifest.json for what lies in `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    described = {
        "code": code,
        "command": ["ntkrun", *command],
        "scale": cells[0][1].settings.scale,
        "target": {"python": target.python, "platform": target.platform, "packages_listed": len(target.packages)},
        "cells": [
            {"experiment": name, "cell": cell.name, "config_hash": cell.config_hash, "file": _file(cell)}
            for name, cell in cells
        ],
        "images": [
            {key: getattr(one.images, key) for key in ("name", "requested", "source", "fingerprint")}
            | {split: {"carried": len(one.rows[split]), "of": total} for split, total in one.totals.items()}
            for one in used
        ],
        "wheels": {wheel.name: str(wheel.version) for wheel in closure.wheels},
        "replaced": closure.replaced,
        "bytes": sum(map(len, content.values())),
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in content.items()
        },
    }
    return json.dumps(described, indent=1)


def _file(cell: Cell) -> str:
    return cell_file(cell.config_hash, fingerprint_here(cell))
