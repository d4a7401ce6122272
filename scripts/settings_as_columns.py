"""Renames the curves of stored cells that name settings ("rmse/fc", "error/nngp_l1"); no number changes.

python scripts/settings_as_columns.py RESULTS_DIR

Settings are columns of the table of a figure since; a cell holds none.  What stood in `time` or `step` and is neither goes to
a column of its own: eta of Figure S7, M of Figures S9 and S10.  Rows that only repeated a setting (Figure S5's depth and
n_train) go.  Cells of today's names are left alone.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ntkrun.experiments import curves
from ntkrun.experiments.curves import Quantity
from ntkrun.runner.files import write_bytes
from ntkrun.runner.store import parquet_bytes, read_table

SUPREMA = {
    "output": curves.OUTPUT_DISTANCE,
    "theta": curves.THETA_DISTANCE,
    "kernel": curves.NTK_DISTANCE,
}


def of_the_network(table: pd.DataFrame) -> pd.DataFrame:
    return _renamed(table, lambda quantity, _: Quantity(quantity).of(curves.NETWORK))


def suprema(table: pd.DataFrame) -> pd.DataFrame:
    return _renamed(table, lambda quantity, _: SUPREMA[quantity].of(curves.NETWORK))


def final_distance(table: pd.DataFrame) -> pd.DataFrame:
    repeated = table["curve"].str.split("/").str[0].isin(["depth", "n_train"])
    return _renamed(
        table[~repeated], lambda quantity, net: f"{quantity}/{curves.LINEAR if quantity == curves.RMSE else net}"
    )


def rate_scan(table: pd.DataFrame) -> pd.DataFrame:
    return of_the_network(table).assign(eta=table["time"], time=0.0)


def kernel_estimates(table: pd.DataFrame) -> pd.DataFrame:
    found = _renamed(table, lambda quantity, panel: f"{quantity}/{panel.partition('_')[0]}")
    return found.assign(M=table["step"], step=0, time=0.0)


RENAMING: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "fig1": of_the_network,
    "figs5": final_distance,
    "figs6": of_the_network,
    "figs7": rate_scan,
    "figs9": kernel_estimates,
    "figs10": kernel_estimates,
    "theorem21": suprema,
}


def _renamed(table: pd.DataFrame, name: Callable[[str, str], str]) -> pd.DataFrame:
    names = {}
    for curve in table["curve"].unique():
        quantity, _, rest = curve.partition("/")
        names[curve] = name(quantity, rest)
    return table.assign(curve=table["curve"].map(names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    for path in sorted(parser.parse_args().results.glob("*/*/cells/*.parquet")):
        table, facts = read_table(path)
        experiment = path.parts[-3]
        if set(table["curve"]) <= curves.ALL or experiment not in RENAMING:
            continue
        write_bytes(path, parquet_bytes(RENAMING[experiment](table).reset_index(drop=True), facts))
        print(path)


if __name__ == "__main__":
    main()
