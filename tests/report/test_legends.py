"""No legend is wider than its panel, where its entries can be broken into lines."""

import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from ntkrun.experiments.style import legend, style
from ntkrun.report.legends import fit_legends

LONG = "paper (CIFAR-10, ReLU, L = 5), another weight, below 2e-05"


def with_legend(inches: float, *entries: str, **options) -> Figure:
    """Two panels, the first with a legend of these entries, laid out."""
    figure = Figure((inches, 3), layout="constrained")
    legend(figure.subplots(1, 2)[0], {entry: {"color": "k"} for entry in entries}, **options)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    return figure


def legend_of(figure: Figure) -> Legend:
    found = figure.axes[0].get_legend()
    assert found is not None
    return found


def entries(figure: Figure) -> list[str]:
    return [text.get_text() for text in legend_of(figure).get_texts()]


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("name", ["paper", "slides"])
def test_long_entries_are_broken_until_the_legend_is_as_wide_as_its_panel(name, columns):
    with style(name):
        figure = with_legend(6.5, "network", LONG, "linearised", ncols=columns, loc="lower left")
        panel, told = figure.axes[0], legend_of(figure)
        assert told.get_window_extent().width > panel.bbox.width, "or there is nothing to fit"
        fit_legends(figure)
        within = told.get_window_extent()
        assert within.width <= panel.bbox.width and within.x0 >= panel.bbox.x0 and within.x1 <= panel.bbox.x1
        assert entries(figure)[::2] == ["network", "linearised"]
        assert entries(figure)[1].replace("\n", " ") == LONG != entries(figure)[1]


def test_what_fits_and_what_has_no_place_to_break_stays():
    whole = "$" + " + ".join(["theta"] * 40) + "$"
    with style("paper"):
        for figure, kept in ((with_legend(12, LONG), LONG), (with_legend(5, whole), whole)):
            fit_legends(figure)
            assert entries(figure) == [kept]
