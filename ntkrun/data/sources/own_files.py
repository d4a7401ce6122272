"""Arrays from a file of the user's: an .npz archive, or a .parquet table with an example a row.  Nothing is unpickled.

.npz       x_train, y_train, x_test, y_test, or x, y without a split; class_names may be beside them
.parquet   y, and x (lists of numbers) or a column for each coordinate; split, with the words train and test, may be beside
           them; an index of pandas is left out
"""

import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ntkrun.errors import UserError
from ntkrun.types import NumpyArray

WHOLE, SPLIT, NAMES = ("x", "y"), ("x_train", "y_train", "x_test", "y_test"), "class_names"
Arrays = dict[str, NumpyArray]


def read_arrays(file: Path) -> Arrays:
    """Arrays by their names: those of WHOLE or of SPLIT, and NAMES where the file has it.

    Raises:
        UserError: naming the file and what of it is not so.
    """
    readers = {".npz": _npz, ".parquet": _parquet}
    if file.suffix not in readers:
        raise UserError(f"data.path={file}: name a file that ends in {' or '.join(readers)}")
    try:
        return readers[file.suffix](file)
    except UserError as error:
        raise UserError(f"data.path={file}: {error}") from error
    # NumPy, zipfile and Arrow each raise their own kinds over the same cause: a file that is not what its name says
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"data.path={file} cannot be read ({reason}): save arrays of numbers in it") from error


def _npz(file: Path) -> Arrays:
    if not zipfile.is_zipfile(file):
        raise UserError("it is no .npz archive: write it with numpy.savez")
    with np.load(file, allow_pickle=False) as archive:
        there = set(archive.files)
        wanted = SPLIT if there & set(SPLIT) else WHOLE
        if not set(wanted) <= there or there - {*wanted, NAMES}:
            raise UserError(
                f"it holds {', '.join(sorted(there)) or 'nothing'}: it needs {', '.join(SPLIT)}, or {' and '.join(WHOLE)}, and "
                f"may have {NAMES}, nothing else"
            )
        return {name: _plain(archive, name) for name in archive.files}


def _plain(archive: np.lib.npyio.NpzFile, name: str) -> NumpyArray:
    try:
        return archive[name]
    except ValueError as error:  # what has to be unpickled
        raise UserError(f"{name} holds Python objects, which are not read: save an array of numbers") from error


def _parquet(file: Path) -> Arrays:
    table = _without_index(pq.read_table(file))
    if "y" not in table.column_names or len(set(table.column_names)) < table.num_columns:
        raise UserError(f"its columns are {', '.join(table.column_names)}: it needs y, and x or others, each name once")
    columns = {name: _column(table[name], name) for name in table.column_names}
    split, y = columns.pop("split", None), columns.pop("y")
    if "x" in columns and len(columns) > 1:
        others = ", ".join(name for name in columns if name != "x")
        raise UserError(f"it has x and {others}: keep x, or a column for each coordinate")
    if not columns:
        raise UserError("it has no inputs: add x, or a column for each coordinate")
    if words := [name for name, column in columns.items() if column.dtype.kind not in "iuf"]:
        raise UserError(f"column {words[0]} holds no numbers: leave it out, or encode it")
    x = columns["x"] if "x" in columns else np.stack(list(columns.values()), axis=-1)
    if split is None:
        return {"x": x, "y": y}
    if set(split.tolist()) != {"train", "test"}:
        words = ", ".join(sorted(map(str, set(split.tolist())))[:5])
        raise UserError(f"split holds {words}: it must be train or test in every row, and both must be there")
    return {
        f"{name}_{part}": array[split == part] for name, array in (("x", x), ("y", y)) for part in ("train", "test")
    }


def _without_index(table: pa.Table) -> pa.Table:
    """Without the columns that pandas has written of an index, of rows that were chosen or shuffled, say: they are no inputs."""
    index = {name for name in (table.schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)}
    kept = [place for place, name in enumerate(table.column_names) if name not in index - {"x", "y", "split"}]
    return table.select(kept) if len(kept) < table.num_columns else table


def _column(column: pa.ChunkedArray, name: str) -> NumpyArray:
    """Numbers or words, with an axis for each level of lists."""
    array, sizes = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type), []
    while True:
        if array.null_count:
            raise UserError(f"column {name} has {array.null_count} empty entries: fill them, or leave these rows out")
        kind = array.type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
            break
        lengths = pc.call_function("list_value_length", [array]).unique().to_pylist()
        if len(lengths) > 1:
            raise UserError(f"the lists of column {name} have {len(lengths)} lengths: they must have one")
        sizes.extend(lengths)
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False).reshape(len(column), *sizes)
