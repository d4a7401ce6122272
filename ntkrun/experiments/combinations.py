"""The settings that a run sweeps beyond those that its figure shows apart itself: a table for each combination of their values.

Nothing is averaged over a setting.  Seeds are repeats: they stay together in the table of a combination.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ntkrun.tables import settings_columns

# the paper's symbols, by the column of the table
SYMBOLS = {
    "width": "n",
    "model.depth": "L",
    "model.activation": "phi",
    "model.sigma_w2": "sigma_w^2",
    "model.sigma_b2": "sigma_b^2",
    "optimizer.learning_rate": "eta",
    "optimizer.momentum": "beta",
    "optimizer.steps": "T",
    "data.n_train": "N",
}


@dataclass(frozen=True)
class Combination:
    """One value of every varied setting, "n = 32, phi = tanh" ("" where nothing is varied), and the rows that have them."""

    label: str
    table: pd.DataFrame


def combinations(table: pd.DataFrame, shown: Sequence[str] = ()) -> list[Combination]:
    """The rows of each combination, in the order of the table; `shown`: columns that the figure shows apart itself."""
    return separate(table, varied(table, shown))


def separate(table: pd.DataFrame, names: Sequence[str]) -> list[Combination]:
    """The same for the columns of these names."""
    if not names:
        return [Combination("", table)]
    groups = table.groupby(list(names), sort=False, dropna=False)
    return [Combination(_label(dict(zip(names, values, strict=True))), part) for values, part in groups]


def varied(table: pd.DataFrame, shown: Sequence[str] = ()) -> list[str]:
    """The columns of settings that have several values; that of the parts where nothing else tells two parts apart."""
    told = ["width", *(name for name in settings_columns(table) if name != "part")]
    names = [name for name in told if name not in shown and table[name].nunique(dropna=False) > 1]
    if "part" in table.columns and table.groupby(told, dropna=False)["part"].nunique().max() > 1:
        names.append("part")
    return names


def _label(values: dict[str, Any]) -> str:
    return ", ".join(f"{SYMBOLS.get(name, name)} = {_typed(value)}" for name, value in values.items())


def _typed(value: Any) -> str:
    """A number without zeros behind the point, 131072 in full; the members of a list, "cat / dog"; else as one types it."""
    if isinstance(value, float):
        return f"{value:.10g}"
    members = _list(value) if isinstance(value, str) and value.startswith("[") else None
    return (
        str(value)
        if members is None
        else " / ".join(one if isinstance(one, str) else json.dumps(one) for one in members)
    )


def _list(text: str) -> list[Any] | None:
    """A setting that is a list stands in its column as JSON; None for a word."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
