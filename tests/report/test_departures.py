"""The footer of a picture speaks of the paper where the paper has a value, and of nothing else."""

import re
from typing import Any

import numpy as np
import pytest

from ntkrun.cli.hydra.compose import compose
from ntkrun.dynamics.optimizers import Optimizer
from ntkrun.experiments.figures import experiment_names
from ntkrun.report.departures import Departures, departures, last_times
from ntkrun.settings.changes import changes, values_of
from ntkrun.settings.optimizers import AnyOptimizerSettings
from ntkrun.settings.origins import alone


def told(name: str, *typed: str) -> Departures:
    raw, shipped = (compose([f"experiment={name}", *more]).settings for more in (typed, typed[:1]))
    return departures(name, raw, changes(raw, shipped))


def test_own_data_are_called_examples_and_not_images():
    typed = ("scale=paper", "data=own", "data.path=x.npz", "data.n_test=7", "data.classes=null")
    for name in ("fig3", "fig4", "figs3", "lockstep"):
        line = told(name, *typed).line("paper", 99)
        assert "images" not in line and (name == "lockstep" or "own data instead of" in line), line
        assert "classes" not in line, "those of the file, or targets"


def test_a_picture_says_what_differs_what_is_converted_and_what_is_ours():
    not_as_printed = (
        "eta = 0.02 for the printed 0.01, classes frog, horse (printed: airplane, horse); ours: 512 test images"
    )
    assert told("fig3", "scale=cpu").line("cpu", 99) == (
        "scale=cpu: n = 512 instead of 2048, 3296 steps of changing eta instead of 25600 (paper); " + not_as_printed
    )
    assert told("fig3", "scale=paper").line("paper", 99) == f"scale=paper: {not_as_printed}"


def test_a_line_is_made_shorter_from_its_end():
    found = told("fig3", "scale=cpu")
    assert found.line("cpu", 1) == "scale=cpu: n = 512 instead of 2048 (paper); and 4 more (gallery)"
    assert found.line("cpu", 0) == "scale=cpu: and 5 more (gallery)"
    lengths = [len(found.line("cpu", most)) for most in range(found.said)]
    assert lengths == sorted(lengths)


def test_networks_are_counted_over_the_seeds():
    assert not any("networks" in text for text in told("fig2", "scale=cpu").differs), "100, as in the paper"
    assert "25 networks instead of 100" in told("fig2", "scale=cpu", "seed=0").differs


def test_a_rule_is_told_by_what_the_widths_of_the_run_use():
    typed = ("scale=cpu", "model.width=[16,64]", "networks={16:2,64:1}")  # the shipped rule has 256 and 1024, too
    found = told("fig1", *typed)
    assert "1 to 2 networks" in found.ours and "t to 8192 instead of 131072" in found.differs
    assert "20 networks" in told("fig1", "scale=cpu", "model.width=16").ours


def test_values_of_the_paper_that_scale_paper_does_not_take_are_told_as_the_papers():
    for scale, images in (("cpu", 512), ("paper", 2048)):
        assert f"{images} test images instead of 128" in told("fig4", f"scale={scale}").differs


def test_what_the_plots_contradict_is_told_with_what_is_printed():
    found = told("figs8", "scale=paper")
    rate, classes = found.converted
    assert rate == "eta = 0.035 (printed: 0.005)" and "decay of the train loss" in found.why[0]
    assert classes == "classes frog, horse (printed: airplane, horse)" and "harder pair" in found.why[1]
    assert (
        "eta = 0.1 instead of 0.02 for the printed 0.01"
        in told("fig3", "scale=cpu", "optimizer.learning_rate=.1").differs
    )


@pytest.mark.parametrize(
    ("name", "swept", "said"),
    [
        ("fig3", "[[airplane,horse],[cat,dog]]", "classes airplane / horse and cat / dog instead of frog, horse"),
        ("fig1", "[[3,8],[1,7],[0,5],[2,4]]", "classes 3 / 8 and 1 / 7 and 0 / 5 and 2 / 4 instead of all"),
        ("fig1", "[[3,8],null]", "classes 3 / 8 and all instead of all"),
    ],
)
def test_a_sweep_of_lists_is_told_list_by_list(name, swept, said):
    assert told(name, "scale=cpu", f"data.classes={swept}").differs[0].startswith(said)


def test_what_the_user_has_changed_comes_first():
    assert told("fig3", "scale=cpu", "data.classes=[cat,dog]").differs[0] == (
        "classes cat, dog instead of frog, horse (recovered; printed: airplane, horse)"
    )
    assert told("fig3", "scale=cpu", "data.classes=[airplane,horse]").differs[0] == (
        "classes airplane, horse (printed) instead of frog, horse (recovered)"
    )
    assert told("fig3", "scale=cpu", "optimizer.steps=100").differs[0] == "t to 1.44 instead of 256"


