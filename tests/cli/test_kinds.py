"""A sweep over kinds of networks, optimizers or schedules that have settings of their own says how they are compared."""

import pytest

from ntkrun.cli.hydra.compose import compose
from ntkrun.errors import UserError


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("model.name=[fc,cnn]", "type model=fc and model=cnn in calls of their own"),
        ("optimizer.name=[gd,adam]", "type optimizer=gd and optimizer=adam in calls"),
        ("optimizer.name=[gd,momentum]", "type optimizer=gd and optimizer=momentum in calls"),
        (
            "optimizer.schedule.name=[constant,cosine]",
            "type optimizer.schedule=constant and optimizer.schedule=cosine in",
        ),
    ],
)
def test_kinds_with_settings_of_their_own_are_runs_of_their_own(typed, says):
    with pytest.raises(UserError, match="stage=compare puts their runs side by side") as told:
        compose(["experiment=lockstep", "scale=smoke", typed])
    assert says in str(told.value)


def test_kinds_of_the_same_settings_are_swept():
    both = compose(["experiment=lockstep", "scale=smoke", "optimizer=momentum", "optimizer.name=[momentum,nesterov]"])
    assert both.settings["optimizer"]["name"] == ["momentum", "nesterov"]
