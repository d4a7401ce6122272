import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.errors import UserError


def example() -> pd.DataFrame:
    frames = [
        tables.rows("loss/network", "train", [0, 1, 2], [0.0, 0.1, 0.2], np.array([3.0, 2.0, 1.0])),
        tables.rows("output/network", "test", [0, 1], [0.0, 0.1], np.arange(4.0).reshape(2, 2)),
    ]
    return tables.tidy(frames, figure="fig3", cell="seed=0", seed=0, width=8)


def test_columns_are_the_schema_in_order():
    table = example()
    assert list(table.columns) == list(tables.COLUMNS)
    # pandas before 3 keeps strings as objects
    assert dict(table.dtypes) == {name: pd.Series(dtype=kind).dtype for name, kind in tables.COLUMNS.items()}


def test_rows_place_every_value():
    table = example()
    outputs = table[table["curve"] == "output/network"]
    assert outputs["value"].tolist() == [0, 1, 2, 3]
    assert outputs["index"].tolist() == [0, 1, 0, 1]
    assert outputs["step"].tolist() == [0, 0, 1, 1]
    assert table.loc[table["curve"] == "loss/network", "index"].eq(-1).all()


def test_a_foreign_table_is_refused():
    with pytest.raises(UserError, match="colour"):
        tables.conform(example().assign(colour="red"))
    with pytest.raises(UserError, match="value"):
        tables.conform(example().drop(columns="value"))


def test_at_reads_recorded_points_and_interpolates_in_log_time():
    table = example()
    assert tables.at(table, "loss/network", 0.0, "train") == 3
    assert tables.at(table, "loss/network", 0.1, "train") == pytest.approx(2, rel=1e-12)
    assert tables.at(table, "loss/network", np.sqrt(0.1 * 0.2), "train") == pytest.approx(1.5, rel=1e-12)
    assert np.isnan(tables.at(table, "loss/network", 5.0, "train"))
    assert np.isnan(tables.at(table, "no/such", 0.1))


def test_seeds_are_averaged():
    table = pd.concat([example(), example().assign(seed=1, value=lambda t: t["value"] + 2)])
    assert tables.series(table, "loss/network").tolist() == [4, 3, 2]
    assert tables.last(table, "loss/network") == 2
