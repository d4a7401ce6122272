"""The only writer of results: one parquet per cell, found again by the hash of what determined its numbers.

results/<scale>/<experiment>/cells/<config hash>-<data fingerprint>.parquet   one cell, provenance in its metadata
                               <same name>.lock, .checkpoints/       while the cell runs
results/<scale>/<experiment>/table.parquet, figure.png, figure.pdf, claims.json, provenance.json   made by the report

Every file is there whole or not at all (`files`), and every table carries the hash of its content.
"""

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ntkrun.errors import UserError
from ntkrun.runner.files import remove_leftovers, write_bytes
from ntkrun.runner.lock import Lock
from ntkrun.runner.plan import Cell
from ntkrun.tables import conform, settings_columns

METADATA = b"ntkrun"
HASH = b"ntkrun_sha256"
SETTINGS = "settings_columns"
TEXT = str(pd.Series(dtype="str").dtype)  # pandas 3 has a type of its own for it
NO_IMAGES = "no-image"  # in place of a data fingerprint


def cell_file(config_hash: str, fingerprint: str) -> str:
    """Name of the table of a cell: its identity."""
    return f"{config_hash}-{fingerprint[:8]}.parquet"


class Store:
    """The folder of one experiment at one scale; its cells may be those of another experiment."""

    def __init__(self, results_dir: str | Path, scale: str, experiment: str, cells_of: str = "") -> None:
        at_scale = Path(results_dir).expanduser() / scale
        self.folder = at_scale / experiment
        self.cells = at_scale / (cells_of or experiment) / "cells"
        self._made: list[Path] = []  # folders of this process, the innermost first

    def prepare(self) -> None:
        """Make the folders and prove that they can be written to; UserError otherwise."""
        try:
            wanted = dict.fromkeys((self.cells, self.folder, *self.cells.parents))
            self._made = [path for path in wanted if not path.exists()] or self._made
            self.folder.mkdir(parents=True, exist_ok=True)
            self.cells.mkdir(parents=True, exist_ok=True)
            probe = self.cells / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"results cannot be written to {self.folder} ({error.strerror}); choose another results_dir=..."
            ) from error

    def take_back(self) -> None:
        """Remove what `prepare` made if nothing came into it; call it when a run ends in an error."""
        with contextlib.suppress(OSError):
            if self._made and [path.name for path in self.cells.iterdir()] == [".guard"]:
                (self.cells / ".guard").unlink()
            for path in self._made:
                path.rmdir()

    def cell_path(self, cell: Cell, fingerprint: str) -> Path:
        return self.cells / cell_file(cell.config_hash, fingerprint)

    def has(self, cell: Cell) -> bool:
        """Whether a table of this cell is there, whatever images it came from."""
        return any(self.cells.glob(f"{cell.config_hash}-*.parquet"))

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

    def lock(self, path: Path) -> Lock:
        """The lock of the process that computes the cell of this path."""
        return Lock(path.with_suffix(".lock"))

    def checkpoints(self, path: Path) -> Path:
        """The folder of the checkpoints of the cell of this path, while it runs."""
        return path.with_suffix(".checkpoints")

    def report_lock(self) -> Lock:
        """The lock of the process that writes figure, claims and merged table, which belong together."""
        return Lock(self.folder / "report.lock")

    def write_cell(self, cell: Cell, fingerprint: str, table: pd.DataFrame, facts: dict[str, Any]) -> Path:
        """Store a finished cell; the caller holds its lock."""
        path = self.cell_path(cell, fingerprint)
        remove_leftovers(path)
        write_bytes(path, parquet_bytes(table, facts))
        return path


def parquet_bytes(table: pd.DataFrame, facts: dict[str, Any]) -> bytes:
    """The table as parquet with `facts` (JSON) and the hash of both in its metadata.

    A table of several cells has columns that hold settings: the facts say which.
    """
    settings = settings_columns(table)
    facts = facts | {SETTINGS: settings} if settings else facts
    table, record = conform(table, settings), json.dumps(facts)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    ours = {METADATA: record.encode(), HASH: content_hash(table, record).encode()}
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **ours})
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer, compression="zstd")
    return buffer.getvalue()


def content_hash(table: pd.DataFrame, record: str) -> str:
    """sha256 over every column's name and values and over the facts, whatever the file around them looks like."""
    digest = hashlib.sha256(record.encode())
    for name in table.columns:
        digest.update(f"|{name}:{len(table)}|".encode())
        kind = str(table[name].dtype)
        if kind == TEXT:
            codes, texts = pd.factorize(table[name])
            digest.update(json.dumps(list(texts)).encode())
            values = codes.astype("<i8")
        else:
            values = table[name].to_numpy().astype("<i8" if kind == "int64" else "<f8")
            if values.dtype.kind == "f":  # parquet keeps one nan, not its bits
                values[np.isnan(values)] = np.nan
        digest.update(values.tobytes())
    return digest.hexdigest()


def read_table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table and its facts; UserError naming the file when it is damaged or not ours."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from error
    return table_of(content, str(path))


def table_of(content: bytes, where: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The same from the bytes of a file; `where` names it."""
    try:
        arrow = pq.ParquetFile(io.BytesIO(content)).read()
        metadata = arrow.schema.metadata or {}
        if METADATA not in metadata or HASH not in metadata:
            raise UserError("it does not carry ntkrun's record and hash")
        record = metadata[METADATA].decode()
        facts = json.loads(record)
        table = conform(arrow.to_pandas(), facts.get(SETTINGS, ()))
        if content_hash(table, record).encode() != metadata[HASH]:
            raise UserError("its content is not what was written: hashes differ")
        return table, facts
    # whatever a damaged file makes of the parquet reader, the answer is the same
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        raise UserError(f"{where} is not a readable table of ntkrun ({reason}); remove it and run again") from error
