"""The curves of a picture as numbers, and its thumbnail: what of a figure they hold, and how large they may be."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ntkrun.experiments.style import paper_curve, style
from ntkrun.report.shown_curves import MOST_BYTES, curves_file, panels_of, plain
from ntkrun.report.thumbnail import MOST_BYTES as SMALL
from ntkrun.report.thumbnail import places, thumbnail

TIMES = np.array([1.0, 10.0, 100.0])


@pytest.fixture
def figure():
    """Two panels: ours and the paper's points of one curve on logarithmic axes, and error bars beside unnamed points."""
    with style("paper"):
        made = Figure(layout="constrained")
        left, right = made.subplots(1, 2)
        ours = pd.Series([4.0, 2.0, 1.0], index=TIMES)
        left.plot(ours.index, ours, color="#0072b2", label="n = 16")
        paper_curve(left, pd.DataFrame({"x": [1.0, 100.0], "y": [4.0, 0.5]}), ("loss", "n16"), ours, "another draw")
        left.plot([0.0, 1.0], [-1.0, np.nan], color="red", linestyle="--", gid="below zero")
        left.axvline(3.0)
        left.set(
            xscale="log", yscale="log", xlabel="time $t$", ylabel=r"$\|\theta_t\|$", title=r"change of $\hat\Theta$"
        )
        right.errorbar([3.0, 1.0, 2.0], [6.0, 4.0, 5.0], [1.0, 1.0, 1.0], color="green", capsize=2, label="slope")
        right.plot([1.0, 2.0], [4.0, 5.0], "o", color="green")
        right.set(xlabel="width n")
        return made


def test_every_line_of_every_panel_is_there_by_its_name_and_in_the_order_of_x(figure):
    left, right = panels_of(curves_file(figure).decode())
    assert left["title"] == "change of Θ̂" and left["x"] == {"label": "time t", "log": 10.0}
    assert left["y"] == {"label": "‖θ_t‖", "log": 10.0} and right["x"] == {"label": "width n", "log": 0.0}
    ours, paper = left["series"]
    assert (ours["name"], ours["line"], ours["paper"], ours["colour"]) == ("n = 16", "solid", False, "#0072b2")
    assert (paper["name"], paper["line"], paper["paper"], paper["note"]) == (
        "paper: n = 16",
        "none",
        True,
        "another draw",
    )
    assert left["abscissae"][ours["at"]] == [1, 10, 100] and ours["y"] == [4, 2, 1] and paper["y"] == [4, 0.5]
    bars, points = right["series"]
    assert (bars["name"], points["name"]) == ("slope", "slope (points)"), "ends of error bars are no curves"
    assert right["abscissae"][bars["at"]] == [1, 2, 3] and bars["y"] == [4, 5, 6]


def test_a_figure_of_many_points_is_thinned_evenly_and_of_many_lines_of_one_name_the_first_are_kept():
    made = Figure()
    ax = made.subplots()
    x = np.linspace(0.0, 1.0, 2001)
    for place in range(20):
        ax.plot(x, np.sin(x + place), label="network")
        ax.plot(x, np.cos(x + place), label=f"other {place}")
    content = curves_file(made)
    assert len(content) <= MOST_BYTES
    (panel,) = panels_of(content.decode())
    names = [one["name"] for one in panel["series"]]
    assert names.count("network") == 12 and panel["left_out"] == {"network": "12 of 20"} and "other 19" in names
    (abscissae,) = panel["abscissae"]
    assert abscissae[0] == 0 and abscissae[-1] == 1 and np.ptp(np.diff(abscissae)) < 1e-3


def test_what_can_never_be_made_small_is_left_to_the_tables():
    made = Figure()
    for ax in made.subplots(1, 2):
        for place in range(400):
            ax.plot([0.0, 1.0], [0.0, 1.0], label=f"a rather long name for a curve {place}")
    assert json.loads(curves_file(made)) == {"panels": []}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"change of $\hat K$ at $t = 2^{10}$", "change of K̂ at t = 2¹⁰"),
        (r"$\hat{\mathcal{K}}$, L = 1", "K̂, L = 1"),
        (r"$\sup_t\,\|\hat\Theta_t - \hat\Theta_0\|_F$", "sup_t ‖Θ̂_t - Θ̂_0‖_F"),
        (r"$1/\sqrt{n}$", "1/√n"),
        ("phi = relu", "φ = ReLU"),
        ("costs $5", "costs $5"),
    ],
)
def test_labels_lose_their_tex(text, shown):
    assert plain(text) == shown


def test_a_thumbnail_shows_the_curves_in_their_colours_and_leaves_the_figure_as_it_is(figure):
    before = curves_file(figure)
    content = thumbnail(figure)
    assert len(content) <= SMALL and curves_file(figure) == before
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    assert pixels.shape == (280, 400, 3)
    left, right = pixels[:, :200], pixels[:, 200:]

    def like(part: np.ndarray, *colour: int) -> int:
        return int((np.abs(part - colour).max(axis=2) < 40).sum())

    assert like(left, 0, 114, 178) > 100 and like(right, 0, 114, 178) == 0
    assert like(right, 0, 128, 0) > 100 and like(left, 0, 128, 0) == 0


@pytest.mark.parametrize("count", range(1, 13))
def test_panels_fill_a_thumbnail_without_overlap(count):
    found = list(places(count))
    assert len(found) == count
    for place, (left, bottom, width, height) in enumerate(found):
        assert 0 < left < left + width < 1 and 0 < bottom < bottom + height < 1
        for other in found[:place]:
            apart = left >= other[0] + other[2] or bottom + height <= other[1] or bottom >= other[1] + other[3]
            assert apart, (place, other)
    assert sum(width * height for *_, width, height in found) > 0.55


def test_a_figure_without_panels_has_an_empty_thumbnail():
    assert Image.open(io.BytesIO(thumbnail(Figure()))).size == (400, 280)


def test_every_shipped_report_has_both_and_neither_is_large(root):
    folders = [path.parent for path in (root / "results" / "reference").glob("*/*/provenance.json")]
    assert len(folders) > 20
    for folder in folders:
        panels = panels_of((folder / "curves.json").read_text())
        assert panels and {one["paper"] for panel in panels for one in panel["series"]} >= {False}, folder
        assert not [one for panel in panels for one in panel["series"] if "$" in one["name"] or "\\" in one["name"]]
        assert (folder / "curves.json").stat().st_size < 60_000 and (folder / "thumbnail.png").stat().st_size < 15_000
