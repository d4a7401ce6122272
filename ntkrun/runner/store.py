"""The only writer of results: one parquet per cell, found again by the hash of what determined its numbers.

results/<scale>/<experiment>/cells/<config hash>-<data fingerprint>.parquet   one cell, provenance in its metadata
                               <same name>.lock, .checkpoints/       while the cell runs
results/<scale>/<experiment>/log/<cell>-<same name>.csv   what `log` writes while it computes (`following`)
results/<scale>/<experiment>/<run>/table.parquet, figure.png, figure.pdf, claims.json, ...   made by the report of a run
results/reference/<scale>/<experiment>/...   the shipped results: read, never written

Runs of one experiment share its cells, and each has a report of its own (`settings.variant`).  Every file is there whole
or not at all (`files`), and every table carries the hash of its content.
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
from ntkrun.settings.variant import DEFAULT, demo_of
from ntkrun.tables import conform, settings_columns

METADATA = b"ntkrun"
HASH = b"ntkrun_sha256"
SETTINGS = "settings_columns"
READ_ONLY = "READ_ONLY"  # the file by which the folder of the shipped results is known
REFERENCE = "reference"  # that folder, inside the results of a checkout
TEXT = str(pd.Series(dtype="str").dtype)  # pandas 3 has a type of its own for it
NO_IMAGES = "no-image"  # in place of a data fingerprint


def cell_file(config_hash: str, fingerprint: str) -> str:
    """Name of the table of a cell: its identity."""
    return f"{config_hash}-{fingerprint[:8]}.parquet"


def is_shipped(folder: Path) -> bool:
    """Whether a folder lies among the shipped results."""
    return any((path / READ_ONLY).is_file() for path in (folder.resolve(), *folder.resolve().parents))


def shipped_beside(at_scale: Path) -> Path | None:
    """The shipped results of a scale that are in the same results_dir as the user's own."""
    reference = at_scale.parent / REFERENCE
    return reference / at_scale.name if (reference / READ_ONLY).is_file() else None


def refuse_shipped(folder: Path, setting: str = "results_dir") -> None:
    """UserError for a folder among the shipped results, which nobody writes to; `setting` is what names it."""
    if is_shipped(folder):
        raise UserError(f"{folder} holds the shipped results, which no run changes: choose another {setting}=...")


class Store:
    """The folder of one experiment at one scale; its cells may be those of another experiment.

    `run` names the report.  Cells are looked for in results_dir and then, where there is one, in its folder of shipped
    results.
    """

    def __init__(
        self, results_dir: str | Path, scale: str, experiment: str, cells_of: str = "", run: str = DEFAULT
    ) -> None:
        root, computed_by = Path(results_dir).expanduser(), cells_of or experiment
        self.at_scale = root / scale
        self.folder = self.at_scale / experiment
        self.cells = self.at_scale / computed_by / "cells"
        self.run = run
        shipped = shipped_beside(self.at_scale)
        self.shipped_folder = shipped / experiment if shipped else None
        self._pools = [self.cells, *([shipped / computed_by / "cells"] if shipped else [])]
        self._made: list[Path] = []  # folders of this process, the innermost first

    def prepare(self) -> None:
        """Make the folders and prove that they can be written to; UserError otherwise."""
        refuse_shipped(self.at_scale)
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

    def tables(self) -> list[Path]:
        """The tables of all cells, the user's own and then the shipped ones that are not among them."""
        found = {path.name: path for pool in reversed(self._pools) for path in sorted(pool.glob("*.parquet"))}
        return sorted(found.values(), key=lambda path: (path.parent != self.cells, path.name))

    def found(self, cell: Cell, fingerprint: str) -> Path | None:
        """The stored table of this cell on the images of this fingerprint."""
        return self.named(cell_file(cell.config_hash, fingerprint))

    def named(self, file: str) -> Path | None:
        """The stored table of this name."""
        return next((pool / file for pool in self._pools if (pool / file).exists()), None)

    def has(self, cell: Cell, fingerprint: str) -> bool:
        """Whether a table of this cell on these images is there."""
        return self.found(cell, fingerprint) is not None

    def variants(self, cell: Cell) -> dict[str, Path]:
        """The stored tables of this cell, by the first digits of the fingerprint of the images that each came from."""
        stored: dict[str, Path] = {}
        for pool in self._pools:
            for path in sorted(pool.glob(f"{cell.config_hash}-*.parquet")):
                stored.setdefault(path.stem.removeprefix(f"{cell.config_hash}-"), path)
        return stored

    def is_shipped(self, path: Path) -> bool:
        """Whether a table is one of the shipped results."""
        return path.parent in self._pools[1:]

    def what_is_shipped(self) -> str:
        """The end of the line that says that nothing is stored."""
        if self.shipped_folder and (self.shipped_folder / "provenance.json").is_file():
            return f": of it {self.shipped_folder} holds the report alone, not the cells; run with stage=all first"
        return ": run with stage=all first"

    def report(self, *, stand_in: bool) -> Path:
        """The folder of this run's report; one that was drawn from stand-in images has its own."""
        return self.folder / (demo_of(self.run) if stand_in else self.run)

    def lock(self, path: Path) -> Lock:
        """The lock of the process that computes the cell of this path."""
        return Lock(path.with_suffix(".lock"))

    def checkpoints(self, path: Path) -> Path:
        """The folder of the checkpoints of the cell of this path, while it runs."""
        return path.with_suffix(".checkpoints")

    @property
    def logs(self) -> Path:
        """The folder of what is written while cells are computed, whichever figure draws them."""
        return self.cells.parent / "log"

    def report_lock(self, folder: Path) -> Lock:
        """The lock of the process that writes figure, claims and merged table to `folder`, which belong together."""
        return Lock(folder / "report.lock")

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
