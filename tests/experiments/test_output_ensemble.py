"""The cell of Figures 2 and S1, and the statistics that its claims rest on."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntkrun import tables
from ntkrun.errors import UserError
from ntkrun.experiments.analysis.output_ensemble import functions, mean_z, variance_z
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.probes import probes
from ntkrun.experiments.runs.output_ensemble import panel_steps, theory
from ntkrun.experiments.runs.prepare import set_up_training
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.gather import together
from ntkrun.runner.plan import make_cells

SMALL = ("data.source=stand_in", "seed=0", "networks=2", "alphas=6", "parts.readout=null")


def cell_of(settings_of, *overrides: str):
    (cell,) = make_cells(load_experiment("fig2"), settings_of("fig2", "smoke", *SMALL, *overrides))
    return cell


def test_a_cell_records_every_network_and_both_theories(settings_of):
    cell = cell_of(settings_of, "converged=0.3")
    experiment = load_experiment("fig2")
    table = together(experiment, [(cell, experiment.run.compute(cell.settings, cell.name, Silent()).table)])
    assert set(table["curve"]) == {
        "alpha", "target", "output/network", "covariance/ntk",
        "mean/ntk", "variance/ntk", "mean/nngp", "variance/nngp",
    }  # fmt: skip
    assert set(table.loc[table["curve"] == "output/network", "seed"]) == {0, 1}
    one, other = functions(table, 256)
    assert one.shape == (6,) and (one != other).all(), "each network has its own draw"
    assert np.isfinite(table["value"]).all()
    for name in ("fig2", "figs1"):
        assert len(load_experiment(name).plot(table).axes) == 3


def test_frozen_networks_are_held_against_the_nngp(settings_of):
    settings: Any = cell_of(settings_of, "trained=readout").settings
    setup = set_up_training(settings, Silent())
    x = np.asarray(setup.data.x_train).reshape(16, -1)
    found = theory(setup, x, x[:3] + x[3:6], [0, 16, 256])
    np.testing.assert_allclose(found["ntk"].mean, found["nngp"].mean, atol=1e-12)
    np.testing.assert_allclose(found["ntk"].covariance, found["nngp"].covariance, atol=1e-12)


@pytest.mark.parametrize("wrong", ["optimizer=momentum", "loss=cross_entropy", "model.parameterization=standard"])
def test_where_the_theory_does_not_hold_is_refused(settings_of, wrong):
    setting, needed = wrong.partition("=")[0], {"optimizer": "gd", "loss": "mse", "model.parameterization": "ntk"}
    with pytest.raises(UserError, match=f"^{setting}.* is for {setting}={needed[setting]} alone"):
        cell_of(settings_of, wrong, *(["data.targets=one_hot"] if "loss" in wrong else []))


def test_a_time_between_two_steps_is_refused():
    assert panel_steps(np.array([0.0, 1.0, 5.0]), (0.0, 5.0)) == [0, 2]
    with pytest.raises(UserError, match="t = 3"):
        panel_steps(np.array([0.0, 1.0, 5.0]), (0.0, 3.0))


def test_steps_after_the_last_of_times_are_refused_before_anything_is_trained(settings_of):
    assert panel_steps(np.array([0.0, 1.0, 5.0]), (5.0, 0.0)) == [2, 0]
    with pytest.raises(
        UserError, match=r"optimizer\.steps=2: nothing is recorded after .* step 1: use optimizer\.steps=1"
    ):
        panel_steps(np.array([0.0, 1.0, 5.0]), (0.0, 1.0))
    cell, progress = cell_of(settings_of, "times=[0,16]", "optimizer.steps=17", "converged=null"), Silent()
    with pytest.raises(UserError, match=r"at step 16: use optimizer\.steps=16, or add a time"):
        load_experiment("fig2").run.compute(cell.settings, cell.name, progress)


def synthetic(members: int, shift: float, scale: float, seed: int) -> pd.DataFrame:
    """Networks drawn from N(mu + shift sd / sqrt(S) e, scale^2 Sigma) along a grid of 11 alphas."""
    rng = np.random.default_rng(seed)
    alphas = np.linspace(-2, 3, 11)
    at = probes(alphas)
    sigma = np.exp(-((alphas[:, None] - alphas) ** 2) / 2)
    mu = np.sin(alphas)
    root = np.linalg.cholesky(sigma + 1e-12 * np.eye(11))
    f = mu + scale * rng.standard_normal((members, 11)) @ root.T + shift / np.sqrt(members)
    frames = [tables.rows("alpha", "", [0], [0.0], alphas[None]), tables.rows("mean/ntk", "test", [1], [1.0], mu[None])]
    frames.append(tables.rows("covariance/ntk", "test", [1], [1.0], sigma[at[:, None], at].reshape(1, -1)))
    theory = tables.tidy(frames, figure="fig2", cell="c", seed=0, width=1)
    rows = [tables.rows("output/network", "test", [1], [1.0], f.reshape(1, -1))]
    networks = tables.tidy(rows, figure="fig2", cell="c", seed=0, width=1)
    networks["seed"], networks["index"] = (index.ravel() for index in np.indices(f.shape))
    return pd.concat([theory, networks], ignore_index=True)


def test_z_scores_are_calibrated_and_see_a_wrong_mean_or_variance():
    """Under the theory chi^2 has mean p and variance 2 p: mean 0 and sd 1 of z, each here to 1/sqrt(60) = .13."""
    drawn = [synthetic(20, 0.0, 1.0, seed) for seed in range(60)]
    for z in (mean_z, variance_z):
        scores = np.array([z(table, 1.0) for table in drawn])
        assert abs(scores.mean()) < 4 * 0.13 and 0.6 < scores.std() < 1.6
    assert mean_z(synthetic(100, 6.0, 1.0, 0), 1.0) > 4.9, "six standard errors"
    assert variance_z(synthetic(100, 0.0, 1.2, 0), 1.0) > 3.3, "44 % more variance"
    assert variance_z(synthetic(100, 0.0, 0.8, 0), 1.0) < -3.3
