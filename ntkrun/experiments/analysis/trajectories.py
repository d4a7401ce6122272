"""The panels of Figures 3, S2, S3, S8 and `lockstep`, each over the paper's points where it has any.

Solid lines are the network, dashed ones its linearization; light dots are the paper's digitised curves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.claims import ALL_SCALES, ANY_SETTING, Claim
from ntkrun.experiments.curves import Quantity
from ntkrun.experiments.style import (
    KERNEL_COLOURS,
    LINEAR,
    NETWORK,
    PAPER_MARK,
    SERIES,
    SPLIT_COLOURS,
    legend,
    panel_letter,
    paper_curve,
)
from ntkrun.reference import paper_panel
from ntkrun.tables import series

STYLES = {curves.NETWORK: NETWORK, curves.LINEAR: LINEAR}
DOTS: dict[str, dict[str, Any]] = {curves.NETWORK: {}, curves.LINEAR: {"marker": "s", "markersize": 2.6}}


def _time_axis(ax: Axes, table: pd.DataFrame) -> None:
    positive = table.loc[table["time"] > 0, "time"]
    ax.set_xscale("log")
    ax.set_xlim(positive.min() * 0.8, positive.max() * 1.25)
    ax.set_xlabel("t")


def _draw(ax: Axes, curve: pd.Series, **look: Any) -> None:
    curve = curve[curve.index > 0]
    ax.plot(curve.index, curve.to_numpy(), **look)


def _over_paper(
    ax: Axes,
    named: tuple[str | None, str, str],
    ours: pd.Series,
    rival: str = curves.NETWORK,
    note: str = "",
    **look: Any,
) -> bool:
    """Draw our curve over the paper's of that name (figure, panel, curve); False if it has none."""
    figure, panel, curve = named
    points = paper_panel(figure, panel).get(curve) if figure else None
    if points is not None:
        paper_curve(ax, points, (panel, curve), ours[ours.index > 0], note, **DOTS[rival], color=look["color"])
    _draw(ax, ours, **look)
    return points is not None


def _models_legend(ax: Axes, paper: bool, **options) -> None:
    entries = {
        "network": {"color": "0.3", "linestyle": NETWORK},
        "linearised": {"color": "0.3", "linestyle": LINEAR},
    }
    if paper:
        entries["paper (network)"] = PAPER_MARK | {"color": "0.3"}
        entries["paper (linearised)"] = PAPER_MARK | DOTS[curves.LINEAR] | {"color": "0.3"}
    legend(ax, entries, **options)


def outputs_panel(ax: Axes, table: pd.DataFrame, split: str, paper: str | None = None, stem: str = "sample") -> None:
    """Single outputs against time; `stem` of the paper's curves is "sample", or "logit" for those of one image."""
    _followed(ax, table, curves.OUTPUT, split, f"{split}_output", stem, paper)
    ax.set_title(f"{split} output")


def weights_panel(ax: Axes, table: pd.DataFrame, paper: str | None = None) -> None:
    """Change of single weights, theta_t - theta_0."""
    _followed(ax, table, curves.WEIGHT_CHANGE, "", "weight_change", "weight", paper)
    ax.set_title(r"weight change  $\theta_t - \theta_0$")


def _followed(
    ax: Axes, table: pd.DataFrame, quantity: Quantity, split: str, panel: str, stem: str, paper: str | None
) -> None:
    part = table[(table["curve"] == quantity.of(curves.NETWORK)) & (table["split"] == split)]
    drawn, note = False, f"another {'weight' if stem == 'weight' else 'image'}: which the paper shows is not known"
    for index in sorted(int(i) for i in part["index"].unique()):
        colour = SERIES[index % len(SERIES)]
        for rival, line in STYLES.items():
            named, curve = (paper, panel, f"{stem}{index}_{rival}"), series(table, quantity.of(rival), split, index)
            drawn |= _over_paper(ax, named, curve, rival, note, color=colour, linestyle=line, linewidth=1.0)
    _time_axis(ax, part)
    _models_legend(ax, drawn, loc="best")


def _split_panel(ax: Axes, table: pd.DataFrame, quantity: Quantity, paper: str | None) -> None:
    drawn = False
    for split, colour in SPLIT_COLOURS.items():
        for rival, line in STYLES.items():
            named, curve = (paper, quantity, f"{split}_{rival}"), series(table, quantity.of(rival), split)
            drawn |= _over_paper(ax, named, curve, rival, color=colour, linestyle=line)
    _time_axis(ax, table)
    entries: dict[str, dict[str, Any]] = {split: {"color": colour} for split, colour in SPLIT_COLOURS.items()}
    entries |= {"network": {"color": "0.3"}, "linearised": {"color": "0.3", "linestyle": LINEAR}}
    if drawn:
        entries["paper"] = PAPER_MARK | {"color": "0.3"}
    legend(ax, entries, loc="best")
    ax.set_title(quantity)


