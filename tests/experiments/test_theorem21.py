"""Networks whose f_lin diverged do not hide the others, and what did not run is not drawn."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.suprema import BESIDE, BEYOND, mark_beyond
from ntkrun.experiments.figures.theorem21 import QUANTITIES, draw


@pytest.mark.parametrize("diverged", [0, 3])
def test_networks_far_above_the_others_are_counted_at_the_upper_edge(diverged):
    values = np.linspace(1.0, 2.0, 40)
    values[:diverged] = 1e40
    table = pd.DataFrame({"width": 64, "seed": range(40), "value": values})
    ax = Figure().subplots()
    ax.plot(table["width"], table["value"], ".")
    ax.set_yscale("log")
    mark_beyond(ax, {"erf": table})
    assert [text.get_text().split(" networks")[0] for text in ax.texts] == ([f"{diverged} of 40"] if diverged else [])
    assert (ax.get_ylim()[1] <= 2 * BEYOND * 2.0) and (len(ax.lines) == 1 + bool(diverged))


@pytest.mark.parametrize("kinds", [["tanh"], ["relu", "tanh"], ["relu", "erf", "tanh"]])
def test_a_parameterization_that_did_not_run_says_so_and_dots_stand_around_their_width(kinds):
    def cell(kind: str, width: int) -> pd.DataFrame:
        rows = [
            tables.rows(quantity.of(curves.NETWORK), "", [1], [1.0], np.array([1 / width])) for quantity in QUANTITIES
        ]
        table = tables.tidy(rows, figure="theorem21", cell=f"{kind},{width}", seed=0, width=width)
        return table.assign(**{"model.activation": kind, "model.parameterization": "standard"})

    figure = Figure()
    draw(figure, pd.concat([cell(kind, width) for kind in kinds for width in (16, 32)]))
    told = [[text.get_text() for text in ax.texts if "run" in text.get_text()] for ax in figure.axes]
    assert told == 3 * [["not run"]] + 3 * [[]]
    for ax in figure.axes[:3]:
        assert not ax.lines and not len(ax.get_yticks()) and ax.get_legend() is None
    dots = [np.log2(np.asarray(line.get_xdata(), float)) for line in figure.axes[3].lines if line.get_marker() == "o"]
    assert np.mean(dots, axis=0) == pytest.approx([4.0, 5.0])
    assert np.diff([first for first, _ in dots]) == pytest.approx(BESIDE)
