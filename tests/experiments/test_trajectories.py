"""What a cell records, held against the rivals' own meaning."""

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.trajectories import bump_height, bump_time, output_correlation
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.prepare import choose_weights
from ntkrun.experiments.runs.trajectories import shown
from ntkrun.lockstep.progress import Silent
from ntkrun.report.judge import judge_all
from ntkrun.runner.plan import make_cells

FIG3 = load_experiment("fig3")


def run(settings_of, *overrides: str):
    raw = settings_of("fig3", "smoke", "data.source=stand_in", *overrides)
    (cell,) = make_cells(FIG3, raw)
    progress = Silent()
    return FIG3.run.compute(cell.settings, cell.name, progress), progress


def test_every_rival_is_recorded_on_both_splits(settings_of):
    result, progress = run(settings_of)
    rivals = {"network", "linear", "linear_analytic", "flow_empirical", "flow_analytic"}
    for quantity, count in (("loss", 5), ("accuracy", 5), ("rmse", 4)):
        curves = {c for c in result.table["curve"].unique() if c.startswith(f"{quantity}/")}
        assert len(curves) == count and {c.split("/")[1] for c in curves} <= rivals
    assert set(result.table["split"]) == {"train", "test", ""}
    assert any("cifar10" in line for line in progress.warnings), "stand-ins are announced"
    assert result.facts["eta_critical"] > result.facts["eta_max"]
    assert np.isfinite(result.table["value"]).all()


def test_a_run_that_follows_no_weights_is_drawn_and_judged_without_them(settings_of):
    result, _ = run(settings_of, "record.weights=0")
    assert not result.table["curve"].str.startswith(curves.WEIGHT_CHANGE).any()
    panels = {ax.get_title(): ax for ax in FIG3.plot(result.table).axes}
    (weights,) = (ax for title, ax in panels.items() if title.startswith("weight change"))
    assert "none was recorded" in [text.get_text() for text in weights.texts]
    assert all(ax.lines for ax in panels.values() if ax is not weights)
    verdicts = judge_all(FIG3, result.table, scale="cpu", stand_in=False, changed={"record.weights": (10, 0)})
    assert all(one.measured is not None or one.reason for one in verdicts)


@pytest.mark.parametrize("extra", [["optimizer.batch_size=4"], ["loss=cross_entropy"]])
def test_where_no_closed_form_holds_none_is_recorded(settings_of, extra):
    result, _ = run(settings_of, *extra)
    assert not any("flow_" in curve for curve in result.table["curve"].unique())
    assert {"loss/network", "loss/linear"} <= set(result.table["curve"])


@pytest.mark.parametrize("extra", [["loss=cross_entropy"], ["optimizer=momentum", "optimizer.learning_rate=0.02"]])
def test_the_solver_gives_the_flow_that_small_steps_follow(settings_of, extra):
    result, _ = run(settings_of, *extra, "theory.flow.by_solver=true", "model.dtype=float64", "optimizer.steps=64")
    table = result.table
    for kernel, rival in (("empirical", "linear"), ("analytic", "linear_analytic")):
        end = table[(table["step"] == 64) & (table["split"] == "test")].set_index("curve")["value"]
        start = table[(table["step"] == 0) & (table["split"] == "test")].set_index("curve")["value"]
        f, g = (end[f"output/{name}"].to_numpy() for name in (f"flow_{kernel}", rival))
        moved = np.abs(g - start[f"output/{rival}"].to_numpy()).max()
        # one step's error, eta lambda_max / 2 in t = 64 eta, or sqrt(eta) of (S3) with the friction's own O(sqrt eta)
        assert 0 < np.abs(f - g).max() < 0.1 * moved, kernel


def test_what_is_followed_is_one_output_of_many_images_or_all_outputs_of_one():
    f = np.arange(12.0).reshape(4, 3)
    assert shown(f, 2).tolist() == shown(f, 2, "logits").tolist() == [0, 1]
    assert shown(f, 9).tolist() == [0, 1, 2]
    assert shown(f, 2, "examples").tolist() == [0, 3]
    assert shown(f[:, :1], 2).tolist() == [0, 3] and shown(f[:, :1], 2, "logits").tolist() == [0]


