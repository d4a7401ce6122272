"""No setting is accepted and ignored: what a kind of run does not use is refused, and names an experiment that uses it."""

from functools import reduce
from typing import Any

import pytest

from ntkrun.errors import UserError
from ntkrun.experiments.figures import computing, experiment_names, load_experiment
from ntkrun.runner.plan import make_cells
from ntkrun.settings.parts import replaced
from ntkrun.settings.validation import validated

OTHER = {float: 0.37, int: 7, bool: True, type(None): 2}
NAMES = [name for name in experiment_names() if computing(load_experiment(name)).name == name]


def plain(settings: Any) -> dict[str, Any]:
    """Settings as they were typed."""
    raw = settings.model_dump(mode="json", by_alias=True) | {"from": None}
    getattr(raw["model"], "pop")("source", None)  # noqa: B009
    return raw


def others(kind: Any, raw: dict[str, Any], name: str) -> list[Any]:
    """Values that the setting could have elsewhere."""
    value = reduce(lambda section, key: section[key], name.split("."), raw)
    if isinstance(value, str):
        words = {"linear_route": ["parameter_space"], "record.follow": ["examples", "logits"]}
        return (words | {"theory.analytic_kernel": ["always", "never"]})[name]
    return [not value] if isinstance(value, bool) else [OTHER[type(value)]]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_used_is_refused_and_an_experiment_that_uses_it_named(settings_of, name):
    experiment = load_experiment(name)
    for cell in make_cells(experiment, settings_of(name, "smoke"))[:1]:
        raw, kind = plain(cell.settings), type(cell.settings)
        for setting, unused in kind.unused.items():
            for other in others(kind, raw, setting):
                with pytest.raises(
                    UserError, match=rf"{setting}=\S+ changes nothing in experiment={name}: leave it out"
                ):
                    validated(kind, replaced(raw, tuple(setting.split(".")), other))
            assert setting not in load_experiment(unused.used_by).settings.unused


@pytest.mark.parametrize(
    "typed, answer",
    [
        (["theory.flow.by_solver=true"], "leave it out"),
        (["theory.flow.rtol=1e-4"], "leave it out"),
        (["loss=cross_entropy", "theory.flow.rtol=1e-4"], "add theory.flow.by_solver=true"),
        (["optimizer=nesterov", "theory.flow.by_solver=true"], "leave it out"),
        (["loss=cross_entropy", "optimizer.batch_size=4", "theory.flow.by_solver=true"], "leave it out"),
    ],
)
def test_the_solver_of_gradient_flow_is_set_only_where_it_runs(settings_of, typed, answer):
    with pytest.raises(UserError, match=answer):
        make_cells(load_experiment("lockstep"), settings_of("lockstep", "smoke", *typed))


def test_a_schedule_without_pieces_is_refused_and_a_run_that_ends_before_its_second_is_not(settings_of):
    def with_boundaries(*boundaries: int):
        typed = [
            f"+optimizer.schedule.boundaries={list(boundaries)}",
            f"+optimizer.schedule.factors={[0.5 for _ in boundaries]}",
        ]
        chosen = ("optimizer.schedule.name=piecewise_constant", "optimizer.steps=8")
        return make_cells(load_experiment("lockstep"), settings_of("lockstep", "smoke", *chosen, *typed))

    with pytest.raises(UserError, match=r"constant rate: .*schedule.name=constant"):
        with_boundaries()
    assert with_boundaries(9, 20)
