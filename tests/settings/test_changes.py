"""What a run has changed is found whatever way it was typed, and named as it was."""

from ntkrun.settings.changes import changes

SHIPPED = {
    "seed": 0,
    "scale": "cpu",
    "networks": {16: 20, 64: 10},
    "model": {"width": [16, 64], "depth": 3, "activation": "relu"},
    "data": {"source": "auto"},
}
PARTS = SHIPPED | {"parts": {"a": {"model": {"depth": 1}}, "b": {"optimizer": {"steps": 9}}}}


def test_only_what_determines_numbers_counts():
    assert changes(SHIPPED | {"scale": "paper", "data": {"source": "tfds"}}, SHIPPED) == {}
    assert changes(SHIPPED | {"seed": 1}, SHIPPED) == {"seed": (0, 1)}


def test_a_sweep_a_rule_and_another_group_are_changes():
    ours = SHIPPED | {"networks": {16: 5}, "model": {"width": 16, "depth": 3, "pool": "average"}}
    assert changes(ours, SHIPPED) == {
        "model.activation": ("relu", "not there"),
        "model.pool": ("not there", "average"),
        "model.width": ([16, 64], 16),
        "networks": ({16: 20, 64: 10}, {16: 5}),
    }


def test_what_is_changed_in_one_part_names_it_and_what_is_changed_in_all_names_none():
    one = PARTS | {"parts": {"a": {"model": {"depth": 2}}, "b": {"optimizer": {"steps": 9}}}}
    assert changes(one, PARTS) == {"parts.a.model.depth": (1, 2)}
    assert changes(PARTS | {"model": PARTS["model"] | {"activation": "tanh"}}, PARTS) == {
        "model.activation": ("relu", "tanh")
    }
    assert changes(PARTS | {"model": PARTS["model"] | {"depth": 7}}, PARTS) == {"parts.b.model.depth": (3, 7)}
    without = PARTS | {"parts": {"a": None, "b": {"optimizer": {"steps": 9}}}}
    assert changes(without, PARTS) == {"parts.a": ("run", "left out")}
