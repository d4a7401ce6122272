"""No setting is taken and ignored: changed alone it changes the table, or is refused, or is known to change no number."""

from functools import cache

import jax
import pytest
from every_setting import NO_NUMBER, ORDER, QUICKEST, TYPED, Base, Setting, settings_of
from test_identity import BASES

from ntkrun.experiments.figures import computing, experiment_names, load_experiment

base = cache(Base.of)


def tried(which: str) -> list[Setting]:
    """The settings of a base that have another value, and have to do something."""
    return [one for one in settings_of(base(which).settings) if one.others and one.name not in NO_NUMBER]


def first_uses(order: tuple[str, ...]) -> dict[str, list[Setting]]:
    """Base -> the settings that may be changed there and in none before it: each setting of every class once."""
    seen: set[tuple[type, str]] = set()
    found: dict[str, list[Setting]] = {}
    for which in order:
        for one in tried(which):
            if one.declared not in seen and base(which).takes_another(one):
                seen.add(one.declared)
                found.setdefault(which, []).append(one)
    return found


@pytest.mark.parametrize("which", QUICKEST)
def test_every_setting_is_used_where_it_is_quickly_tried(which):
    settings = first_uses(QUICKEST[: QUICKEST.index(which) + 1]).get(which, [])
    ignored = {one.name: values for one in settings if (values := base(which).ignored(one, thorough=False))}
    assert ignored == {}


def test_no_setting_and_no_experiment_is_left_out():
    assert set(first_uses(ORDER)) <= set(QUICKEST)
    assert set(ORDER) == set(TYPED) >= BASES.keys() - {"model=own"}
    experiments = {computing(load_experiment(name)).name for name in experiment_names()}
    assert {experiment for experiment, *_ in TYPED.values()} == experiments


# settings far from the shipped ones: kernels of tanh say how much they err there
@pytest.mark.filterwarnings("ignore:activation .* Hermite terms:UserWarning")
@pytest.mark.settings
@pytest.mark.parametrize("which", ORDER)
def test_every_setting_of_every_experiment_is_used_or_refused(which):
    """Each word of a closed list where the experiment has it by itself; in its variations one other word shows the use."""
    by_itself = set() if which == (name := TYPED[which][0]) else {one.declared for one in tried(name)}
    ignored = {
        one.name: values
        for one in tried(which)
        if (values := base(which).ignored(one, thorough=one.declared not in by_itself))
    }
    jax.clear_caches()  # a gigabyte of programs that no other experiment runs
    assert ignored == {}
