"""A swept width is drawn as slopes, and each thing else that is swept by itself."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.experiments.analysis.width_slopes import distances
from ntkrun.experiments.figures import lockstep


def table(loss: str, power: float) -> pd.DataFrame:
    """RMSE = n^power at the end, twice that in between, for two seeds 20 % apart."""
    frames = []
    for width in (64, 256, 1024):
        for seed, factor in ((0, 0.9), (1, 1.1)):
            values = factor * width**power * np.array([0.0, 2.0, 1.0])
            rows = tables.rows("rmse/linear", "test", [0, 1, 2], [0.0, 1.0, 2.0], values)
            cell = f"width={width},loss={loss},seed={seed}"
            frames.append(tables.tidy([rows], figure="lockstep", cell=cell, seed=seed, width=width))
    return pd.concat(frames, ignore_index=True).assign(loss=loss)


def test_end_and_peak_are_kept_apart_by_combination():
    found = distances(pd.concat([table("mse", -0.5), table("cross_entropy", -1.0)]))
    assert len(found) == 12
    one = found[(found["combination"] == "loss = cross_entropy") & (found["width"] == 256) & (found["seed"] == 1)]
    assert one["end"].item() == pytest.approx(1.1 / 256)
    assert one["peak"].item() == pytest.approx(2.2 / 256)


def test_the_figure_names_the_slope_of_every_combination():
    figure = lockstep.EXPERIMENT.plot(pd.concat([table("mse", -0.5), table("cross_entropy", -1.0)]))
    legend: Any = figure.axes[0].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert [text.split(" [")[0] for text in texts] == [
        "linearised, loss = mse: slope -0.50",
        "linearised, loss = cross_entropy: slope -1.00",
    ]


def test_of_two_widths_no_interval_is_told():
    whole = table("mse", -0.5)
    figure = lockstep.EXPERIMENT.plot(whole[whole["width"] < 1000])
    legend: Any = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["linearised: slope -0.50"]


def test_every_power_law_is_told_apart_and_named_as_its_points():
    rows = pd.concat([table("mse", -0.5), table("cross_entropy", -1.0)])
    flow = rows.assign(curve=rows["curve"].replace({"rmse/linear": "rmse/flow_empirical"}))
    figure = lockstep.EXPERIMENT.plot(pd.concat([rows, flow]))
    for ax in figure.axes:
        legend: Any = ax.get_legend()
        laws = [line for line in ax.lines if line.get_gid()]
        looks = {(line.get_color(), line.get_linestyle()) for line in laws}
        assert len(looks) == len(laws) == len(legend.legend_handles) == 4
        named = {handle.get_label(): handle for handle in legend.legend_handles}
        for line in laws:
            entry = named[str(line.get_gid()).removesuffix(" (line)")]
            assert (entry.get_color(), entry.get_linestyle()) == (line.get_color(), line.get_linestyle())
            assert entry.get_marker() in ("o", "s")