SEVERAL = ["model.parameterization=standard", "data=cifar10", "data.classes=[0,1,2]", "data.targets=one_hot"]


@pytest.mark.parametrize("extra", [[], SEVERAL], ids=["one output", "three outputs, standard"])
def test_a_frozen_network_moves_its_readout_only_and_so_does_every_rival(settings_of, extra):
    result, _ = run(settings_of, "trained=readout", "model.dtype=float64", *extra)
    table = result.table
    moved = table[(table["curve"] == "weight_change/network") & (table["step"] > 0)]
    layers = [name.split("/")[0] for name in result.facts["watched_weights"]]
    for index, layer in enumerate(layers):
        changes = moved.loc[moved["index"] == index, "value"]
        assert (changes != 0).all() if layer == "layer_6" else (changes == 0).all()
    # linear in what is trained, hence its own linearization; the analytic kernel is K and follows within O(1/sqrt n)
    assert table.loc[table["curve"] == "rmse/linear", "value"].max() < 1e-12
    both = [table[table["curve"] == f"weight_change/{rival}"]["value"].to_numpy() for rival in ("network", "linear")]
    np.testing.assert_allclose(both[1], both[0], rtol=0, atol=1e-10 * np.abs(both[0]).max())
    spread = table.loc[table["curve"] == "rmse/linear_analytic", "value"].max()
    assert 0 < spread < 0.5, "with Theta in place of K it would move several times as fast"


def one_mode(share: float, f0: float) -> pd.DataFrame:
    """The RMSE between gradient descent and its flow where f_0 lies in one mode, of which a step removes `share`."""
    steps = 2 ** np.arange(6)
    apart = f0 * np.abs((1 - share) ** steps - np.exp(-share * steps))
    loss = np.full(len(steps), (1 + f0**2) / 2)
    rows = [
        tables.rows("rmse/flow_empirical", "test", steps.tolist(), (0.01 * steps).tolist(), apart),
        tables.rows("loss/network", "train", steps.tolist(), (0.01 * steps).tolist(), loss),
    ]
    return tables.tidy(rows, figure="fig3", cell="", seed=0, width=1)


@pytest.mark.parametrize("share", [0.08, 0.11, 0.15])  # 1/share between records that are an octave apart
def test_the_bump_of_one_mode_has_the_time_and_height_of_theory(share):
    table = one_mode(share, f0=1.5)
    rate = -np.log1p(-share)  # of descent a step, that of flow is `share`
    largest_at = np.log(rate / share) / (rate - share)
    assert bump_time(table) == pytest.approx(0.01 * largest_at, rel=0.1)  # the parabola through octaves
    assert bump_height(table) == pytest.approx(1.0, abs=0.15)  # and the next order in the share


def test_without_an_early_maximum_there_is_no_bump():
    assert np.isnan(bump_time(one_mode(0.002, f0=1.5))) and np.isnan(bump_height(one_mode(0.002, f0=1.5)))


def test_the_bump_is_looked_for_before_the_time_of_the_slow_modes():
    table = one_mode(0.11, f0=1.5)
    late = table[table["curve"] == "rmse/flow_empirical"].tail(2).assign(time=[1.0, 2.0], value=[9.0, 8.0])
    both = pd.concat([table, late], ignore_index=True)
    assert bump_time(both) == bump_time(table)


def test_outputs_that_are_nan_have_no_correlation():
    rows = [
        tables.rows(f"output/{rival}", "test", [1], [1.0], np.array([[1.0, 2.0, last]]))
        for rival, last in (("network", 3.0), ("linear", np.nan))
    ]
    assert np.isnan(output_correlation(tables.tidy(rows, figure="fig3", cell="", seed=0, width=1)))


def test_weights_are_followed_in_a_network_without_matrices():
    theta0 = {"u": np.zeros(3), "v": np.zeros(5), "scale": np.zeros(())}
    watched = choose_weights(theta0, 7)
    assert len(watched) == 7 and {path for path, _ in watched} == {("u",), ("v",), ("scale",)}
    assert all(index < theta0[path[0]].size for path, index in watched)
