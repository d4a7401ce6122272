"""What `linearity=true` adds to a run: its curves, their cost in a plan, its panels, and nothing to what was there."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from told import Told, check_told

from ntkrun.devices.placement import ON_A_CPU
from ntkrun.dynamics.linearity import KERNEL_EXAMPLES
from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.experiments.figures import load_experiment
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import config_hash, make_cells
from ntkrun.settings.validation import validated

LOCKSTEP = load_experiment("lockstep")
TINY = (
    "data.source=stand_in",
    "data=cifar10_binary",
    "data.n_train=6",
    "data.n_test=4",
    "model.width=8",
    "model.depth=1",
)


def cell(settings_of, *typed: str) -> Any:
    return make_cells(LOCKSTEP, settings_of("lockstep", "smoke", *TINY, *typed))[0]


def table_of(settings_of, *typed: str) -> pd.DataFrame:
    """What is told at each record point stands in it."""
    one, progress = cell(settings_of, *typed), Silent()
    progress.log = told = Told()
    table = LOCKSTEP.run.compute(one.settings, one.name, progress).table
    check_told(told, table, one.settings)
    looked_at = {"sharpness/network/train", "ntk_change/network/train", "rmse/expansion/test"}
    assert all((looked_at <= values.keys()) == one.settings.linearity for _, _, values in told.points)
    return table


def values(table: pd.DataFrame, curve: str, split: str = "train") -> np.ndarray:
    return table[(table["curve"] == curve) & (table["split"] == split)]["value"].to_numpy()


@pytest.fixture(scope="module")
def recorded(settings_of):
    """The tables of one run without and with."""
    return table_of(settings_of), table_of(settings_of, "linearity=true")


def test_what_was_recorded_before_stays_what_it_is_and_the_rest_is_new(recorded):
    without, with_it = recorded
    new = set(with_it["curve"]) - set(without["curve"])
    assert new == {
        "ntk_change/network", "alignment/network", "sharpness/network", "stable_sharpness/network", "layer_change/network",
        "rmse/expansion",
    }  # fmt: skip
    before = with_it[~with_it["curve"].isin(new)].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, without, rtol=0, atol=1e-6)  # another program observes: rounding of float32
    start = with_it[with_it["step"] == 0]
    for curve in ("ntk_change/network", "layer_change/network", "rmse/expansion"):
        assert start.loc[start["curve"] == curve, "value"].max() < 1e-6, curve
    assert set(with_it.loc[with_it["curve"] == "layer_change/network", "index"]) == {0, 1}


# eta lambda up to which a step is stable, of the rate that theta has, eta_0/n = eta_0/8 in the standard parameterization
STABLE = {
    "optimizer.learning_rate=.1": 2 / 0.1,
    "optimizer=momentum optimizer.momentum=.9 optimizer.learning_rate=.1": 3.8 / 0.1,
    "optimizer=nesterov optimizer.momentum=.9 optimizer.learning_rate=.1": 3.8 / 2.8 / 0.1,
    "optimizer.learning_rate=.1 model.parameterization=standard": 2 / 0.1 * 8,
}


@pytest.mark.parametrize("typed", STABLE)
def test_the_sharpness_stands_beside_what_the_optimizer_is_stable_up_to(typed, settings_of):
    table = table_of(settings_of, "linearity=true", "optimizer.steps=1", *typed.split())
    np.testing.assert_allclose(values(table, "stable_sharpness/network"), STABLE[typed])


@pytest.mark.parametrize("name", ["gd", "momentum", "nesterov"])
def test_steps_are_stable_up_to_what_the_optimizer_declares_and_no_further(name, settings_of):
    """The largest root of the recurrence of its own steps on lambda theta^2/2, at both sides."""
    settings = cell(settings_of, f"optimizer={name}").settings.optimizer

    def largest_root(product: float) -> float:
        from ntkrun.dynamics.optimizers import Optimizer

        tx = Optimizer(settings).scaled(1.0)
        theta: Any = np.asarray(1.0)
        state, sizes = tx.init(theta), []
        for _ in range(400):
            update, state = tx.update(product / settings.learning_rate * theta, state, theta)
            theta = theta + np.asarray(update)
            sizes.append(abs(float(theta)))
        return (max(sizes[-20:]) / max(sizes[180:200])) ** (1 / 200)

    assert settings.stable_product is not None
    assert largest_root(0.98 * settings.stable_product) < 1 < largest_root(1.02 * settings.stable_product)


def test_adam_declares_none_and_decay_is_part_of_the_loss(settings_of):
    plain, decayed = (
        table_of(settings_of, "linearity=true", "optimizer=adam", "optimizer.steps=1", f"weight_decay={decay}")
        for decay in (0.0, 0.5)
    )
    assert "stable_sharpness/network" not in set(plain["curve"])
    start = [values(table, "sharpness/network")[0] for table in (plain, decayed)]
    assert start[1] - start[0] == pytest.approx(0.5, rel=1e-5)


def test_cells_stored_before_are_found_and_those_with_records_are_others(settings_of):
    without, with_it = (cell(settings_of, *typed).settings for typed in ((), ("linearity=true",)))
    assert "linearity" not in without.identity and with_it.identity["linearity"] is True
    assert config_hash(LOCKSTEP, without) != config_hash(LOCKSTEP, with_it)


def test_a_plan_counts_what_records_cost_and_nothing_where_there_are_none(settings_of):
    def pieces(*typed: str) -> dict[str, float]:
        work = LOCKSTEP.run.planned_work(cell(settings_of, "data.n_train=40", *typed).settings, ON_A_CPU)
        costs: dict[str, float] = {}
        for piece in work.pieces:
            costs[piece.what] = costs.get(piece.what, 0.0) + piece.flops / piece.times
        return costs

    without, with_it = pieces(), pieces("linearity=true")
    assert with_it["step"] == without["step"]
    assert with_it["kernel"] > without["kernel"]
    assert 20 * with_it["step"] < with_it["observation"] - without["observation"] < 60 * with_it["step"]


@pytest.mark.parametrize("typed", [(), ("seed=[0,1]",), ("optimizer.learning_rate=[.1,.2]",)])
def test_the_panels_show_every_curve(typed, recorded):
    table = recorded[1]
    copies = [table.assign(seed=seed) for seed in (0, 1)] if "seed=[0,1]" in typed else [table]
    if "optimizer.learning_rate=[.1,.2]" in typed:
        copies = [table.assign(**{"optimizer.learning_rate": rate}) for rate in (0.1, 0.2)]
    figure = LOCKSTEP.plot(pd.concat(copies, ignore_index=True))
    titles = [ax.get_title() for ax in figure.axes]
    for part in ("kernel", "sharpness", "RMSE to the network"):
        assert any(part in title for title in titles), part
    (sharpness,) = [ax for ax in figure.axes if "sharpness" in ax.get_title()]
    drawn = {round(float(y), 9) for line in sharpness.get_lines() for y in np.asarray(line.get_ydata())}
    assert {round(y, 9) for y in values(table, "sharpness/network")[1:]} <= drawn


def test_other_experiments_refuse_it(settings_of):
    raw = settings_of("fig3", "smoke") | {"linearity": True}
    with pytest.raises(UserError, match="linearity"):
        validated(load_experiment("fig3").settings, raw)


def test_few_examples_where_each_output_takes_a_gradient():
    assert KERNEL_EXAMPLES["jacobian"] < KERNEL_EXAMPLES["structured"]
    assert {curves.ALIGNMENT.of(curves.NETWORK), curves.RMSE.of(curves.EXPANSION)} <= curves.ALL
