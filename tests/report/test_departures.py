"""How the stamp on a figure says what is not the paper's."""

from ntkrun.report.departures import departures

PAPER = {
    "networks": 5,
    "model": {"width": 2048, "depth": 3},
    "parts": {"relu": {"optimizer": {"steps": 100}}, "tanh": {"model": {"depth": 1}}},
}


def test_only_what_differs_is_named():
    ours = PAPER | {"model": {"width": 512, "depth": 3}, "seed": 3, "scale": "cpu"}
    assert departures(ours, PAPER) == ["model.width=512 (paper 2048)"]


def test_a_part_is_held_against_the_rest_where_the_papers_names_nothing():
    ours = PAPER | {
        "parts": {
            "relu": {"optimizer": {"steps": 10}, "networks": {16: 20}, "model": {"width": 512, "depth": 3}},
            "tanh": {"model": {"depth": 1, "width": 64}},
        }
    }
    assert departures(ours, PAPER) == [
        "parts.relu.optimizer.steps=10 (paper 100)",
        "parts.relu.networks={16: 20} (paper 5)",
        "parts.relu.model.width=512 (paper 2048)",
        "parts.tanh.model.width=64 (paper 2048)",
    ]


def test_a_part_that_is_not_run_is_named():
    assert departures(PAPER | {"parts": PAPER["parts"] | {"tanh": None}}, PAPER) == ["parts.tanh left out"]
