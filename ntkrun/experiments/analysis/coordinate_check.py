"""Slopes of a coordinate check: the power of the width with which pre-activations move, by layer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import PowerLaw, power_law
from ntkrun.experiments.style import colours, panel_letters, style


def _laws(table: pd.DataFrame) -> dict[int, tuple[pd.Series, PowerLaw]]:
    """Layer -> (means over seeds by width, power law through them), at the last step of a table of `coordinate_check`."""
    if not isinstance(table, pd.DataFrame) or not {"curve", "step", "index", "width"} <= {*table.columns}:
        raise UserError(f"a table of ntkrun.coordinate_check is needed here, not a {type(table).__name__}")
    chosen = (table["curve"] == curves.PREACTIVATION_CHANGE.of(curves.NETWORK)) & (table["step"] == table["step"].max())
    found: dict[int, tuple[pd.Series, PowerLaw]] = {}
    for layer in sorted(int(one) for one in table.loc[chosen, "index"].unique()):
        means = table[chosen & (table["index"] == layer)].groupby("width")["value"].mean().sort_index()
        found[layer] = means, power_law(means.index, means)
    return found


def preactivation_slopes(table: pd.DataFrame) -> pd.DataFrame:
    """slope, low, high of every layer: change ~ n^slope at the last step, with the 95 per cent interval of its scatter.

    table: of `coordinate_check`.  Two widths leave no scatter to judge by, and the interval is the whole axis.
    """
    rows = {layer: (law.slope, law.low, law.high) for layer, (_, law) in _laws(table).items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["slope", "low", "high"]).rename_axis("layer")


def plot_coordinate_check(checks: Mapping[str, pd.DataFrame]) -> Figure:
    """A panel for each table of `coordinate_check`, by its title: change of pre-activations against width, a line a layer."""
    if not isinstance(checks, Mapping):
        raise UserError(f"name each table, {{'ntk': table}}: a {type(checks).__name__} has no titles")
    with style("paper"):
        figure = Figure(figsize=(3.4 * len(checks), 3.2), layout="constrained")
        axes = list(figure.subplots(1, len(checks), sharey=True, squeeze=False).flat)
        for ax, (title, table) in zip(axes, checks.items(), strict=True):
            _panel(ax, table)
            ax.set_title(f"{title}, after {table['step'].max()} steps")
        axes[0].set_ylabel("rms change of pre-activations")
        panel_letters(axes)
    return figure


def _panel(ax: Axes, table: pd.DataFrame) -> None:
    laws = _laws(table)
    for (layer, (means, law)), colour in zip(laws.items(), colours(len(laws)), strict=True):
        ax.plot(means.index, means, "o", color=colour, label=f"layer {layer + 1}: slope {law.slope:.2f}")
        ax.plot(means.index, law.at(np.asarray(means.index)), color=colour)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel("width n")
    ax.legend()
