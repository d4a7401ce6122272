"""Every stored table against its recorded hash, its schema and its name; computes and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

from ntkrun.errors import UserError
from ntkrun.runner.store import Store, cell_file, read_table


def faults(store: Store) -> Iterator[tuple[Path, str]]:
    """(table, what is wrong with it, "" when nothing) of all tables in the folder of an experiment at one scale.

    Raises UserError when there is none.
    """
    paths = [*sorted(store.cells.glob("*.parquet")), *store.folder.glob("table.parquet")]
    if not paths:
        raise UserError(f"there is no table in {store.folder} to verify: run with stage=all first")
    for path in paths:
        yield path, _fault(path, is_cell=path.parent == store.cells)


def _fault(path: Path, *, is_cell: bool) -> str:
    try:
        _, facts = read_table(path)
    except UserError as error:
        return str(error)
    expected = cell_file(str(facts.get("config_hash")), str(facts.get("data_fingerprint")))
    if is_cell and path.name != expected:
        return f"{path} holds the cell {expected}, not the one that it is named after; remove it and run again"
    return ""
