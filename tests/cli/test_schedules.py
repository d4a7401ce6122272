"""A schedule is chosen as --help and docs/settings.md write its settings, whatever schedule a figure has by itself."""

import pytest

from ntkrun.cli.arguments import completed
from ntkrun.cli.hydra.compose import compose
from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.runner.plan import make_cells
from ntkrun.settings.optimizers import ConstantSchedule, CosineSchedule, PiecewiseSchedule

COSINE = CosineSchedule(name="cosine", final_factor=0.0)


def schedules(name: str, *typed: str) -> list:
    raw = compose(completed([f"experiment={name}", "scale=smoke", *typed])).settings
    return [cell.settings.optimizer.schedule for cell in make_cells(load_experiment(name), raw)]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["fig3", "figs4"])  # figs4 has an exponential schedule at scale=smoke
@pytest.mark.parametrize(
    "typed, expected",
    [
        (["optimizer.schedule.name=cosine", "optimizer.schedule.final_factor=0"], COSINE),
        (["optimizer.schedule.final_factor=0", "optimizer.schedule.name=cosine"], COSINE),
        (["optimizer.schedule={name: cosine, final_factor: 0}"], COSINE),
        (["optimizer.schedule=cosine", "optimizer.schedule.final_factor=0"], COSINE),
        (["optimizer.schedule.name=constant"], ConstantSchedule(name="constant")),
        (
            ["optimizer.schedule={name: piecewise_constant, boundaries: [2, 4], factors: [.5, .5]}"],
            PiecewiseSchedule(name="piecewise_constant", boundaries=(2, 4), factors=(0.5, 0.5)),
        ),
    ],
)
def test_a_schedule_is_chosen_as_it_is_written(name, typed, expected):
    assert set(schedules(name, *typed)) == {expected}


@pytest.mark.parametrize(
    "typed, answer",
    [
        (["optimizer.schedule=cosine"], "optimizer.schedule.final_factor is not set: it should be a finite number"),
        (["optimizer.schedule={name: exponential, decay_rate: 2}"], "optimizer.schedule.decay_steps is not set"),
        (["optimizer.schedule.final_factor=0"], "final_factor is for optimizer.schedule.name=cosine"),
        (
            ["optimizer.schedule.name=cosine", "optimizer.schedule.decay_rate=2"],
            "decay_rate is for optimizer.schedule.name=exponential",
        ),
        (["optimizer.schedule=linear"], "'constant', 'piecewise_constant', 'cosine', 'exponential'"),
        (
            ["optimizer.schedule=constant", "optimizer.schedule.colour=red"],
            "optimizer.schedule.colour is not a setting",
        ),
    ],
)
def test_what_is_missing_or_belongs_elsewhere_is_named(typed, answer):
    with pytest.raises(UserError) as told:
        schedules("fig3", *typed)
    assert answer in str(told.value)


def test_the_rate_of_a_figures_own_schedule_can_be_changed_alone():
    assert {one.decay_rate for one in schedules("figs4", "optimizer.schedule.decay_rate=1.2")} == {1.2}


@pytest.mark.parametrize("name, chosen", [("figs2", "fc"), ("figs2", "wide_resnet"), ("fig4", "cnn"), ("figs6", "fc")])
def test_a_network_is_chosen_without_what_the_figure_says_of_another_kind(name, chosen):
    typed = ["model.depth=10"] if chosen == "wide_resnet" else []
    raw = compose([f"experiment={name}", "scale=cpu", f"model={chosen}", *typed]).settings
    assert {cell.settings.model.name for cell in make_cells(load_experiment(name), raw)} == {chosen}  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"model\.norm is not a setting of this experiment"):
        typed = [f"experiment={name}", "scale=cpu", "model=fc", "++model.norm=batch"]
        make_cells(load_experiment(name), compose(typed).settings)
