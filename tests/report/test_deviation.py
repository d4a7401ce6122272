"""Distances from the paper's curves, by hand, and on every figure that is committed."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ntkrun.experiments.figures import computing, figure_names, load_experiment
from ntkrun.experiments.style import PAPER_MARK, SERIES, PaperCurve, paper_curve, style
from ntkrun.reference import paper_curves
from ntkrun.report.deviation import COLUMNS, deviations, distance, rows_of
from ntkrun.report.render import gather
from ntkrun.runner.data_sets import stored
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import Store


def drawn(ours: pd.Series | None, x_scale: str, y_scale: str, y: list[float]) -> pd.Series:
    """The row of one curve with the paper's points at x = 1, 2, 4, 8."""
    figure = Figure()
    ax = figure.subplots()
    paper_curve(ax, pd.DataFrame({"x": [1.0, 2.0, 4.0, 8.0], "y": y}), ("loss", "train"), ours, "note", color="black")
    ax.set(xscale=x_scale, yscale=y_scale)
    found = deviations(figure, "fig1")
    assert list(found.columns) == COLUMNS and len(found) == 1
    return found.iloc[0]


def test_octaves_on_a_logarithmic_axis():
    # twice the paper's everywhere; the straight line of a power law in log-log needs the two end points alone
    row = drawn(pd.Series({1.0: 2.0, 8.0: 16.0}), "log", "log", [1.0, 2.0, 4.0, 8.0])
    assert row[["unit", "points", "paper_points", "note"]].tolist() == ["octaves", 4, 4, "note"]
    assert row[["median", "largest", "signed_median"]].tolist() == pytest.approx([1.0, 1.0, 1.0])
    row = drawn(pd.Series({1.0: 0.5, 2.0: 1.0, 4.0: 4.0, 8.0: 2.0}), "log", "log", [1.0, 2.0, 4.0, 8.0])
    assert row[["median", "largest", "signed_median"]].tolist() == pytest.approx([1.0, 2.0, -1.0])


def test_shares_of_what_the_papers_curves_span_on_a_linear_axis():
    # halfway between 1 and 8 in log x at 2 sqrt 2: the line is straight as it is drawn, y = log2(x)/3 * 6
    row = drawn(pd.Series({1.0: 0.0, 8.0: 6.0}), "log", "linear", [1.0, 2.0, 3.0, 5.0])
    assert row["unit"] == "of the panel"
    assert row[["median", "largest", "signed_median"]].tolist() == pytest.approx([0.25, 0.25, 0.125])
    row = drawn(pd.Series({1.0: 1.0, 8.0: 8.0}), "linear", "linear", [1.0, 2.0, 4.0, 5.0])
    assert row["largest"] == pytest.approx(0.75) and row["median"] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("ours", "points"),
    [
        (pd.Series({2.0: 2.0, 4.0000004: 4.0}), 2),  # rounded abscissae
        (pd.Series({3.0: 1.0}), 0),
        (pd.Series({1.0: np.nan, 2.0: 0.0, 4.0: 1.0, 8.0: 1.0}), 2),  # what a logarithmic axis cannot show
        (None, 0),
    ],
)
def test_only_where_both_are(ours, points):
    row = drawn(ours, "log", "log", [1.0, 2.0, 4.0, 8.0])
    assert row["points"] == points and (np.isnan(row["median"]) == (points == 0))


@pytest.fixture(scope="module")
def table_of(root, settings_of):
    def read(name: str) -> pd.DataFrame:
        experiment = load_experiment(name)
        store = Store(root / "results", "cpu", name, experiment.cells_of)
        cells = make_cells(computing(experiment), settings_of(name, "cpu") | {"experiment": computing(experiment).name})
        return gather(experiment, cells, store, stored(cells, store).of).table

    return read


COMMITTED = [name for name in figure_names() if name != "fig3"]  # `make fig3` trains it


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_figure_is_measured_and_has_the_colours_of_all(name, table_of):
    with style("slides"):
        figure = load_experiment(name).plot(table_of(name))
        found = deviations(figure, name)
    known = set(
        paper_curves()
        .assign(figure=lambda t: t["figure"].str.lower())[["figure", "panel", "curve"]]
        .itertuples(index=False, name=None)
    )
    assert set(found[["figure", "panel", "curve"]].itertuples(index=False, name=None)) <= known
    assert (len(found) > 0) == (name != "theorem21") and not found.duplicated(["panel", "curve"]).any()
    assert len(found) == 0 or (found["points"] > 0).mean() > 0.5
    lines = [line for ax in figure.axes for line in ax.lines]
    for line in lines:  # no point of the paper that is not measured
        assert isinstance(line, PaperCurve) or len(line.get_xdata()) == 0 or line.get_alpha() != PAPER_MARK["alpha"]  # pyright: ignore[reportArgumentType]
    assert {to_hex(line.get_color()) for line in lines} <= ALLOWED, "a colour of its own"


@pytest.mark.parametrize("name", ["figs8", "theorem21"])
def test_the_letters_of_a_figure_are_fit_for_print(name, table_of):
    """Type 42, symbols as well: the style says so for all figures, and none has another for itself."""
    buffer = io.BytesIO()
    with style("slides"):
        load_experiment(name).plot(table_of(name)).savefig(buffer, format="pdf")
    pdf = buffer.getvalue()
    assert pdf.count(b"/Type /FontDescriptor") == pdf.count(b"/FontFile2 ") > 0 and b"/Type3" not in pdf


GREYS = {to_hex(str(level / 100)) for level in range(101)}
VIRIDIS = {to_hex(colormaps["viridis"](level)) for level in range(256)}
ALLOWED = {to_hex(c) for c in SERIES} | GREYS | VIRIDIS


def test_colours_of_a_panel_stay_apart_without_red_or_green_cones():
    """Machado et al. (2009), matrices of full protanopia and deuteranopia on linear RGB; distance in CIE Lab."""
    severe = {
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    }
    colours = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in SERIES])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    for name, matrix in severe.items():
        lab = to_lab(np.clip(linear @ np.array(matrix).T, 0, 1))
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(len(lab), 1)]
        # 2.3 is just noticeable side by side; thin lines need several times that
        assert apart.min() > 10, name


def to_lab(linear: np.ndarray) -> np.ndarray:
    """CIE Lab of linear sRGB, white point D65."""
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    scaled = np.clip(xyz, 0, None) / np.array([0.9505, 1.0, 1.089])
    f = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1)


def test_the_distance_of_a_figure_is_the_root_mean_square_of_its_comparable_curves():
    rows = rows_of(
        "curve,unit,median,note\na,octaves,0.3,\nb,octaves,0.4,\nc,octaves,,\nd,of the panel,0.125,\n"
        "e,octaves,9,another draw\n"
    )
    assert distance(rows) == "0.35 octaves, 12.5% of the panel"
    assert distance(rows[2:3] + rows[4:]) == "" == distance([])
