"""Tables of several cells know the settings in which these differ; stored cells of older names are told, and renamed."""

import importlib.util
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.experiments.figures import load_experiment
from ntkrun.runner.gather import together
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import parquet_bytes, read_table


def table_of(cell, value: float, curve: str = "loss/network") -> pd.DataFrame:
    rows = tables.rows(curve, "train", [0, 1], [0.0, 1.0], np.array([value, value / 2]))
    return tables.tidy([rows], figure="x", cell="as it ran once", seed=cell.settings.seed, width=8)


def test_every_swept_setting_is_a_column_and_the_part_is_one(settings_of):
    sweep = "parts={a: {loss: [mse, cross_entropy], model: {depth: [1, 2]}}, b: {optimizer: {batch_size: [null, 16]}}}"
    raw = settings_of("lockstep", "smoke", "data.source=stand_in", "data.targets=one_hot", f"+{sweep}")
    experiment = load_experiment("lockstep")
    cells = make_cells(experiment, raw)
    table = together(experiment, [(cell, table_of(cell, i + 1.0)) for i, cell in enumerate(cells)])
    assert tables.settings_columns(table) == ["model.depth", "loss", "optimizer.batch_size", "part"]
    first = table.groupby("cell", sort=False)[["part", "model.depth", "loss", "optimizer.batch_size", "value"]].first()
    depth, size = raw["model"]["depth"], str(raw["optimizer"]["batch_size"] or "null")
    assert [tuple(row) for row in first.itertuples(index=False)] == [
        ("a", 1, "mse", size, 1.0),
        ("a", 1, "cross_entropy", size, 2.0),
        ("a", 2, "mse", size, 3.0),
        ("a", 2, "cross_entropy", size, 4.0),
        ("b", depth, raw["loss"], "null", 5.0),
        ("b", depth, raw["loss"], "16", 6.0),
    ]


def test_width_and_seed_have_their_columns_already(settings_of):
    experiment = load_experiment("lockstep")
    raw = settings_of("lockstep", "smoke", "data.source=stand_in", "model.width=[8,16]", "seed=[0,1]")
    cells = make_cells(experiment, raw)
    table = together(experiment, [(cell, table_of(cell, 1.0)) for cell in cells])
    assert tables.settings_columns(table) == [] and table["cell"].nunique() == 4


def test_a_stored_table_keeps_its_settings(settings_of, tmp_path):
    experiment = replace(load_experiment("lockstep"), columns=("model.activation", "data.n_train"))
    (cell,) = make_cells(experiment, settings_of("lockstep", "smoke", "data.source=stand_in"))
    table = together(experiment, [(cell, table_of(cell, 1.0))])
    path = tmp_path / "table.parquet"
    path.write_bytes(parquet_bytes(table, {"cell": "x"}))
    again, _ = read_table(path)
    pd.testing.assert_frame_equal(again, table)
    assert set(again["model.activation"]) == {"relu"}


@pytest.fixture(scope="module")
def script(root):
    spec = importlib.util.spec_from_file_location("script", root / "scripts/settings_as_columns.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_curves_that_name_settings_are_told_and_renamed(settings_of, script):
    experiment = load_experiment("figs5")
    cell = make_cells(experiment, settings_of("figs5", "smoke", "data.source=stand_in"))[0]
    older = pd.concat([table_of(cell, 1.0, "rmse/fc"), table_of(cell, 128.0, "n_train/fc")])
    with pytest.raises(UserError, match=r"by scripts/settings_as_columns.py"):
        together(experiment, [(cell, older)])
    table = together(experiment, [(cell, script.final_distance(older))])
    assert set(table["curve"]) == {curves.RMSE.of(curves.LINEAR)} and list(table["value"]) == [1.0, 0.5]


@pytest.mark.parametrize(
    ("name", "older", "newer", "columns"),
    [
        ("fig1", "ntk_change/relu3", "ntk_change/network", {"time": [0.0, 1.0]}),
        ("theorem21", "kernel/erf_ntk", "ntk_distance/network", {"time": [0.0, 1.0]}),
        ("figs7", "accuracy/mnist/relu_mse_ntk", "accuracy/network", {"eta": [0.0, 1.0], "time": [0.0, 0.0]}),
        ("figs9", "error/ntk_l3", "error/ntk", {"M": [0, 1], "step": [0, 0]}),
    ],
)
def test_what_stood_in_names_time_and_step_becomes_columns(name, older, newer, columns, script):
    rows = tables.rows(older, "", [0, 1], [0.0, 1.0], np.array([3.0, 4.0]))
    found = script.RENAMING[name](tables.tidy([rows], figure=name, cell="c", seed=0, width=8))
    assert set(found["curve"]) == {newer} and newer in curves.ALL and list(found["value"]) == [3.0, 4.0]
    for column, values in columns.items():
        assert list(found[column]) == values
