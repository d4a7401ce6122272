"""Figure S4's cell: growing steps against fixed ones and against the ODE; its measures on tables whose answer is known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.experiments.analysis import flow_routes as measures
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs import flow_routes
from ntkrun.experiments.style import style
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells


def final(settings_of, *overrides: str) -> dict[str, np.ndarray]:
    raw = settings_of("figs4", "smoke", "data.source=stand_in", "model.width=16", *overrides)
    (cell,) = make_cells(load_experiment("figs4"), raw)
    settings: Any = cell.settings
    table = flow_routes.compute(settings, cell.name, Silent()).table
    end = table[table["time"] == table["time"].max()]
    assert end["time"].iloc[0] == pytest.approx(60.8, abs=0.2)
    return {curve: part.sort_index()["value"].to_numpy() for curve, part in end.groupby("curve")}


def test_growing_steps_end_where_small_ones_do(settings_of):
    grown = final(settings_of, "optimizer.schedule.decay_rate=1.03", "optimizer.steps=100")
    fixed = final(settings_of, "optimizer.schedule.name=constant", "~optimizer.schedule.decay_rate",
                  "~optimizer.schedule.decay_steps", "optimizer.steps=608")  # fmt: skip
    moved = np.abs(fixed["logit/network"] - fixed["logit/flow"]).max()
    for rival in ("network", "linear"):
        # configs/sizes/cpu/figs4.yaml: the clock is off by .015 of the time, a logit moves by about 1 an e-fold
        np.testing.assert_allclose(grown[f"logit/{rival}"], fixed[f"logit/{rival}"], atol=0.05)
    # eta = .1 against flow: sums of 608 steps that each err by eta lambda / 2, lambda of order .1
    np.testing.assert_allclose(fixed["logit/linear"], fixed["logit/flow"], atol=0.01)
    assert moved > 0.1, "n = 16 is far from linear, so that the two rivals can be told apart"


def test_the_loss_is_of_the_training_images_that_are_evaluated(settings_of):
    grown = ("optimizer.schedule.decay_rate=1.03", "optimizer.steps=100")
    one, more = (final(settings_of, *grown, f"record.train_examples={m}") for m in (3, "null"))
    assert np.isfinite(one["loss/network"]).all() and one["loss/network"] != more["loss/network"]
    np.testing.assert_array_equal(one["logit/network"], more["logit/network"])


def test_onset_growth_and_slope_are_those_of_the_curves():
    times = [0.1 * 2**j for j in range(20)]
    frames = []
    for width in (32, 64, 128, 256):
        rms = np.asarray(times) / width**0.5 / 100  # .1 is reached at t = 10 sqrt n
        rows = tables.rows("rms/linear", "test", range(21), [0.0, *times], np.concatenate([[0.0], rms]))
        frames.append(tables.tidy([rows], figure="figs4", cell=f"width={width}", seed=0, width=width))
    table = pd.concat(frames, ignore_index=True)
    assert measures.end_slope(table) == pytest.approx(-0.5)
    # recorded every octave: the onset is off by up to one at either end of three
    assert measures.onset_slope(table) == pytest.approx(0.5, abs=0.34)
    assert list(measures.distance_by_width(table, 102.4)) == pytest.approx(
        [102.4 / n**0.5 / 100 for n in (32, 64, 128, 256)]
    )


def test_titles_of_widths_that_did_not_run_keep_clear_of_the_letters():
    rows = tables.rows("rms/linear", "test", [0, 1], [0.0, 0.1], np.ones(2))
    table = tables.tidy([rows], figure="figs4", cell="width=32", seed=0, width=32)
    with style("slides"):  # the largest letters
        figure = load_experiment("figs4").plot(table)
        figure.draw_without_rendering()
        (title,) = (ax.title for ax in figure.axes if ax.get_title().startswith("n = 4096"))
        assert title.axes is not None and "not run" in title.get_text()
        (letter,) = (text for text in title.axes.texts if text.get_text() == "(h)")
        gap = title.get_window_extent().x0 - letter.get_window_extent().x1
    assert gap > float(letter.get_fontsize()), "as far as a letter is high"