def test_parts_are_named_where_they_differ_and_where_they_are_left_out():
    found = told("figs6", "scale=cpu", "parts.relu1=null").differs
    assert found[0] == "without relu1" and "t to 1024 instead of 131072" in found
    assert any(text.endswith("in part relu1") for text in told("figs6", "scale=cpu").differs)


@pytest.mark.parametrize("name", [name for name in experiment_names() if alone(name)])
def test_what_is_no_figure_of_the_paper_never_names_it(name):
    line = told(name, "scale=cpu").line("cpu", 99)
    assert "(paper)" not in line and "instead" not in line and line.endswith(alone(name))


@pytest.mark.parametrize("name", [name for name in experiment_names() if not alone(name)])
def test_at_scale_paper_nothing_but_a_choice_of_ours_differs_from_the_paper(name):
    """Numbers of images that curves are averaged over, of rates and of points, are more or fewer on purpose."""
    for text in told(name, "scale=paper").differs:
        assert re.search(r"images instead|rates instead|alpha instead", text), text


SCHEDULES: list[dict[str, Any]] = [
    {"name": "constant"},
    {"name": "piecewise_constant", "boundaries": [3, 10], "factors": [2.0, 0.5]},
    {"name": "cosine", "final_factor": 0.1},
    {"name": "exponential", "decay_steps": 3, "decay_rate": 1.3},
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: one["name"])
@pytest.mark.parametrize("optimizer", ["gd", "momentum", "nesterov", "adam"])
def test_the_last_time_is_that_of_the_run(schedule, optimizer):
    typed = [f"optimizer={optimizer}", "optimizer.steps=20", "optimizer.time_per_eta=.5", "scale=cpu"]
    raw = compose(["experiment=lockstep", *typed]).settings
    raw["optimizer"]["schedule"] = schedule
    settings = make(raw)
    (last,) = last_times(values_of(raw)[""])
    assert np.isclose(last, Optimizer(settings).axis_times()[-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["optimizer.time_per_eta=[1,2]"], "t to 0.64..1.28 instead of 256"),
        (["optimizer.learning_rate={16:1,32:0.5}", "model.width=[16,32]"], "t to 8..16 instead of 256"),
        (["optimizer.schedule.name=cosine", "++optimizer.schedule.final_factor=[0.0,1.0]"], "t to 0.33..0.64"),
        (
            [
                "optimizer.schedule.name=exponential",
                "++optimizer.schedule.decay_steps=[32,64]",
                "++optimizer.schedule.decay_rate=[1.0,0.25]",
            ],
            "t to 0.3538..0.64 instead of 256",
        ),
        (
            [
                "optimizer.schedule.name=piecewise_constant",
                "++optimizer.schedule.boundaries=[[8],[16]]",
                "++optimizer.schedule.factors=[[0.5],[2.0]]",
            ],
            "t to 0.4..1.12 instead of 256",
        ),
    ],
    ids=["time per eta", "a rule of rates", "cosine", "exponential", "piecewise"],
)
def test_the_times_of_a_sweep_of_its_clock_are_those_of_all_cells(typed, said):
    rate = [] if any("learning_rate" in word for word in typed) else ["optimizer.time_per_eta=1"]
    rate = [word for word in rate if not any(other.startswith("optimizer.time_per_eta") for other in typed)]
    differs = told("fig3", "scale=smoke", *rate, "optimizer.learning_rate=0.02", *typed)
    assert any(text.startswith(said) for text in differs.differs), differs.differs


def test_networks_of_a_sweep_or_a_rule_are_those_of_all_seeds():
    assert "4, 6 networks instead of 100" in told("fig2", "scale=smoke", "networks=[2,3]").differs
    assert "4 to 6 networks" in told("fig1", "scale=smoke", "networks={16:2,32:3}", "seed=[0,9]").ours


def test_a_batch_of_all_is_a_full_batch():
    assert "full batches instead of batches of 8" in told("fig4", "scale=smoke", "optimizer.batch_size=null").differs
    assert "full batches and batches of 4 instead of full batches" in (
        told("fig3", "scale=smoke", "optimizer.batch_size=[null,4]").differs
    )


def make(raw: dict[str, Any]) -> AnyOptimizerSettings:
    from ntkrun.experiments.figures import load_experiment
    from ntkrun.runner.plan import make_cells

    (cell,) = make_cells(load_experiment("lockstep"), raw)
    return cell.settings.optimizer  # type: ignore[attr-defined]
