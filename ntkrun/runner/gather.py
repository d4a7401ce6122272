"""The tables of several cells as one, which knows the settings in which the cells differ."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.experiments.base import Experiment
from ntkrun.runner.plan import Cell
from ntkrun.tables import COLUMNS

ALREADY_COLUMNS = {"seed": "seed", "model.width": "width", "model.args.width": "width"}


def together(experiment: Experiment, tables: Sequence[tuple[Cell, pd.DataFrame]]) -> pd.DataFrame:
    """One table, with a column for every setting that the cells sweep or that the experiment asks for, and for the part.

    A column has the dotted name of its setting and its numbers or, where they are no numbers, its values as they are typed.
    A cell that ran in another sweep goes by its name in this one.  Raises UserError for a table with curves that no run
    writes.
    """
    for cell, table in tables:
        unknown = set(table["curve"].unique()) - curves.ALL
        if unknown:
            raise UserError(
                f"the table of {cell.name} has the curve {sorted(unknown)[0]}, which ntkrun.experiments.curves does not "
                "declare: declare it there or, if the table is from before settings became columns, rename its curves by "
                "scripts/settings_as_columns.py of a checkout"
            )
    whole = pd.concat([table.assign(cell=cell.name) for cell, table in tables], ignore_index=True)
    cells, lengths = [cell for cell, _ in tables], [len(table) for _, table in tables]
    found = {name: [_value(cell.settings, name) for cell in cells] for name in _columns(experiment, cells)}
    if any(cell.part for cell in cells):
        found["part"] = [cell.part for cell in cells]
    return whole.assign(**{name: _typed(values).repeat(lengths).array for name, values in found.items()})


def _columns(experiment: Experiment, cells: Sequence[Cell]) -> list[str]:
    swept = dict.fromkeys(name for cell in cells for name in cell.swept)
    return [name for name in [*swept, *experiment.columns] if name not in {*ALREADY_COLUMNS, *COLUMNS}]


def _value(settings: Any, name: str) -> Any:
    """The value of a setting; None where these settings have none of that name."""
    for key in name.split("."):
        settings = settings.get(key) if isinstance(settings, dict) else getattr(settings, key, None)
    return settings


def _typed(values: list[Any]) -> pd.Series:
    """Numbers as they are, else words as they are typed."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return pd.Series(values)
    return pd.Series([value if isinstance(value, str) else json.dumps(value) for value in values], dtype="str")
