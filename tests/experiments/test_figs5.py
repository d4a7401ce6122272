"""Figure S5's cell against step-by-step descent, and its panels on a table made by hand."""

import numpy as np
import pandas as pd
import pytest

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.final_distance import COLUMNS, octaves, slope_in, slopes
from ntkrun.experiments.figures import figs5, load_experiment
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.forecast import forecast
from ntkrun.runner.machines import KNOWN
from ntkrun.runner.plan import make_cells
from ntkrun.tables import conform, series
from ntkrun.theory.closed_form import gradient_descent, steps_to_loss


def test_the_last_step_is_the_first_below_the_loss():
    rng = np.random.default_rng(0)
    features, y, f0 = rng.normal(size=(6, 9)), rng.normal(size=(6, 1)), rng.normal(size=(6, 1))
    theta, eta = features @ features.T, 0.1
    f, losses = f0, []
    for _ in range(400):  # by hand: f <- f - eta Theta (f - y) / N
        losses.append(np.mean((f - y) ** 2))
        f = f - eta * theta @ (f - y) / 6
    assert eta * np.linalg.eigvalsh(theta)[-1] / 6 < 2, "stable, so that the loss never rises"
    wanted = 0.025 * losses[0]
    expected = next(step for step, loss in enumerate(losses) if loss / 2 <= wanted)
    descent = gradient_descent(theta, y, f0, np.full(400, eta))
    assert 0 < expected < 400 and steps_to_loss(descent, y, wanted, 400) == expected
    assert steps_to_loss(descent, y, wanted, expected - 1) == expected - 1, "the cap"


@pytest.fixture(scope="module")
def result(settings_of):
    raw = settings_of(
        "figs5", "smoke", "data.source=stand_in", "parts.L1.model.width=16", "parts.D32=null", "parts.C4=null"
    )
    experiment = load_experiment("figs5")
    (cell,) = make_cells(experiment, raw)
    return experiment.run.compute(cell.settings, cell.name, Silent())


def test_a_cell_starts_together_and_ends_where_f_lin_has_fitted(result):
    rmse, linear = series(result.table, "rmse/linear", "test"), series(result.table, "loss/linear", "train")
    assert rmse.iloc[0] < 1e-6 < rmse.iloc[-1]  # float32 outputs of order 1 at theta_0
    assert result.facts["loss_reached"] and linear.iloc[-1] <= 0.015
    assert (linear.iloc[:-1] > 0.015).all()


def test_a_convolutional_cell_ends_by_the_same_rule_on_small_images(settings_of):
    part = "{data: {averaged: 8}, model: {name: cnn, pool: flatten, stride: 1, depth: 2, width: 4}}"
    left_out = ["parts.L1=null", "parts.C4=null", "parts.D32=null", "descent.end_loss=0.2", "data.n_test=8"]
    raw = settings_of("figs5", "smoke", "data.source=stand_in", *left_out, f"+parts.X={part}")
    experiment = load_experiment("figs5")
    (cell,) = make_cells(experiment, raw)
    result = experiment.run.compute(cell.settings, cell.name, Silent())
    rmse, linear = series(result.table, "rmse/linear", "test"), series(result.table, "loss/linear", "train")
    assert rmse.iloc[0] < 1e-5 < rmse.iloc[-1]  # float32, outputs of order 1
    assert result.facts["loss_reached"] and linear.iloc[-1] <= 0.2
    assert (linear.iloc[:-1] > 0.2).all()
    # two convolutions of 3 and of 4 channels with biases, 16 positions of 4 channels to the readout
    assert forecast(experiment, [cell], KNOWN["h100"])[0].parameters == 9 * 3 * 4 + 4 + 9 * 4 * 4 + 4 + 16 * 4 + 1


def made(rmse: dict[tuple[int, int, int], float]) -> pd.DataFrame:
    """A table of cells {(depth, n_train, width): final RMSE}."""
    rows = []
    for (depth, n_train, width), value in rmse.items():
        for step, at_step in ((5, 100.0), (9, value)):
            rows.append((f"{depth},{n_train},{width}", width, step, at_step, "fc", depth, n_train))
    names = ["cell", "width", "step", "value", *COLUMNS]
    frame = pd.DataFrame(rows, columns=pd.Index(names))
    told = dict(figure="figs5", seed=0, time=1.0, index=-1, split="test", curve=curves.RMSE.of(curves.LINEAR))
    return conform(frame.assign(**told), COLUMNS)


def test_panels_and_slopes_are_those_of_the_cells():
    cells = {(L, 128, n): L / n for L in (1, 2) for n in (32, 128, 512)}
    cells |= {(2, N, n): 2 * (N / 128) ** 0.5 / n for N in (32, 512) for n in (32, 128, 512)}
    table = made(cells)
    assert set(figs5.DEPTH.curves(table)) == {1, 2} and set(figs5.SIZE.curves(table)) == {32, 128, 512}
    assert slopes(table, figs5.DEPTH) == pytest.approx([-1.0, -1.0]) and slope_in(table, figs5.SIZE) == pytest.approx(
        0.5
    )


def test_the_papers_own_points_are_no_octave_away():
    paper = figs5.DEPTH.paper()
    cells = {(depth, 128, n): float(paper[depth].loc[n]) for depth in paper for n in (32 * 2**j for j in range(8))}
    doubled = made({cell: 2 * value for cell, value in cells.items()})
    assert octaves(made(cells), figs5.DEPTH, lambda depth: True) == pytest.approx(0.0, abs=1e-12)
    assert octaves(doubled, figs5.DEPTH, lambda depth: True) == pytest.approx(1.0)
    assert max(slopes(made(cells), figs5.DEPTH)) == pytest.approx(-0.826, abs=1e-3)  # paper_numbers: L1, all widths


def test_where_no_width_is_the_papers_nothing_is_compared():
    assert np.isnan(octaves(made({(1, 128, 17): 0.1}), figs5.DEPTH, lambda depth: True))
