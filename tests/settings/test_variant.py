"""What a run changes of its experiment, and the name that this makes: two different changes never share a folder."""

import itertools
import re

import pytest
from pydantic import TypeAdapter, ValidationError

from ntkrun.settings.changes import changes, own_values
from ntkrun.settings.parts import leaves
from ntkrun.settings.variant import LONGEST, OwnWord, RunName, name_of

NAME = TypeAdapter(RunName)


@pytest.fixture(scope="module")
def named(settings_of):
    """(what is changed, the name) of overrides of an experiment at scale=smoke."""

    def of(experiment: str, *overrides: str) -> tuple[dict, str]:
        base, settings = settings_of(experiment, "smoke"), settings_of(experiment, "smoke", *overrides)
        changed = own_values(changes(settings, base))
        return changed, name_of(changed, [".".join(map(str, path)) for path, _ in leaves(settings)])

    return of


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "default"),
        (["stage=report", "style=slides", "shards=2", "data.source=stand_in", "results_dir=/tmp/x"], "default"),
        (["model.width=[32,128]"], "width-32-128"),
        (["model.activation=tanh", "seed=[0,1]"], "activation-tanh_seed-0-1"),
        (["seed=1"], "seed-1"),
        (["data.seed=1"], "data.seed-1"),
        (["optimizer.learning_rate=2.0"], "learning_rate-2"),
        (["loss=cross_entropy"], "loss-cross_entropy"),
    ],
)
def test_a_name_says_what_is_changed(named, overrides, name):
    assert named("lockstep", *overrides)[1] == name


def test_what_is_composed_counts_and_not_how_it_was_typed(named, settings_of):
    rate = settings_of("lockstep", "smoke")["optimizer"]["learning_rate"]
    assert named("lockstep", f"optimizer.learning_rate={rate}", "seed=0")[1] == "default"
    assert named("lockstep", "seed=[1]") == named("lockstep", "seed=1")
    assert named("lockstep", "optimizer.learning_rate=2") == named("lockstep", "optimizer.learning_rate=2.0")
    assert named("lockstep", "seed=1", "model.width=8") == named("lockstep", "model.width=8", "seed=1")


def test_what_is_the_users_own_comes_first_and_is_told_apart(named):
    changed, _ = named(
        "lockstep", "optimizer.learning_rate=2.0", "loss=cross_entropy", "model.activation=tanh", "seed=[0,1,2,3]"
    )
    one = OwnWord("ResidualNet", "a1")
    own = {"own-network": [one], "own-data": [OwnWord("measurements_of_the_year", "b2")]}
    names = {
        known_by: name_of(changed | own | {"own-network": [one._replace(known_by=known_by)]}, []) for known_by in "ab"
    }
    assert all(name.startswith("own-network-ResidualNet_own-data-measurements") for name in names.values())
    assert names["a"] != names["b"] and all(len(name) <= LONGEST for name in names.values())
    assert name_of({"own-data": [OwnWord("x", "a1")]}, []).startswith("own-data-x-"), (
        "another content is another folder"
    )


def test_a_change_of_one_part_is_not_that_of_all(named, settings_of):
    parts = [name for name, part in settings_of("figs6", "smoke")["parts"].items() if part]
    found = [named("figs6", f"parts.{parts[0]}=null")]
    found += [named("figs6", f"++parts.{part}.optimizer.learning_rate=.125") for part in parts]
    found.append(named("figs6", "optimizer.learning_rate=.125"))
    assert len({name for _, name in found}) == len(found) and all(changed for changed, _ in found)


VALUES = [1, -1, 0.5, 1e-8, True, None, "tanh", "a_b", "a-b", "a/b", "a b", "0-1", "é", "../x", [0, 1], [[0, 1]], [0, [1]],
          ["a", "b"], {"16": 3, "64": 1}, {"16": 31, "64": 1}, [], "", "x" * 90, "x" * 91, 10**30, "1", "null"]  # fmt: skip
SAME_TYPED = [{1, "1"}, {None, "null"}]  # typed alike, and so never settings of one kind


def test_two_changes_never_share_a_name_and_a_name_is_a_folder_of_one_letter_case(named):
    keys = [
        "model.width",
        "model.depth",
        "parts.a.model.width",
        "parts.a/b.model.width",
        "seed",
        "data.seed",
        "model.name",
    ]
    single = [{key: value} for key in keys for value in VALUES]
    double = [{a: x, b: y} for a, b in itertools.combinations(keys, 2) for x in VALUES[:12] for y in VALUES[:12]]
    names: dict[str, dict] = {}
    for changed in [*single, *double]:
        name = name_of(changed, keys)
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) and len(name) <= LONGEST, name
        other = names.setdefault(name, changed)
        pairs = [{other.get(key), changed.get(key)} for key in changed if other.get(key) != changed.get(key)]
        assert other.keys() == changed.keys() and all(pair in SAME_TYPED for pair in pairs), (name, other, changed)


@pytest.mark.parametrize("name", ["narrow", "3", 3, 1.5, "a.b_c-d", "A1"])
def test_a_name_of_ones_own(name):
    assert NAME.validate_python(name) == str(name)


REFUSED = [
    "",
    ".",
    "..",
    ".x",
    "a/b",
    "../x",
    "cells",
    "Cells",
    "default",
    "shipped",
    "x-demo",
    "Demo",
    "a=b",
    "a b",
    "-x",
    "x" * 101,
    True,
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_is_no_folder_or_taken_is_refused(name):
    with pytest.raises(ValidationError):
        NAME.validate_python(name)
