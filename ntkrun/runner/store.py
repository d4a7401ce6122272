"""The only writer of results: one parquet per cell, found again by the hash of what determined its numbers.

results/<scale>/<experiment>/cells/<config hash>-<data fingerprint>.parquet   one cell, provenance in its metadata
results/<scale>/<experiment>/table.parquet, figure.png, figure.pdf, claims.json, provenance.json   made by the report

Every file is written beside its place, flushed to the disk and then renamed: it is there whole or not at all.
"""

import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ntkrun.errors import UserError
from ntkrun.runner.plan import Cell
from ntkrun.tables import conform

METADATA = b"ntkrun"
NO_IMAGES = "no-image"  # in place of a data fingerprint


class Store:
    """The folder of one experiment at one scale."""

    def __init__(self, results_dir: str | Path, scale: str, experiment: str) -> None:
        self.folder = Path(results_dir).expanduser() / scale / experiment
        self.cells = self.folder / "cells"

    def prepare(self) -> None:
        """Make the folders and prove that they can be written to; UserError otherwise."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            probe = self.cells / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"results cannot be written to {self.folder} ({error.strerror}); choose another results_dir=..."
            ) from error

    def cell_path(self, cell: Cell, fingerprint: str) -> Path:
        return self.cells / f"{cell.config_hash}-{fingerprint[:8]}.parquet"

    def stored(self, cell: Cell, source: str = "auto") -> tuple[pd.DataFrame, dict[str, Any]] | None:
        """A stored table of this cell whatever images it came from: real ones before stand-ins, the newest first.

        `source` narrows the choice as the setting data.source does.
        """
        found = [read_table(path) for path in sorted(self.cells.glob(f"{cell.config_hash}-*.parquet"))]
        wanted = {"auto": ("tfds", "stand_in", "none"), "tfds": ("tfds",), "stand_in": ("stand_in",)}[source]
        found = [(table, facts) for table, facts in found if facts.get("data_source", wanted[0]) in wanted]
        if not found:
            return None
        return max(found, key=lambda pair: (pair[1].get("data_source") == "tfds", pair[1].get("finished", "")))

    def write_cell(self, cell: Cell, fingerprint: str, table: pd.DataFrame, facts: dict[str, Any]) -> Path:
        path = self.cell_path(cell, fingerprint)
        write_bytes(path, parquet_bytes(table, facts))
        return path


def parquet_bytes(table: pd.DataFrame, facts: dict[str, Any]) -> bytes:
    """The table as parquet with `facts` (JSON) in its metadata."""
    arrow = pa.Table.from_pandas(conform(table), preserve_index=False)
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), METADATA: json.dumps(facts).encode()})
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer, compression="zstd")
    return buffer.getvalue()


def read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table and its facts; UserError naming the file when it is damaged or not ours."""
    try:
        arrow = pq.read_table(path)
        facts = json.loads((arrow.schema.metadata or {})[METADATA])
        return conform(arrow.to_pandas()), facts
    except (OSError, pa.ArrowException, KeyError, ValueError, UserError) as error:
        reason = " ".join(str(error).split())[:80]
        raise UserError(f"{path} is not a readable table of ntkrun ({reason}); remove it and run again") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"cannot write {path} ({error.strerror}); choose another results_dir=...") from error
