"""Every setting of every kind of run, changed alone: what may change a number changes the hash, what is local does not."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_origin

import jax
import pytest
from pydantic import BaseModel

from ntkrun.experiments.figures import computing, experiment_names, load_experiment
from ntkrun.experiments.runs.random_keys import cell_key
from ntkrun.runner.plan import config_hash, make_cells
from ntkrun.settings.fields import Before
from ntkrun.settings.schema import Described, alternatives, described, mark_of, with_later

SCHEDULES = {
    "piecewise_constant": ("+optimizer.schedule.boundaries=[2]", "+optimizer.schedule.factors=[.5]"),
    "cosine": ("+optimizer.schedule.final_factor=.1",),
    "exponential": ("+optimizer.schedule.decay_steps=3", "+optimizer.schedule.decay_rate=.9"),
}
BASES = {name: (name,) for name in sorted({computing(load_experiment(name)).name for name in experiment_names()})}
BASES |= {f"optimizer={name}": ("lockstep", f"optimizer={name}") for name in ("momentum", "nesterov", "adam")}
BASES |= {f"model={name}": ("lockstep", f"model={name}") for name in ("cnn", "wide_resnet")}
BASES |= {name: ("lockstep", f"optimizer.schedule.name={name}", *rest) for name, rest in SCHEDULES.items()}
BASES["model=own"] = ("lockstep", "model=own", "model.path=json:JSONDecoder", "allow_custom=true")


@pytest.fixture(scope="module")
def base(settings_of) -> Callable[[str], tuple[Any, Any]]:
    """(experiment, settings) of one of BASES, composed once."""

    @functools.cache
    def found(which: str) -> tuple[Any, Any]:
        name, *overrides = BASES[which]
        experiment = load_experiment(name)
        return experiment, make_cells(experiment, settings_of(name, "smoke", *overrides))[0].settings

    return found


def leaves(section: BaseModel, above: tuple[str, ...] = ()) -> Iterator[tuple[Described, Any]]:
    """Every single value of these settings, with what its type says of it."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*above, name))
        else:
            yield Described((*above, name), type(section), name, field), value


def another(one: Described, value: Any) -> Any:
    """A value of the same kind; whether it goes with the other settings does not matter here."""
    if value is None:
        kinds = [get_origin(kind) or kind for kind in alternatives(one.field.annotation)]
        values = {tuple: (1,), float: 0.25, int: 7, str: "x", Literal: one.choices[:1]}
        return next(value for kind, value in values.items() if kind in kinds)
    if one.choices and value in one.choices:
        return next((word for word in one.choices if word != value), "another")
    if isinstance(value, bool):
        return not value
    if isinstance(value, dict):
        return value | {"more": 1}
    return (*value, 1) if isinstance(value, tuple) else value + ("x" if isinstance(value, str) else 1)


def changed(section: Any, path: tuple[str, ...], value: Any) -> Any:
    head, *rest = path
    return section.model_copy(update={head: changed(getattr(section, head), tuple(rest), value) if rest else value})


# a name that chooses a class is none of its words here
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("which", BASES)
def test_a_setting_changed_alone_changes_the_hash_unless_it_is_local(which, base):
    experiment, settings = base(which)
    seen = {config_hash(experiment, settings): "nothing changed"}
    for one, value in leaves(settings):
        found = config_hash(experiment, changed(settings, one.path, another(one, value)))
        if one.local:
            assert seen.get(found) == "nothing changed", f"{'.'.join(one.path)} is local"
        else:
            assert found not in seen, f"{'.'.join(one.path)} has the hash of {seen[found]}"
            seen[found] = ".".join(one.path)
    assert len(seen) > 5


def test_no_field_of_any_class_is_left_out_above(base):
    there = {(one.section, one.name) for which in BASES for one, _ in leaves(base(which)[1])}
    kinds = {type(base(which)[1]) for which in BASES}
    assert kinds == {load_experiment(name).settings for name in experiment_names()}
    assert {(one.section, one.name) for kind in kinds for one in described(kind)} == there


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("which", ["lockstep", "model=cnn", "model=own", "theorem21", "figs9"])
def test_draws_belong_to_the_seed_and_the_network_alone(which, base):
    """A longer run, other images or another rate start from the same theta_0; another network or seed does not."""
    _, settings = base(which)
    key = jax.random.key_data(cell_key(settings, "theta0"))
    for one, value in leaves(settings):
        other = jax.random.key_data(cell_key(changed(settings, one.path, another(one, value)), "theta0"))
        assert bool((other != key).any()) == (one.path[0] in ("seed", "model") and not one.local), one.path


@pytest.mark.parametrize("which", BASES)
def test_a_setting_that_came_later_is_in_a_hash_where_it_has_another_value_than_held_before(which, base):
    """A cell without it is found and drawn as it was then, and what was recorded then is what is found now."""
    _, settings = base(which)
    recorded = settings.model_dump(mode="json")
    later = [one for one, _ in leaves(settings) if mark_of(one.field, Before)]
    assert later, "theory.analytic_kernel is in every run"
    for one in later:
        before = mark_of(one.field, Before).value  # type: ignore[union-attr]
        as_then = changed(settings, one.path, before)
        assert not holds(as_then.identity, one.path) and not holds({"model": as_then.drawn_for}, one.path)
        if not one.local and one.path != ("data", "path"):  # a file is in the hash by its content, wherever it lies
            assert holds(changed(settings, one.path, another(one, before)).identity, one.path)
        filled = with_later(type(settings), without(recorded, one.path))
        assert functools.reduce(dict.__getitem__, one.path, filled) == before


def holds(plain: dict[str, Any], path: tuple[str, ...]) -> bool:
    head, *rest = path
    return head in plain and (not rest or holds(plain[head], tuple(rest)))


def without(plain: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    head, *rest = path
    if rest:
        return plain | {head: without(plain[head], tuple(rest))}
    return {name: value for name, value in plain.items() if name != head}


def test_settings_of_another_kind_of_network_are_not_filled_in(base):
    recorded = base("lockstep")[1].model_dump(mode="json")
    assert with_later(type(base("lockstep")[1]), recorded) == recorded
