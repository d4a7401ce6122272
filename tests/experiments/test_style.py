"""The look that all figures share."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ntkrun.experiments import style
from ntkrun.experiments.symbols import in_symbols


def test_log_axes_have_ticks_that_can_be_read():
    figure = Figure(figsize=(15, 4))
    wide, binary, narrow, octave = figure.subplots(1, 4)
    octave.set_xscale("log", base=2)
    octave.set_xlim(0.7, 1.9)
    wide.set(xscale="log", xlim=(1e-3, 10.0))
    binary.set_xscale("log", base=2)
    binary.set_xlim(1, 1024)
    narrow.set(xscale="log", xlim=(0.5, 3.0))
    narrow.set_yscale("log", base=2)
    narrow.set_ylim(15, 68)
    style.ticks_at_powers(figure)
    labels = [text.get_text() for text in wide.get_xticklabels()]
    assert {"10⁻³", "10⁻²", "10⁰", "10¹"} <= set(labels) and not len(wide.get_xticks(minor=True))
    assert "2¹⁰" in [text.get_text() for text in binary.get_xticklabels()]
    assert {"0.5", "1", "2"} <= {text.get_text() for text in narrow.get_xticklabels()}
    assert not len(narrow.get_xticks(minor=True))
    assert not {24.0, 48.0} & set(narrow.get_yticks()), "three widths are ticks enough"
    assert {"0.75", "1", "1.5"} <= {text.get_text() for text in octave.get_xticklabels()}


def test_pictures_name_settings_as_the_paper_does_and_leave_files_alone():
    figure = Figure()
    parts: Any = figure.subfigures(1, 1)
    ax = parts.subplots()
    style.legend(ax, {"phi = relu, eta = 0.1": {}, "leaky_relu: 1": {}})
    ax.set(title=r"$\beta$ eta = 1", xlabel="101 values of alpha instead of 200")
    figure.suptitle("OWN DATA: eta.npz, relu.parquet, my_relu/beta = x")
    in_symbols(figure)
    legend = ax.get_legend()
    assert legend is not None
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["\N{GREEK SMALL LETTER PHI} = ReLU, \N{GREEK SMALL LETTER ETA} = 0.1", "leaky ReLU: 1"]
    assert ax.get_title() == r"$\beta$ eta = 1" and ax.get_xlabel().startswith(
        "101 values of \N{GREEK SMALL LETTER ALPHA} "
    )
    assert figure.get_suptitle() == "OWN DATA: eta.npz, relu.parquet, my_relu/beta = x"


def test_points_of_the_paper_too_small_to_see_are_told():
    ax = Figure().subplots()
    ax.plot([1.0, 2.0], [-1.0, 1.0])
    style.paper_curve(ax, pd.DataFrame({"x": [1.0], "y": [0.006]}), ("a", "b"), None)
    assert style.near_zero(ax) == ", below 0.006"
    style.paper_curve(ax, pd.DataFrame({"x": [1.0], "y": [0.5]}), ("a", "c"), None)
    assert style.near_zero(ax) == ""
