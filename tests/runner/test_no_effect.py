"""What does nothing beside other settings is told in one line, where the user has changed it, and what can never do anything is
refused."""

import jax.numpy as jnp
import pytest

from ntkrun.errors import UserError
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.experiments.runs.prepare import choose_weights, set_up_training
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.data_sets import check_images
from ntkrun.runner.no_effect import without_effect
from ntkrun.runner.plan import make_cells
from ntkrun.settings.changes import changes
from ntkrun.settings.runs import RunSettings

PIECES = (
    "optimizer.schedule.name=piecewise_constant",
    "+optimizer.schedule.boundaries=[2,40]",
    "+optimizer.schedule.factors=[0.5,0.5]",
)


def lines(settings_of, *typed: str, name: str = "lockstep") -> list[str]:
    here = [] if name in ("figs9", "figs10") else ["data.source=stand_in"]
    plain, raw = (settings_of(name, "smoke", *here, *more) for more in ((), typed))
    return without_effect(make_cells(load_experiment(name), raw), changes(raw, plain))


@pytest.mark.parametrize(
    "typed, says",
    [
        (PIECES, "the run ends before 40, optimizer.steps=16"),
        (("record.first_time=1e9",), "behind the end of the run, t = 1.6"),
        (("record.first_time=1.6001",), "curves against t are single points; take record.first_time=0.1, say"),
        (("optimizer.learning_rate=1e-3",), "record.first_time=0.1 lies behind the end of the run, t = 0.016"),
        (("record.outputs=12",), "there are 10 outputs of an example"),
        (("record.outputs=500", "record.follow=examples"), "examples, and no more can be followed"),
        (("style=slides", "stage=plan"), "style=slides is for a picture, and stage=plan draws none"),
        (("name=mine", "stage=run"), "type it with stage=report or stage=all"),
    ],
)
def test_what_does_nothing_is_told_in_one_line(settings_of, typed, says):
    (line,) = lines(settings_of, *typed)
    assert says in line and "\n" not in line


@pytest.mark.parametrize(
    "typed",
    [
        (),
        (*PIECES, "optimizer.steps=41"),
        ("record.first_time=1.5",),
        ("record.outputs=10",),
        ("style=slides", "name=mine", "stage=report"),
        ("optimizer.steps=3",),
        ("optimizer.learning_rate=1e-3", "record.first_time=1e-3"),
    ],
)
def test_what_does_something_is_not(settings_of, typed):
    assert lines(settings_of, *typed) == []


def test_a_run_that_records_at_times_of_its_own_is_not_held_to_the_first_time(settings_of):
    assert lines(settings_of, "optimizer.learning_rate=1e-5", name="fig2") == []
    assert lines(settings_of, "optimizer.steps=1", "record.first_time=0.001", name="fig1") == []
    (line,) = lines(settings_of, "optimizer.learning_rate=0.001", name="fig1")
    assert "record.first_time=1 lies behind" in line


@pytest.mark.parametrize("name", [one for one in experiment_names() if one != "figs1"])  # which has fig2's cells
def test_the_shipped_settings_are_not_complained_of(settings_of, name):
    assert lines(settings_of, name=name) == []
    assert lines(settings_of, "seed=7" if name != "fig2" else "seed=[7,10]", name=name) == []


def test_of_more_weights_than_there_are_all_are_followed_and_it_is_told(settings_of):
    theta = {"layer_1": {"omega": jnp.zeros((2, 3)), "beta": jnp.zeros(3)}}
    assert [len(choose_weights(theta, count)) for count in (5, 6, 7)] == [5, 6, 6]
    small = ["data.source=stand_in", "data=mnist", "model.width=1", "model.depth=1"]
    for count, told in ((794, []), (795, ["record.weights=795: the network has 794 weights, which are followed"])):
        (cell,) = make_cells(
            load_experiment("lockstep"), settings_of("lockstep", "smoke", *small, f"record.weights={count}")
        )
        assert isinstance(cell.settings, RunSettings)
        set_up_training(cell.settings, progress := Silent())
        assert [line for line in progress.warnings if "weights" in line] == told


def test_shifts_out_of_the_image_are_refused(settings_of):
    for crop, fits in ((31, True), (32, False)):
        raw = settings_of("lockstep", "smoke", "data.source=stand_in", "optimizer.batch_size=4", f"data.crop={crop}")
        (cell,) = make_cells(load_experiment("lockstep"), raw)
        if fits:
            check_images(cell)
        else:
            with pytest.raises(UserError, match=r"data\.crop=32 shifts images of 32 x 32 pixels out of themselves"):
                check_images(cell)