def loss_panel(ax: Axes, table: pd.DataFrame, paper: str | None = None) -> None:
    """The averaged loss on both splits."""
    _split_panel(ax, table, curves.LOSS, paper)


def accuracy_panel(ax: Axes, table: pd.DataFrame, paper: str | None = None) -> None:
    """Share of right answers on both splits."""
    _split_panel(ax, table, curves.ACCURACY, paper)


def rmse_panel(ax: Axes, table: pd.DataFrame, rivals: dict[str, tuple[str, str]], paper: str | None = None) -> None:
    """Distance of the network's test outputs from rivals: {rival: (label, kernel that gives colour and paper curve)}."""
    entries: dict[str, dict] = {}
    for rival, (label, kernel) in rivals.items():
        curve = series(table, curves.RMSE.of(rival), "test")
        if curve.empty:
            continue
        colour = KERNEL_COLOURS[kernel]
        if _over_paper(ax, (paper, "rmse", f"{kernel}_kernel"), curve, color=colour):
            entries[f"paper, {kernel} kernel"] = PAPER_MARK | {"color": colour}
        entries[label] = {"color": colour}
    _time_axis(ax, table)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** (0.075 * len(entries)), high)  # a row of the legend takes so much of the height
    legend(ax, entries, loc="lower right")
    ax.set_title("test RMSE to the network")


FLOW_RIVALS = {
    curves.FLOW_EMPIRICAL: ("gradient flow, empirical kernel", "empirical"),
    curves.FLOW_ANALYTIC: ("gradient flow, analytic kernel", "analytic"),
}
STEP_RIVALS = {
    curves.LINEAR: ("linearised, same steps", "empirical"),
    curves.LINEAR_ANALYTIC: ("analytic kernel, same steps", "analytic"),
}


def six_panels(
    table: pd.DataFrame, paper: str | None, rivals: dict[str, tuple[str, str]], stem: str = "sample"
) -> Figure:
    """Train output, test output, weight change / loss, accuracy, RMSE: the layout of Figures S2, S3 and S8."""
    figure = Figure(figsize=(10.5, 6.4), layout="constrained")
    axes = figure.subplots(2, 3)
    draw: list[Callable[[Axes], None]] = [
        lambda ax: outputs_panel(ax, table, "train", paper, stem),
        lambda ax: outputs_panel(ax, table, "test", paper, stem),
        lambda ax: weights_panel(ax, table, paper),
        lambda ax: loss_panel(ax, table, paper),
        lambda ax: accuracy_panel(ax, table, paper),
        lambda ax: rmse_panel(ax, table, rivals, paper),
    ]
    for letter, ax, panel in zip("abcdef", axes.flat, draw, strict=True):
        panel(ax)
        panel_letter(ax, letter)
    return figure


def starts_together(figure: str, high: float, why: str) -> Claim:
    """The claim that f_lin = f at theta_0."""
    return Claim(
        id=f"{figure}.starts_together",
        sentence="Network and linearization start from the same function.",
        source="eq. (5): f_lin = f at theta_0",
        kind="theory",
        measure=lambda table: tables.series(table, curves.RMSE.of(curves.LINEAR), "test").iloc[0],
        expected="0",
        band=(0.0, high),
        scales=ALL_SCALES,
        why=why,
        real_data=False,
        depends_on=ANY_SETTING,
    )


def bump_time(table: pd.DataFrame) -> float:
    """Time at which the RMSE to flow with the empirical kernel has its early maximum (0 < t < .64)."""
    curve = tables.series(table, curves.RMSE.of(curves.FLOW_EMPIRICAL), "test")
    times, values = np.asarray(curve.index, np.float64), curve.to_numpy()
    early = (times > 0) & (times < 0.64)
    return float(times[early][values[early].argmax()])


def worst_kernel_ratio(table: pd.DataFrame) -> float:
    """Largest RMSE(empirical) / RMSE(analytic) over the recorded t >= 1."""
    empirical, analytic = (series(table, curves.RMSE.of(rival), "test") for rival in FLOW_RIVALS)
    ratio = empirical / analytic
    return float(ratio[ratio.index >= 1].max())


def same_steps_to_flow(table: pd.DataFrame) -> float:
    """RMSE of f_lin moved by the same steps / RMSE of gradient flow with the same kernel, t = .08."""
    steps, flow = (
        tables.at(table, curves.RMSE.of(rival), 0.08, "test") for rival in (curves.LINEAR, curves.FLOW_EMPIRICAL)
    )
    return steps / flow


def output_correlation(table: pd.DataFrame) -> float:
    """Correlation of the followed test outputs, network against f_lin, at the last time."""
    end = table[(table["time"] == table["time"].max()) & (table["split"] == "test")]
    outputs = end.pivot_table(index=["cell", "index"], columns="curve", values="value")
    return float(outputs[curves.OUTPUT.of(curves.NETWORK)].corr(outputs[curves.OUTPUT.of(curves.LINEAR)]))
