"""What diverges hides nothing else: in every figure that draws training against time."""

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.figure import Figure
from paper_tables import paper_table

from ntkrun.experiments import curves
from ntkrun.experiments.divergence import BEYOND, cut_diverged
from ntkrun.experiments.figures import load_experiment

TIMES = np.geomspace(0.1, 100, 7)


def drawn(*ys, scale="linear"):
    figure = Figure()
    ax = figure.subplots()
    for place, y in enumerate(ys):
        ax.plot(TIMES, y, color=f"C{place}", gid=f"eta = {place}")
    ax.set_yscale(scale)
    return figure, ax


def notes(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts if "diverges" in text.get_text()]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_axis_follows_what_has_not_diverged_and_the_panel_says_what_has(scale):
    falling, rising = np.linspace(1, 0.1, 7), np.array([0.9, 1.1, 5, 1e3, 1e12, 1e36, 1e37])
    figure, ax = drawn(falling, rising, scale=scale)
    cut_diverged(figure)
    low, high = ax.get_ylim()
    assert low < 0.1 and 1.0 < high < 2.0
    assert notes(figure) == [f"x: eta = 1 diverges\n(beyond {BEYOND:g} x its start)"]
    (cross,) = (line for line in ax.lines if line.get_marker() == "x")
    assert cross.get_xdata() == [TIMES[1]] and matplotlib.colors.same_color(cross.get_color(), "C1")


def test_what_grows_without_diverging_and_what_has_gaps_stays_as_it_was():
    for y in (np.geomspace(1e-6, 50, 7), np.geomspace(10, 900, 7), np.full(7, np.nan), np.full(7, -3.0)):
        figure, ax = drawn(y)
        before = ax.get_ylim()
        cut_diverged(figure)
        assert ax.get_ylim() == before and not notes(figure) and len(ax.lines) == 1


def test_points_of_many_networks_are_no_curve():
    figure, ax = drawn(np.geomspace(1, 0.1, 7))
    ax.plot(TIMES, np.array([0.1, 1e3, 0.2, 1e40, 0.1, 0.2, 0.1]), ".")
    cut_diverged(figure)
    assert not notes(figure)


def test_a_panel_where_all_diverge_and_one_that_begins_with_nan():
    wild = np.array([np.nan, 1, 300, -1e5, np.inf, np.nan, 1e9])
    figure, ax = drawn(wild, -2 * wild)
    cut_diverged(figure)
    assert len(notes(figure)) == 1 and np.all(np.abs(ax.get_ylim()) < 10)


@pytest.mark.parametrize("figure", ["fig3", "fig4", "figs2", "figs3", "figs8"])
def test_a_linearization_that_diverges_leaves_the_other_curves_of_its_figure_to_be_seen(figure):
    table, experiment = paper_table(figure), load_experiment(figure)
    linear = table["curve"].str.endswith(f"/{curves.LINEAR}") & ~table["curve"].str.startswith(curves.ACCURACY)
    late = table["time"] > table["time"].median()
    wild = table.assign(value=table["value"].where(~(linear & late), table["value"] * 1e36))
    plain, cut = experiment.plot(table), experiment.plot(wild)
    assert notes(cut) and not notes(plain)
    for before, after in zip(plain.axes, cut.axes, strict=True):
        ranges = [
            np.ptp(np.log(ax.get_ylim()) if ax.get_yscale() == "log" else ax.get_ylim()) for ax in (before, after)
        ]
        assert ranges[1] < 3 * ranges[0], after.get_title()
