"""Measures on tables whose answer is known, Figures 2, 3 and S8, and on runs that are too short for them."""

import numpy as np
import pandas as pd
import paper_tables
import pytest

from ntkrun import tables
from ntkrun.experiments.analysis import output_ensemble, trajectories
from ntkrun.experiments.figures import load_experiment

TIMES = [0.0, 0.01, 0.08, 0.32, 1.0, 4.0, 16.0]


def run(**curves: list[float]) -> pd.DataFrame:
    """Test RMSE of each rival at TIMES."""
    rows = [tables.rows(f"rmse/{rival}", "test", range(7), TIMES, np.asarray(rmse)) for rival, rmse in curves.items()]
    return tables.tidy(rows, figure="fig3", cell="seed=0", seed=0, width=8)


def test_the_ratio_of_the_kernels_is_the_worst_of_late_times():
    table = run(flow_empirical=[1, 9, 9, 9, 1, 3, 2], flow_analytic=[1, 1, 1, 1, 2, 2, 4])
    assert trajectories.worst_kernel_ratio(table) == pytest.approx(1.5)


def test_same_steps_are_held_against_the_flow_at_the_bump():
    table = run(linear=[0, 0, 0.1, 7, 7, 7, 7], flow_empirical=[0, 0, 0.4, 1, 1, 1, 1])
    assert trajectories.same_steps_to_flow(table) == pytest.approx(0.25)


def test_the_correlation_is_that_of_the_followed_test_outputs_at_the_end():
    f, f_lin = np.array([[9.0, 9, 9], [1, 2, 4]]), np.array([[0.0, 5, 1], [2, 1, 5]])
    rows = [
        tables.rows("output/network", "test", [0, 1], [0.0, 1.0], f),
        tables.rows("output/linear", "test", [0, 1], [0.0, 1.0], f_lin),
    ]
    rows.append(tables.rows("output/network", "train", [0, 1], [0.0, 1.0], -f))
    table = tables.tidy(rows, figure="fig3", cell="seed=0", seed=0, width=8)
    assert trajectories.output_correlation(table) == pytest.approx(np.corrcoef(f[1], f_lin[1])[0, 1])


ALPHAS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
MEMBERS = np.array([[1.0, 2, 3, 4, 5, 6], [3.0, 2, 4, 1, 5.01, 0], [2.0, 5, 5, 1, 5.02, 3]])

NNGP = np.array([2.5, 3, 4, 2, 9, 3])  # far from a place where the networks agree


def ensemble() -> pd.DataFrame:
    variance, nngp = np.array([[0.36, 0.41, 0.4096, 0.4096, 0.41, 0.49]]), NNGP[None]
    rows = [
        tables.rows("alpha", "", [0], [0.0], ALPHAS[None]),
        tables.rows("variance/ntk", "test", [0], [0.0], variance),
    ]
    rows.append(tables.rows("mean/nngp", "test", [0], [0.0], nngp))
    tidied = [tables.tidy(rows, figure="fig2", cell="c", seed=0, width=1)]
    for seed, f in enumerate(MEMBERS):
        rows = [tables.rows("output/network", "test", [0], [0.0], f[None])]
        tidied.append(tables.tidy(rows, figure="fig2", cell="c", seed=seed, width=1))
    return pd.concat(tidied, ignore_index=True)


def test_spreads_of_an_ensemble_are_sample_deviations_at_their_alphas():
    table = ensemble()
    sd = MEMBERS.std(axis=0, ddof=1)
    assert output_ensemble.sd_at_minus_2(table, 0) == pytest.approx(sd[0])
    assert sd[3] > sd[2], "the larger one is that of the second training input"
    assert output_ensemble.data_point_sd(table, 0) == pytest.approx(sd[3])


def test_flatness_is_the_farthest_departure_of_two_sd():
    assert output_ensemble.flatness(ensemble()) == pytest.approx(2 * 0.7 - 1.28)


def test_the_distance_of_the_nngp_is_in_standard_errors_where_networks_scatter():
    sd = MEMBERS.std(axis=0, ddof=1)
    apart = np.abs(NNGP - MEMBERS.mean(axis=0))
    scatter = sd > 0.05
    assert not scatter[4]
    expected = (apart[scatter] / sd[scatter]).max() * np.sqrt(3)
    assert output_ensemble.nngp_distance(ensemble(), 0) == pytest.approx(expected)


# claims that speak of a time, and that
NAME_A_TIME = {
    "fig3.empirical_beats_analytic": 1.0,
    "fig3.train_loss_t10": 10.0,
    "fig4.accuracies_rise_together": 2511.0,
    "fig4.network_above_chance": 1000.0,
    "figs2.rmse_growth": 80.0,
    "figs2.train_loss_t10": 10.119,
    "figs3.test_accuracy_gap": 2.0**14,
    "figs3.train_loss_1024": 1024.0,
    "figs3.rmse_growth": 2.0**14,
    "figs3.rmse_late": 2.0**14,
    "figs4.late_growth": 100.0,
    "figs8.train_loss_t10": 10.0,
    "fig1.ntk_change_t1024": 1024.0,
    "figs6.relu1_flat_end": 1024.0,
}


@pytest.mark.parametrize("name", NAME_A_TIME)
def test_a_claim_about_a_time_is_not_measured_on_a_run_that_ends_before(name):
    figure = name.partition(".")[0]
    (claim,) = (claim for claim in load_experiment(figure).claims if claim.id == name)
    table = paper_tables.paper_table(figure)
    assert np.isfinite(claim.measure(table))
    assert np.isnan(claim.measure(table[table["time"] < 0.99 * NAME_A_TIME[name]]))
