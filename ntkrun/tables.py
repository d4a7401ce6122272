"""The tidy table that every cell produces: one row per number.

Columns (in this order, always all of them):
figure  experiment, e.g. "fig3"          cell   name of the cell inside the experiment, e.g. "width=512,seed=0"
seed    PRNG seed of the network         width  hidden width n
step    optimizer steps taken            time   the figure's time axis (eta * step without momentum)
split   "train" | "test" | "" (neither)  curve  "<quantity>/<rival>" of `ntkrun.experiments.curves`, e.g. "loss/network"
index   which example, output or weight; -1 where there is none
value   the number

A kind of run whose numbers stand against something else than time has a column of `AXES` for it, with step and time 0.
Tables of several cells have the settings in which these differ as further columns, under their dotted names
(`model.depth`), and `part` (`ntkrun.runner.gather`).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ntkrun.errors import UserError

COLUMNS = {
    "figure": "str",
    "cell": "str",
    "seed": "int64",
    "width": "int64",
    "step": "int64",
    "time": "float64",
    "split": "str",
    "curve": "str",
    "index": "int64",
    "value": "float64",
}
AXES = {
    "M": "int64",  # networks whose kernels are averaged
    "eta": "float64",  # learning rate, where the networks of a cell differ in it alone
}


def rows(curve: str, split: str, steps: Sequence[int], times: Sequence[float], values: np.ndarray) -> pd.DataFrame:
    """Rows of one curve; values has shape (T,) for a single number a time, or (T, j) for j indexed ones."""
    values = np.asarray(values, dtype=np.float64)
    indexed = values.ndim == 2
    count = values.shape[1] if indexed else 1
    return pd.DataFrame(
        {
            "step": np.repeat(np.asarray(steps, dtype=np.int64), count),
            "time": np.repeat(np.asarray(times, dtype=np.float64), count),
            "split": split,
            "curve": curve,
            "index": np.tile(np.arange(count), len(values)) if indexed else -1,
            "value": values.ravel(),
        }
    )


def tidy(frames: Iterable[pd.DataFrame], *, figure: str, cell: str, seed: int, width: int) -> pd.DataFrame:
    """Stack rows of one cell, with the columns that are the same all through, into the schema above."""
    table = pd.concat(list(frames), ignore_index=True)
    return conform(table.assign(figure=figure, cell=cell, seed=seed, width=width))


def conform(table: pd.DataFrame, settings: Sequence[str] = ()) -> pd.DataFrame:
    """Order and type the columns; raises UserError when the table is not of the schema.

    settings: the columns of a table of several cells that hold settings.
    """
    axes = [name for name in AXES if name in table.columns]
    expected = {*COLUMNS, *axes, *settings}
    if set(table.columns) != expected:
        odd = sorted(set(table.columns) ^ expected)
        raise UserError(f"not a table of ntkrun: columns missing or unknown: {', '.join(odd)}")
    types = {name: kind for name, kind in (COLUMNS | AXES).items() if name in expected}
    return table[[*COLUMNS, *axes, *settings]].astype(types).reset_index(drop=True)


def settings_columns(table: pd.DataFrame) -> list[str]:
    """The columns that hold settings."""
    return [name for name in table.columns if name not in COLUMNS and name not in AXES]


def empty() -> pd.DataFrame:
    return conform(pd.DataFrame({name: [] for name in COLUMNS}))


def series(
    table: pd.DataFrame,
    curve: str,
    split: str | None = None,
    index: int | None = None,
    against: str = "time",
    over: Sequence[str] = (),
) -> pd.Series:
    """Values of one curve against time or another column, averaged over seeds where there are several.

    over: columns that are averaged over, too.  Raises ValueError where the rows differ in anything else: in a setting,
    or because they are of several splits or indices.
    """
    return _by(table, curve, split, index, against, over).mean()


def over_seeds(
    table: pd.DataFrame, curve: str, split: str | None = None, index: int | None = None, against: str = "time"
) -> pd.DataFrame:
    """As `series`, with the smallest and the largest of the seeds' values: columns mean, low, high."""
    values = _by(table, curve, split, index, against, ())
    return pd.DataFrame({"mean": values.mean(), "low": values.min(), "high": values.max()})


def _by(table: pd.DataFrame, curve: str, split: str | None, index: int | None, against: str, over: Sequence[str]):
    chosen = (table["curve"] == curve).to_numpy()
    if split is not None:
        chosen = chosen & (table["split"] == split).to_numpy()
    if index is not None:
        chosen = chosen & (table["index"] == index).to_numpy()
    # the few columns alone: a row of the whole table is ten times as much to copy
    settings = [name for name in ("width", *settings_columns(table)) if name not in over]
    part = table.loc[chosen, [against, "value", "seed", *over]]
    mixed = [name for name in settings if table.loc[chosen, name].nunique(dropna=False) > 1]
    if mixed or part.duplicated([against, "seed", *over]).any():
        what = ", ".join(mixed) or "split, index or cell"
        raise ValueError(f"{curve} has rows that differ in {what}: choose one, nothing but seeds is averaged over")
    return part.groupby(against)["value"]


def at(table: pd.DataFrame, curve: str, time: float, split: str | None = None) -> float:
    """Value of one curve at a time, linear in log time between the recorded ones (linear below the first)."""
    curve_values = series(table, curve, split)
    if curve_values.empty:
        return float("nan")
    times = curve_values.index.to_numpy(dtype=float)
    if time < times[0] or time > times[-1] * (1 + 1e-9):
        return float("nan")
    floor = times[times > 0].min() / 2 if (times > 0).any() else 1.0
    return float(np.interp(np.log(max(time, floor)), np.log(np.maximum(times, floor)), curve_values.to_numpy()))


def last(table: pd.DataFrame, curve: str, split: str | None = None) -> float:
    """Value of one curve at its last recorded time."""
    curve_values = series(table, curve, split)
    return float(curve_values.iloc[-1]) if len(curve_values) else float("nan")
