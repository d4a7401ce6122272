"""Which rivals a run has is decided once, from its settings and sizes."""

from typing import Any

import pytest

from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.routes import KERNEL_ROWS, Routes, Wanted, routes_of
from ntkrun.runner.plan import make_cells


def settings(settings_of, *overrides: str) -> Any:
    raw = settings_of("lockstep", "smoke", "data.source=stand_in", "data.classes=[0,1]", *overrides)
    return make_cells(load_experiment("lockstep"), raw)[0].settings


FULL_BATCH = ("optimizer=gd", "optimizer.batch_size=null")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (FULL_BATCH, Routes("function_space", True, "spectrum", "kernel")),
        ((*FULL_BATCH, "loss=cross_entropy"), Routes("function_space", True, None, "kernel")),
        (
            (*FULL_BATCH, "loss=cross_entropy", "theory.flow.by_solver=true"),
            Routes("function_space", True, "solver", "kernel"),
        ),
        ((*FULL_BATCH, "linear_route=parameter_space"), Routes("parameter_space", True, "spectrum", "kernel")),
        (("optimizer=gd", "optimizer.batch_size=4"), Routes("parameter_space", True, None, "kernel")),
        (("optimizer=nesterov",), Routes("function_space", True, None, "kernel")),
        (("optimizer=adam",), Routes("parameter_space", False, None, None)),
        ((*FULL_BATCH, "weight_decay=.1"), Routes("parameter_space", False, None, "kernel")),
        ((*FULL_BATCH, "model=cnn"), Routes("function_space", False, "spectrum", "power_iteration")),
        (
            (*FULL_BATCH, "model=wide_resnet", "model.norm=batch"),
            Routes("parameter_space", False, None, "power_iteration"),
        ),
    ],
)
def test_what_follows_from_the_settings(settings_of, overrides, expected):
    assert routes_of(settings(settings_of, *overrides), 8, 1, Wanted()) == expected


@pytest.mark.parametrize(
    ("overrides", "analytic"),
    [
        (("model=cnn", "model.pool=flatten"), True),
        (("model=cnn", "model.pool=average"), False),  # a thousand times as much
        (("model=cnn", "model.pool=average", "theory.analytic_kernel=always"), True),
        (("model=wide_resnet", "model.norm=none"), False),
        (("model=cnn", "model.pool=flatten", "theory.analytic_kernel=never"), False),
        (("model=fc", "theory.analytic_kernel=never"), False),
    ],
)
def test_theta_of_convolutions_is_a_rival_where_it_is_cheap_or_asked_for(settings_of, overrides, analytic):
    found = routes_of(settings(settings_of, *FULL_BATCH, *overrides), 8, 1, Wanted())
    assert (found.analytic, found.kernels) == (analytic, True)


@pytest.mark.parametrize("choice", ["always", "never"])
def test_a_choice_about_a_kernel_that_is_not_there_is_refused(settings_of, choice):
    for overrides in (("model=wide_resnet", "model.norm=batch"), ("optimizer=adam",)):
        with pytest.raises(UserError, match=rf"theory.analytic_kernel={choice}: there is none to choose"):
            settings(settings_of, *overrides, f"theory.analytic_kernel={choice}")


def test_a_kernel_that_is_too_large_is_no_rival_and_an_error_where_f_lin_needs_it(settings_of):
    in_parameter_space = settings(settings_of, *FULL_BATCH, "linear_route=parameter_space")
    found = routes_of(in_parameter_space, KERNEL_ROWS + 1, 1, Wanted())
    assert (found.analytic, found.flow, found.kernels) == (False, None, False)
    assert routes_of(in_parameter_space, KERNEL_ROWS, 1, Wanted()).kernels
    with pytest.raises(UserError, match="linear_route=parameter_space"):
        routes_of(settings(settings_of, *FULL_BATCH), KERNEL_ROWS // 2 + 1, 2, Wanted())


def test_what_a_kind_of_run_does_not_want_is_left_out(settings_of):
    found = routes_of(
        settings(settings_of, *FULL_BATCH, "loss=cross_entropy"), 8, 2, Wanted(analytic=False, solver=True)
    )
    assert found == Routes("function_space", False, "solver", "kernel")
