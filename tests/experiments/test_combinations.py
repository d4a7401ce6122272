"""Nothing is averaged over a setting: whatever is swept, each combination is drawn and judged as if it had run alone."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from ntkrun import tables
from ntkrun.experiments.analysis.trajectories import Average, outputs
from ntkrun.experiments.analysis.trajectory_figure import RunFigure
from ntkrun.experiments.blocks import MOST
from ntkrun.experiments.combinations import combinations
from ntkrun.experiments.curves import LOSS
from ntkrun.experiments.figures import computing, experiment_names, load_experiment
from ntkrun.experiments.style import PaperCurve
from ntkrun.report.deviation import deviations
from ntkrun.report.judge import claims_table, judge_all
from ntkrun.report.render import gather
from ntkrun.runner import data_sets
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import Store

ANOTHER = {"fig3": "figs8", "lockstep": "figs8"}  # whose committed cells are of the same kind of run
HOW: dict[str, Any] = {"scale": "cpu", "stand_in": False, "changed": {}}


@pytest.fixture(scope="module")
def table_of(root, settings_of):
    read: dict[str, pd.DataFrame] = {}

    def committed(name: str) -> pd.DataFrame:
        name = ANOTHER.get(name, name)
        if name not in read:
            experiment = load_experiment(name)
            raw = settings_of(name, "cpu") | {"experiment": computing(experiment).name}
            store = Store(root / "results" / "reference", "cpu", name, experiment.cells_of)
            cells = make_cells(computing(experiment), raw)
            read[name] = gather(experiment, cells, store, data_sets.stored(cells, store).of).table
        return read[name]

    return committed


def lines(figure: Figure) -> set[tuple]:
    """What is drawn of ours: the points of every curve."""
    drawn = [line for ax in figure.axes for line in ax.lines if not isinstance(line, PaperCurve)]
    points = [np.asarray(line.get_xydata(), np.float64) for line in drawn]
    return {tuple(map(tuple, one)) for one in points if len(one) and np.isfinite(one).all()}


def texts(artist: Artist) -> list[str]:
    """All but the ticks of axes, which are made when they are asked for, by the hundred where an axis is logarithmic."""
    parts = [artist.label] if isinstance(artist, Axis) else artist.get_children()
    own = [artist.get_text()] if isinstance(artist, Text) else []
    return own + [text for part in parts for text in texts(part)]


def unlabelled(figure: Figure) -> list[Axis]:
    """The axes that say nothing of what they show and share no ticks with one that does."""
    axes = [
        (axis, side) for ax in figure.axes if ax.axison for axis, side in ((ax.xaxis, "bottom"), (ax.yaxis, "left"))
    ]
    told = [axis for axis, side in axes if axis.get_tick_params().get(f"label{side}", True)]
    return [axis for axis in told if not axis.get_label().get_text() and axis.axes.get_label() != "<colorbar>"]


def judged(experiment, table: pd.DataFrame, combination: str) -> list[dict]:
    return [asdict(v) | {"combination": combination} for v in judge_all(experiment, table, **HOW)]


@pytest.mark.parametrize("name", experiment_names())
def test_a_swept_setting_is_drawn_and_judged_value_by_value(name, table_of):
    experiment, table = load_experiment(name), table_of(name)
    alone = {"a": table, "b": table.assign(value=0.9 * table["value"])}
    swept = pd.concat([one.assign(**{"data.preprocess": value}) for value, one in alone.items()], ignore_index=True)
    labels = {value: f"data.preprocess = {value}" for value in alone}

    figure, figures = experiment.plot(swept), {value: experiment.plot(one) for value, one in alone.items()}
    one_by_one = [lines(one) for one in figures.values()]
    assert one_by_one[0] and one_by_one[0] != one_by_one[1]
    assert lines(figure) == one_by_one[0] | one_by_one[1]
    assert set(labels.values()) <= set(texts(figure))
    assert not unlabelled(figure)
    told = experiment.panels_of(swept)
    assert bool(told) == (experiment.overlays is not None) and not experiment.panels_of(table)
    assert not told or all(ax.get_title() in told for ax in figure.axes), "the page says which panels these are"

    expected = [verdict for value, one in alone.items() for verdict in judged(experiment, one, labels[value])]
    found = judge_all(experiment, swept, **HOW)
    pd.testing.assert_frame_equal(pd.DataFrame(map(asdict, found)), pd.DataFrame(expected))
    assert all(label in claims_table(found) for label in labels.values())

    apart = deviations(figure, name)
    assert set(apart["combination"]) <= set(labels.values())
    for value, one in figures.items():
        part = apart[apart["combination"] == labels[value]].set_index(["panel", "curve"])["median"]
        single = deviations(one, name).set_index(["panel", "curve"])["median"]
        pd.testing.assert_series_equal(part.sort_index(), single.sort_index())


@pytest.mark.parametrize("name", ["fig3", "fig4", "figs2", "figs3", "figs8", "lockstep"])
def test_seeds_are_a_mean_with_a_band_and_single_outputs_those_of_the_first(name, table_of):
    experiment, table = load_experiment(name), table_of(name)
    first = table["seed"].iloc[0]
    seeds = pd.concat([table, table.assign(seed=first + 1, value=2 * table["value"])], ignore_index=True)
    figure = experiment.plot(seeds)
    loss = tables.series(table, "loss/network", "test")
    loss = loss[loss.index > 0]
    assert tuple(zip(loss.index, 1.5 * loss, strict=True)) in lines(figure)
    followed = tables.series(table, "output/network", "test", 0)
    assert tuple(followed[followed.index > 0].items()) in lines(figure)
    assert any("mean of 2 seeds" in text for text in texts(figure))
    assert any(f"test output, seed {first}" == text for text in texts(figure))
    bands = [band for ax in figure.axes for band in ax.collections if isinstance(band, PolyCollection)]
    ends = [path.vertices for band in bands for path in band.get_paths()]
    assert any(np.isin(loss, end).all() and np.isin(2 * loss, end).all() for end in ends)


def test_a_series_is_of_one_run_and_its_seeds(table_of):
    table = table_of("figs8")
    for column in ("width", "data.seed"):
        both = pd.concat([table.assign(**{column: value}) for value in (1, 2)])
        with pytest.raises(ValueError, match=column):
            tables.series(both, "loss/network", "test")
    with pytest.raises(ValueError, match="split"):
        tables.series(table, "loss/network")
    with pytest.raises(ValueError, match="index"):
        tables.series(table, "output/network", "test")


def small(**settings: Any) -> pd.DataFrame:
    rows = [tables.rows("loss/network", "test", [0, 1], [0.0, 1.0], np.array([2.0, 1.0]))]
    return tables.tidy(rows, figure="x", cell="c", seed=0, width=8).assign(**settings)


def labels(frames: list[pd.DataFrame], shown: tuple[str, ...] = ()) -> list[str]:
    return [one.label for one in combinations(pd.concat(frames), shown)]


def test_combinations_are_named_as_they_were_typed_and_in_that_order():
    phi, eta = "model.activation", "optimizer.learning_rate"
    swept = [small(**{phi: p, eta: e, "seed": s}) for p in ("tanh", "relu") for e in (1.0, 0.25) for s in (0, 1)]
    assert labels(swept) == [f"phi = {p}, eta = {e}" for p in ("tanh", "relu") for e in ("1", "0.25")]
    assert labels(swept, (eta,)) == ["phi = tanh", "phi = relu"]
    assert labels(swept, (eta, phi)) == [""] and labels([small(), small(seed=1)]) == [""]
    assert labels([small(**{"data.seed": seed}) for seed in (0, 1)]) == ["data.seed = 0", "data.seed = 1"]


def test_a_setting_that_is_a_list_is_named_by_its_members():
    """In its column it stands as JSON."""
    swept = ['["cat", "dog"]', "[3, 8]", "null", "[half.npz"]
    told = [f"data.classes = {one}" for one in ("cat / dog", "3 / 8", "null", "[half.npz")]
    assert labels([small(**{"data.classes": one}) for one in swept]) == told


def test_parts_are_combinations_where_nothing_else_tells_them_apart():
    assert labels([small(part="a"), small(part="b")]) == ["part = a", "part = b"]
    told = [small(part="a", loss="mse"), small(part="b", loss="cross_entropy")]
    assert labels(told) == ["loss = mse", "loss = cross_entropy"] and labels(told, ("loss",)) == [""]


def test_a_picture_of_very_many_combinations_says_what_it_leaves_out(table_of):
    many = pd.concat([small(**{"model.sigma_w2": value}) for value in range(MOST + 2)])
    figure = replace(load_experiment("fig1"), draw=lambda part, table: part.subplots().plot(table["value"])).plot(many)
    assert len(figure.axes) == MOST
    assert any(text.startswith(f"the first {MOST} of {MOST + 2} combinations") for text in texts(figure))
    table, shown = table_of("figs8"), RunFigure(None, (outputs("test"), Average(LOSS)), rows=1, inches=(4.0, 2.0))
    many = pd.concat([table.assign(**{"model.sigma_w2": value}) for value in range(10)])
    figure = replace(load_experiment("figs8"), draw=shown.draw, size=shown.size).plot(many)
    assert {f"sigma_w^2 = {value}" for value in range(10)} <= set(texts(figure)), "losses of all, by colour"
    assert any("the single outputs of the first 8 of 10" in text for text in texts(figure))


OTHER = {
    "fig1": {"model.activation": "erf"},
    "figs5": {"data.n_train": 100},
    "figs6": {"model.activation": "erf"},
    "figs7": {"model.activation": "erf"},
    "figs9": {"model.depth": 2},
    "figs10": {"model.depth": 3},
    "fig2": {"trained": "readout"},
    "figs1": {"trained": "readout"},
    "figs4": {"width": 100},
    "theorem21": {"model.activation": "erf", "model.parameterization": "standard"},
}


@pytest.mark.parametrize("name", OTHER)
def test_what_ran_is_shown_whatever_the_paper_has(name, table_of):
    experiment, table = load_experiment(name), table_of(name)
    columns = {*experiment.shown, *experiment.columns} - {"width"}
    one = (
        table.groupby(sorted(columns), sort=False).ngroup() == 0 if columns else table["width"] == table["width"].min()
    )
    other = table[one].assign(**OTHER[name])
    shown, more = (lines(experiment.plot(part)) for part in (other, other.assign(value=0.9 * other["value"])))
    assert len(shown - more) >= 1, "curves that follow the values of the table"
    for verdict in judge_all(experiment, other, **HOW):
        assert verdict.measured is None or np.isfinite(verdict.measured)


@pytest.mark.parametrize("name", ["fig3", "lockstep", "figs8"])
def test_a_run_that_follows_no_weight_is_drawn(name, table_of):
    table = table_of(name)
    figure = load_experiment(name).plot(table[table["curve"].str.partition("/")[0] != "weight_change"])
    assert "none was recorded" in texts(figure) and lines(figure)
