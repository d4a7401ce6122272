"""Networks whose f_lin diverged do not hide the others."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ntkrun.experiments.analysis.suprema import BEYOND, mark_beyond


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
