"""A setting that a run has not, and another has, is refused with what has it."""

import re

import pytest

from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.runner.other_settings import whose
from ntkrun.settings.schema import described


def names(experiment: str) -> set[str]:
    """Settings and sections."""
    found = [one.path for one in described(load_experiment(experiment).settings)]
    return {".".join(path[:length]) for path in found for length in (1, len(path))}


@pytest.mark.parametrize("name", ["fig3", "figs5", "figs9"])
def test_a_setting_of_another_experiment_is_told_with_one_that_has_it(name):
    having = {other: names(other) for other in experiment_names()}
    elsewhere = set().union(*having.values()) - having[name]
    assert elsewhere
    for one in sorted(elsewhere)[::4]:
        found = re.match(r"; experiment=(\w+)", whose(one, name))
        assert found and one in having[found[1]], one
    assert whose("parts.P1.linearity", "fig3") == whose("linearity", "fig3")


def test_what_comes_with_another_choice_is_told_with_the_choice():
    assert whose("model.pool", "lockstep") == "; it comes with model=cnn"
    assert whose("optimizer.beta2", "fig3") == "; it comes with optimizer=adam"
    assert "experiment=figs5" in whose("descent", "fig3"), "a whole section"


@pytest.mark.parametrize("name", ["colour", "model.widht", "model.width.x", "parts.colour"])
def test_of_what_no_run_has_nothing_is_told(name):
    assert whose(name, "fig3") == ""
