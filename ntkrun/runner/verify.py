"""Every stored table against its recorded hash, its schema and its name; computes and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

from ntkrun.errors import ComputeForbiddenError, UserError
from ntkrun.runner.store import Store, cell_file, read_table


def faults(store: Store) -> Iterator[tuple[Path, str]]:
    """(table, what is wrong with it, "" when nothing) of all cells and reports of an experiment at one scale.

    Raises ComputeForbiddenError when there is none.
    """
    cells, reports = (
        store.tables(),
        [*store.folder.glob("table.parquet"), *sorted(store.folder.glob("*/table.parquet"))],
    )
    if not cells and not reports:
        raise ComputeForbiddenError(f"there is no table in {store.folder} to verify{store.what_is_shipped()}")
    for path in cells:
        yield path, _fault(path, is_cell=True)
    for path in reports:
        yield path, _fault(path, is_cell=False)


def _fault(path: Path, *, is_cell: bool) -> str:
    try:
        _, facts = read_table(path)
    except UserError as error:
        return str(error)
    expected = cell_file(str(facts.get("config_hash")), str(facts.get("data_fingerprint")))
    if is_cell and path.name != expected:
        return f"{path} holds the cell {expected}, not the one that it is named after; remove it and run again"
    return ""
