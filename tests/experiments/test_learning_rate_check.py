"""Every experiment that trains holds its rate against eta_critical, before it trains."""

import re
from typing import Any

import pytest

from ntkrun.errors import NonFiniteError
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.experiments.runs.planned_rate import planned_eta_critical
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells
from ntkrun.settings.choices import choices_of
from ntkrun.settings.optimizers import OptimizerSettings
from ntkrun.settings.runs import RunSettings


class StoppedError(Exception):
    """Raised by the warning, so that nothing is trained."""


class StopAtWarning(Silent):
    def warn(self, line: str) -> None:
        found = re.search(r"eta = (\S+) is not below eta_critical = (\S+):", line)
        if found:
            raise StoppedError(*map(float, found.groups()))


def cells_of(settings_of, name: str, *overrides: str):
    return make_cells(load_experiment(name), settings_of(name, "smoke", "data.source=stand_in", *overrides))


def trains(name: str) -> bool:
    return issubclass(load_experiment(name).settings, RunSettings)


PAST_CRITICAL = {"figs7"}  # sweeps eta to where accuracy breaks down: its result
ROUTES = [
    *((name,) for name in experiment_names() if trains(name) and name not in PAST_CRITICAL),
    ("lockstep", "linear_route=parameter_space"),
    ("lockstep", "optimizer=momentum", "optimizer.batch_size=4"),
    ("lockstep", "model.parameterization=standard", "loss=cross_entropy", "data=mnist"),
]


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_rate_above_eta_critical_is_named_with_it(settings_of, route):
    name, *overrides = route
    cell = cells_of(settings_of, name, *overrides, "optimizer.learning_rate=1e5")[0]
    with pytest.raises(StoppedError) as caught:
        load_experiment(name).run.compute(cell.settings, cell.name, StopAtWarning())
    eta, critical = caught.value.args
    assert eta >= 1e5 and 0 < critical < 1e5  # a schedule may grow


@pytest.mark.parametrize("name", [name for name in experiment_names() if not trains(name)])
def test_where_eta_is_no_setting_it_is_a_share_of_eta_critical_or_nothing_trains(settings_of, name):
    load = load_experiment(name)
    raw = settings_of(name, "smoke")
    assert "optimizer" not in raw
    if "descent" in raw:
        raw["descent"]["share_of_critical"] = 1.0
        with pytest.raises(Exception, match="share_of_critical"):
            make_cells(load, raw)


OPTIMIZERS = sorted(choices_of(kind.model_fields["name"].annotation)[0] for kind in OptimizerSettings.__subclasses__())
SMALL = ("data.n_train=6", "model.depth=1", "optimizer.steps=1")


def told(settings_of, name: str, *overrides: str) -> float | None:
    """The eta_critical of the warning."""
    (cell,) = cells_of(settings_of, name, *SMALL, *overrides, "optimizer.learning_rate=1e30")
    try:
        load_experiment(name).run.compute(cell.settings, cell.name, StopAtWarning())
    except StoppedError as found:
        return found.args[1]
    except NonFiniteError:  # nobody has warned, and it was trained
        return None
    raise AssertionError("this rate diverges")


def planned(settings_of, name: str, *overrides: str) -> float | None:
    (cell,) = cells_of(settings_of, name, *SMALL, *overrides, "optimizer.learning_rate=1e30")
    settings: Any = cell.settings
    return planned_eta_critical(settings)


WHERE = {
    "kernel": (told, "lockstep", "model.width=8"),
    "power iteration": (told, "lockstep", "model=cnn", "model.width=4"),
    "ensemble": (told, "fig1", "model.width=8", "networks=1"),
    "plan": (planned, "lockstep"),
}


@pytest.mark.parametrize("where", WHERE)
def test_eta_critical_is_what_the_optimizer_declares_over_the_largest_eigenvalue(where, settings_of):
    critical, *of = WHERE[where]
    rates = {name: critical(settings_of, *of, f"optimizer={name}") for name in OPTIMIZERS}
    chosen: Any = {name: cells_of(settings_of, *of[:1], f"optimizer={name}")[0].settings for name in OPTIMIZERS}
    products = {name: one.optimizer.stable_product for name, one in chosen.items()}
    assert {name for name, rate in rates.items() if rate is None} == {n for n in products if products[n] is None}
    largest = {name: products[name] / rate for name, rate in rates.items() if rate is not None and name != "gd"}
    assert len(largest) > 1
    assert list(largest.values()) == pytest.approx(
        [largest["momentum"]] * len(largest), rel=1e-3
    )  # four digits are told
    smallest = 2 / rates["gd"] - largest["momentum"]  # Theorem 2.1: 2/(lambda_min + lambda_max)
    assert -1e-3 * largest["momentum"] < smallest < largest["momentum"]
