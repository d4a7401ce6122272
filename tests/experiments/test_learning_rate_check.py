"""Every experiment that trains holds its rate against eta_critical, before it trains."""

import re

import pytest

from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells
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
