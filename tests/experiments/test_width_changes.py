"""The measures of Figures 1 and S6 on tables whose answer is known, and the growing steps of their cpu scale."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis import width_changes as width_measures
from ntkrun.experiments.analysis.width_changes import late_rise, mean_octaves
from ntkrun.experiments.figures import fig1, figs6, load_experiment
from ntkrun.experiments.runs import width_changes
from ntkrun.experiments.style import style
from ntkrun.lockstep.progress import Silent
from ntkrun.reference import panel_points
from ntkrun.runner.plan import make_cells

WIDTHS = (64, 256, 512, 1024)


def table_of(ntk: dict[int, list[float]], times: list[float]) -> pd.DataFrame:
    """Two networks a width, 10 % to either side of the mean."""
    frames = []
    for width, values in ntk.items():
        for seed, factor in ((0, 0.9), (1, 1.1)):
            rows = tables.rows("ntk_change/network", "", range(len(times)), times, factor * np.asarray(values))
            frames.append(tables.tidy([rows], figure="fig1", cell=f"width={width}", seed=seed, width=width))
    return pd.concat(frames, ignore_index=True).assign(**{"model.activation": "relu", "model.depth": 3})


def test_a_power_law_is_found_at_the_latest_common_time_and_over_wide_networks_only():
    # the narrowest width, off the law, is left out; the widest has not reached t = 4
    law = {width: [1.0, 5.0 * width**-0.8, 3.0] for width in WIDTHS} | {64: [1.0, 7.0, 7.0]}
    table = table_of(law, [1.0, 2.0, 4.0])
    table = table[~((table["width"] == 1024) & (table["time"] == 4.0))]
    assert width_measures.common_end(table) == 2.0
    assert width_measures.slope(fig1.NET, curves.NTK_CHANGE)(table) == pytest.approx(-0.8, abs=1e-9)
    spread = width_measures.by_width(table, curves.NTK_CHANGE, 2.0)
    assert spread.loc[256, "std"] == pytest.approx(0.1 * np.sqrt(2) * spread.loc[256, "mean"])


def paper_values(time: float) -> dict[int, float]:
    panel = panel_points("fig1", "ntk_change_vs_time")
    return {int(name[1:]): float(p.loc[p["x"] == time, "y"].iloc[0]) for name, p in panel.items()}


def test_distance_to_the_paper_is_that_of_the_worst_width():
    measure = width_measures.worst_octaves(fig1.NET, "fig1", "ntk_change_vs_time", 16.0)
    paper = paper_values(16.0)
    assert len(paper) == 9
    table = table_of({width: [value] for width, value in paper.items()}, [16.0])
    assert measure(table) == pytest.approx(0.0, abs=1e-9)
    off = table_of({width: [value * (0.5 if width == 64 else 1.1)] for width, value in paper.items()}, [16.0])
    assert measure(off) == pytest.approx(1.0, abs=1e-9)
    assert np.isnan(measure(table[table["width"] != 64])), "a missing width is no agreement"


def run(settings_of, *overrides: str) -> pd.DataFrame:
    raw = settings_of("fig1", "cpu", "data.source=stand_in", "data.n_train=12", "networks=2", *overrides)
    (cell,) = make_cells(load_experiment("fig1"), raw)
    settings: Any = cell.settings
    return width_changes.compute(settings, cell.name, Silent()).table


def test_growing_steps_change_nothing_that_a_figure_shows(settings_of):
    """t = 1024 in 176 steps of the cpu scale against 1,024 of eta = 1, from the same theta0."""
    # tanh, because Theta_hat of a ReLU network jumps by units that flip: 12 images leave 5 % of that noise at n = 256
    which = ("model.width=[64]", "model.activation=tanh")
    grown = run(settings_of, *which, "optimizer.steps=176")
    plain = run(settings_of, *which, "optimizer.steps=1024", "optimizer.schedule.factors=[1,1,1]")
    both = grown.merge(plain, on=["seed", "time", "curve", "index"], suffixes=("", "_plain"))
    assert {16.0, 256.0, 1024.0} <= set(both["time"])
    ends = grown[grown["time"] == 1024.0].pivot(index=["curve", "index"], columns="seed", values="value")
    assert len(ends) >= 3 and (ends[0] != ends[1]).all(), "each network has its own draw"
    early = both[(both["time"] <= 32) & (both["value"] > 0)]
    # the same 32 steps; two programs order their float32 sums differently
    np.testing.assert_allclose(early["value"], early["value_plain"], rtol=2e-3)
    # configs/sizes/cpu/fig1.yaml: below 2 % of a mode
    late = both[both["time"] >= 64]
    np.testing.assert_allclose(late["value"], late["value_plain"], rtol=0.02)
    assert (late["value"] != late["value_plain"]).any()


def test_the_left_out_weights_have_the_squares_of_standard_normals(settings_of):
    raw = settings_of("fig1", "smoke", "model.width=[32]")
    settings: Any = make_cells(load_experiment("fig1"), raw)[0].settings
    draws = [
        width_changes.unseen_squares(member, 400) for member in settings.model_copy(update={"networks": 20}).members
    ]
    # chi^2 with 12,800 degrees of freedom: sd 160 of one draw, 36 of the mean of 20; five of these
    assert np.mean(draws) == pytest.approx(12_800, abs=180)
    assert np.std(draws) > 40
    assert width_changes.unseen_squares(settings, 0) == 0.0


def test_the_late_rise_and_the_mean_distance_of_figure_s6():
    panel = "relu1_ntk_change_vs_time"
    paper = {int(name[1:]): points.set_index("x")["y"] for name, points in panel_points("figs6", panel).items()}
    times = [512.0, 1024.0]
    rows = []
    for width, curve in paper.items():
        values = tables.rows("ntk_change/network", "", [0, 1], times, 2.0 * curve.loc[times].to_numpy())
        rows.append(tables.tidy([values], figure="figs6", cell=f"width={width}", seed=0, width=width))
    settings = {"model.activation": "relu", "model.depth": 1, "data.name": "cifar10"}
    table = pd.concat(rows, ignore_index=True).assign(**settings)
    assert mean_octaves(figs6.RELU, 1024.0)(table) == pytest.approx(1.0, abs=1e-9)
    assert -0.02 < late_rise(table) < 0.05, "paper_numbers: flat after 2^9"
    earlier = table["time"] == 512.0
    assert late_rise(table.assign(value=table["value"].where(~earlier, table["value"] / 2))) > 0.98
    early_and_narrow = earlier & (table["width"] < width_measures.WIDE)
    bent = table.assign(value=table["value"].where(~early_and_narrow, table["value"] / 8))
    assert late_rise(bent) == pytest.approx(late_rise(table)), "narrow networks do not count"
    narrow = table[table["width"] == 16].assign(width=8)
    assert np.isnan(late_rise(narrow)) and np.isnan(mean_octaves(figs6.RELU, 512.0)(narrow))


@pytest.mark.parametrize("widths", [(16, 32), (1024, 2048), (16, 64, 256, 1024)])
def test_the_legend_of_few_widths_covers_no_curve(widths):
    change = {width: [3.0 * width**-0.5, 5.0 * width**-0.5] for width in widths}
    kernels = table_of(change, [1.0, 2.0])
    weights = [
        kernels.assign(curve="weight_change/network", index=layer, value=kernels["value"] * 0.1**layer)
        for layer in range(4)
    ]
    nngp = kernels.assign(curve="nngp_change/network")
    with style("paper"):
        figure = load_experiment("fig1").plot(pd.concat([kernels, nngp, *weights], ignore_index=True))
        figure.draw_without_rendering()
        for ax in figure.axes[1:]:
            legend = ax.get_legend()
            assert legend is not None
            box = legend.get_window_extent()
            ours = [line for line in ax.lines if line.get_zorder() > 1 and np.size(line.get_xdata()) == len(widths)]
            assert ours and not any(box.count_contains(ax.transData.transform(line.get_xydata())) for line in ours)


@pytest.mark.parametrize("widths", [(64,), (64, 128)])
def test_the_legend_has_the_guides_where_they_are_drawn(widths):
    change = table_of({width: [0.1, 0.2] for width in widths}, [1.0, 2.0])
    curves_of = [
        change,
        change.assign(curve="nngp_change/network"),
        change.assign(curve="weight_change/network", index=0),
    ]
    figure = load_experiment("fig1").plot(pd.concat(curves_of, ignore_index=True))
    for ax in figure.axes[1:]:
        legend = ax.get_legend()
        assert legend is not None
        told = {text.get_text() for text in legend.get_texts()} & width_measures.GUIDES.keys()
        drawn = {str(line.get_label()) for line in ax.lines} & width_measures.GUIDES.keys()
        assert told == drawn == (set() if len(widths) == 1 else set(width_measures.GUIDES))
