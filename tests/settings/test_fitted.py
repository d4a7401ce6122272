"""Which of the paper's curves a run was fitted to follows from its settings, not from its figure."""

import pytest

from ntkrun.settings.fitted import fitted_curves
from ntkrun.settings.origins import origin_of

SHIPPED = {"data": {"preprocess": "per_image", "n_train": 256}, "optimizer": {"learning_rate": 0.02}}
RATE = {"fig3/loss/train_*"}
IMAGES = {"fig2/t*/ntk_*", "figs8/loss/*"}


@pytest.mark.parametrize(
    ("preprocess", "rate", "curves"),
    [
        ("per_image", 0.02, RATE | IMAGES),
        ("sphere", 0.02, RATE),
        ("per_image", 0.01, IMAGES),
        ("sphere", 0.01, set()),
    ],
)
def test_a_setting_counts_where_it_has_the_value_that_was_fitted(preprocess, rate, curves):
    settings = {"data": {"preprocess": preprocess}, "optimizer": {"learning_rate": rate}}
    assert fitted_curves("fig3", [("", settings)]) == curves


def test_the_curves_of_all_cells_count_and_an_experiment_of_our_own_has_none():
    assert fitted_curves("fig3", [("", {"data": {"preprocess": "sphere"}}), ("", SHIPPED)]) == RATE | IMAGES
    assert fitted_curves("lockstep", [("", SHIPPED)]) == frozenset()


def test_a_part_has_its_own_fit():
    relu, tanh = (fitted_curves("figs6", [(part, {"model": {"sigma_w2": 2.0}})]) for part in ("relu1", "tanh3"))
    assert relu and not tanh, "2 was fitted for ReLU, 1 for tanh"


def test_a_figure_that_takes_a_setting_of_another_takes_its_fit():
    assert fitted_curves("figs1", [("", {"data": {"preprocess": "sphere"}})]) == {"fig2/t*/ntk_*"}


def test_the_images_of_figures_3_and_s8_are_those_that_other_figures_choose():
    """A setting chosen by a curve is not judged by that curve."""
    for figure in ("fig3", "figs8"):
        images = {"data": {"classes": ["frog", "horse"], "preprocess": "per_image"}}
        found = fitted_curves(figure, [("", images)])
        assert found and not any(pattern.startswith(f"{figure}/") for pattern in found)


def test_what_is_ours_and_fitted_counts_with_its_value_alone():
    assert (origin_of("figs7", "optimizer.steps") or pytest.fail("no origin")).kind == "ours"
    assert [bool(fitted_curves("figs7", [("mnist", {"optimizer": {"steps": n}})])) for n in (90000, 200)] == [
        True,
        False,
    ]
