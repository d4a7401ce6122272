"""What is typed for a figure of several parts: never without effect, and never behind the user's back."""

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.settings.parts import parts_of, with_typed, without_unused

RAW = {
    "seed": 0,
    "networks": 5,
    "data": {"name": "mnist", "n_train": 128},
    "model": {"width": 2048, "depth": 3},
    "parts": {
        "a": {"model": {"width": [8, 16]}, "networks": {16: 20, 128: 3}},
        "b": {"model": {"width": 32, "depth": 1}, "networks": 2, "data": {"name": "cifar10"}},
        "c": None,
    },
}


def typed(*settings: str, raw=RAW):
    return with_typed(raw, [tuple(setting.split(".")) for setting in settings])


def test_what_every_part_has_is_changed_in_all_of_them():
    settings, notes = typed("model.width", "networks", raw=RAW | {"model": {"width": 64, "depth": 3}})
    assert [(part["model"]["width"], part["networks"]) for part in parts_of(settings).values()] == [(64, 5), (64, 5)]
    assert not notes and settings["parts"]["c"] is None


def test_what_is_typed_with_a_parts_name_stands_before_it():
    settings, _ = typed("model.width", "parts.b.model.width")
    assert [part["model"]["width"] for part in parts_of(settings).values()] == [2048, 32]


def test_what_some_parts_have_is_for_the_others_and_this_is_said():
    settings, (note,) = typed("model.depth", raw=RAW | {"model": {"width": 64, "depth": 7}})
    assert [part["model"]["depth"] for part in parts_of(settings).values()] == [7, 1]
    assert note.startswith("model.depth=7 is not for b, which has one of its own") and note.endswith(
        "parts.b.model.depth"
    )


def test_a_data_set_is_that_of_all_parts_with_all_that_they_say_of_their_own():
    small = RAW["parts"] | {"b": {"model": {"width": 32}, "data": {"name": "cifar10", "classes": [0, 1], "n_test": 9}}}
    small |= {"d": {"data": {"n_train": 8}}}
    for setting in ("data", "data.name", "data.path"):
        settings, notes = typed(setting, raw=RAW | {"parts": small})
        data = [part["data"] for part in parts_of(settings).values()]
        assert data == [RAW["data"], RAW["data"], {"name": "mnist", "n_train": 8}] and not notes
    settings, _ = typed("data.name", "parts.b.data.n_test", raw=RAW | {"parts": small})
    assert parts_of(settings)["b"]["data"] == RAW["data"] | {"n_test": 9}


def test_parts_that_are_nothing_but_data_sets_become_one_run():
    parts = {"mnist": {"data": {"name": "mnist"}}, "cifar10": {"data": {"name": "cifar10", "n_test": 9}}, "left": None}
    settings, _ = typed("data.name", raw=RAW | {"parts": parts})
    assert parts_of(settings) == {"": {name: value for name, value in RAW.items() if name != "parts"}}
    settings, _ = typed("data.name", "parts.cifar10.data.n_test", raw=RAW | {"parts": parts})
    assert set(parts_of(settings)) == {"mnist", "cifar10"}, "the two differ by what was typed"


@pytest.mark.parametrize("setting", ["seed", "data.n_train", "parts.a.model.width"])
def test_what_no_part_has_is_left_to_the_merge(setting):
    assert typed(setting) == (RAW, [])


@pytest.mark.parametrize("setting", ["data", "data.name", "networks"])
def test_what_is_taken_away_outside_changes_no_part(setting):
    raw = {name: value for name, value in RAW.items() if name not in ("data", "networks")}  # data=none ~networks
    assert typed(setting, raw=raw) == (raw, [])


def test_without_parts_nothing_happens():
    raw = {"model": {"width": 3}}
    assert typed("model.width", raw=raw) == (raw, []) and without_unused(raw) == raw


def test_what_no_part_uses_is_not_said_of_the_run():
    left = without_unused(RAW)
    assert left["model"] == {"depth": 3} and "networks" not in left
    assert left["data"] == RAW["data"] and left["parts"] == RAW["parts"]


@pytest.mark.parametrize("written", ["optimizer.steps=7", "++optimizer.steps=7", "optimizer={steps: 7}"])
def test_the_command_line_reaches_the_parts(settings_of, written):
    parts = parts_of(settings_of("figs6", "paper", written))
    assert {name: part["optimizer"]["steps"] for name, part in parts.items()} == {"relu1": 7, "tanh3": 7}
    assert parts["relu1"]["optimizer"]["learning_rate"] == 1.0


def test_a_run_says_what_is_kept(ntkrun):
    _, _, err = ntkrun("experiment=fig2", "scale=cpu", "data.n_train=64", "stage=check")
    assert "data.n_train=64 is not for readout" in err and "parts.readout.data.n_train" in err


def test_parts_made_equal_are_named(ntkrun):
    code, _, err = ntkrun("experiment=figs5", "scale=cpu", "data.n_train=64", "stage=plan")
    assert code == 2 and "part=L2,width=32 and part=D64,width=32" in err
