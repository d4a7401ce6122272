"""What Figures 3, 4, S2, S3, S8 and `lockstep` show: the panels of one run, each over the paper's points where it has any.

Solid lines are the network, dashed ones its linearization; light dots are the paper's digitised curves.  Of several seeds
an average over images is the mean with a band, a single output or weight that of the first seed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ntkrun import tables
from ntkrun.experiments import curves
from ntkrun.experiments.analysis.power_law import largest, vertex
from ntkrun.experiments.claims import ALL_SCALES, ANY_SETTING, Claim
from ntkrun.experiments.curves import Quantity
from ntkrun.experiments.style import (
    ANOTHER,
    KERNEL_COLOURS,
    LINEAR,
    NETWORK,
    PAPER_MARK,
    SERIES,
    SPLIT_COLOURS,
    legend,
    near_zero,
    paper_curve,
    seeds_band,
    seeds_entry,
)
from ntkrun.reference import panel_points
from ntkrun.tables import over_seeds, series

STYLES = {curves.NETWORK: NETWORK, curves.LINEAR: LINEAR}
NAMES = {curves.NETWORK: "network", curves.LINEAR: "linearised"}
DOTS: dict[str, dict[str, Any]] = {curves.NETWORK: {}, curves.LINEAR: {"marker": "s", "markersize": 2.6}}


@dataclass(frozen=True)
class Compared:
    """What a panel shows of every combination of a sweep: the lines of one quantity, told apart by their style.

    curves  by the curve of the table: what the legend calls it, and (panel, curve) of the paper that it is held against
    """

    title: str
    value: str  # on the y axis
    split: str
    curves: dict[str, tuple[str, tuple[str, str]]]
    log: bool = False


def time_axis(ax: Axes, table: pd.DataFrame) -> None:
    positive = table.loc[table["time"] > 0, "time"]
    ax.set_xscale("log")
    ax.set_xlim(positive.min() * 0.8, positive.max() * 1.25)
    ax.set_xlabel("time t")


def _draw(ax: Axes, curve: pd.Series, **look: Any) -> None:
    curve = curve[curve.index > 0]
    mark = {"marker": "o" if look.get("linestyle") in (None, NETWORK) else "x", "markersize": 3}
    ax.plot(curve.index, curve.to_numpy(), **look | (mark if len(curve) == 1 else {}))


def draw_spread(ax: Axes, spread: pd.DataFrame, **look: Any) -> None:
    """The mean over seeds, and its band where there are several."""
    spread = spread[spread.index > 0]
    seeds_band(ax, spread, look["color"])
    _draw(ax, spread["mean"], **look)


def _over_paper(
    ax: Axes,
    named: tuple[str | None, str, str],
    ours: pd.Series,
    rival: str = curves.NETWORK,
    note: str = "",
    *,
    color: str,
) -> bool:
    """Draw the paper's curve of that name (figure, panel, curve), which ours is held against; False if it has none."""
    figure, panel, curve = named
    points = panel_points(figure, panel).get(curve) if figure else None
    if points is not None:
        paper_curve(ax, points, (panel, curve), ours[ours.index > 0], note, **DOTS[rival], color=color)
    return points is not None


@dataclass(frozen=True)
class Followed:
    """Single outputs or weights against time; `stem` leads the names of the paper's curves of `panel`."""

    quantity: Quantity
    split: str
    panel: str
    stem: str
    title: str
    value: str

    def draw(self, ax: Axes, table: pd.DataFrame, paper: str | None) -> None:
        first = table[table["seed"] == table["seed"].min()]
        part = first[(first["curve"] == self.quantity.of(curves.NETWORK)) & (first["split"] == self.split)]
        what = f"another {'weight' if self.stem == 'weight' else 'image'}"
        drawn, note = False, f"{what}: which the paper shows is not known"
        for index in sorted(int(i) for i in part["index"].unique()):
            for rival, line in STYLES.items():
                curve = series(first, self.quantity.of(rival), self.split, index)
                named = (paper, self.panel, f"{self.stem}{index}_{rival}")
                drawn |= _over_paper(ax, named, curve, rival, note, color=ANOTHER)
                look = {"color": SERIES[index % len(SERIES)], "linestyle": line, "linewidth": 1.0}
                _draw(ax, curve, label=f"{NAMES[rival]} {index}", **look)
        time_axis(ax, table)
        seed = f", seed {first['seed'].iloc[0]}" if table["seed"].nunique() > 1 else ""
        ax.set(title=self.title + seed, ylabel=self.value)
        if part.empty:
            ax.text(0.5, 0.5, "none was recorded", transform=ax.transAxes, ha="center", color="0.45")
            return
        self._legend(ax, drawn, what)

    def _legend(self, ax: Axes, paper: bool, note: str) -> None:
        entries: dict[str, dict[str, Any]] = {
            NAMES[rival]: {"color": "0.3", "linestyle": line} for rival, line in STYLES.items()
        }
        if paper:
            entries[f"paper, {note}{near_zero(ax)}"] = PAPER_MARK | {"color": ANOTHER}
            entries["the same, linearised"] = PAPER_MARK | DOTS[curves.LINEAR] | {"color": ANOTHER}
        legend(ax, entries, loc="best")


def outputs(split: str, stem: str = "sample") -> Followed:
    """Single outputs; `stem` is "sample", or "logit" for those of one image."""
    return Followed(curves.OUTPUT, split, f"{split}_output", stem, f"{split} output", "output f(x)")


WEIGHTS = Followed(curves.WEIGHT_CHANGE, "", "weight_change", "weight", "weight change", r"$\theta_t - \theta_0$")


@dataclass(frozen=True)
class Average:
    """The loss or the accuracy on both splits."""

    quantity: Quantity

    def draw(self, ax: Axes, table: pd.DataFrame, paper: str | None) -> None:
        ax.set_title(self.quantity)
        if not table["curve"].isin([self.quantity.of(rival) for rival in STYLES]).any():  # targets have no accuracy
            ax.set_axis_off()
            ax.text(0.5, 0.5, f"no {self.quantity} without classes", ha="center", transform=ax.transAxes)
            return
        ax.set_ylabel(self.quantity)
        drawn = False
        for split, colour in SPLIT_COLOURS.items():
            for rival, line in STYLES.items():
                spread = over_seeds(table, self.quantity.of(rival), split)
                named = (paper, self.quantity, f"{split}_{rival}")
                drawn |= _over_paper(ax, named, spread["mean"], rival, color=colour)
                draw_spread(ax, spread, color=colour, linestyle=line, label=f"{split}, {NAMES[rival]}")
        time_axis(ax, table)
        entries: dict[str, dict[str, Any]] = {split: {"color": colour} for split, colour in SPLIT_COLOURS.items()}
        entries |= {"network": {"color": "0.3"}, "linearised": {"color": "0.3", "linestyle": LINEAR}}
        if drawn:
            entries["paper"] = PAPER_MARK | {"color": "0.3"}
        legend(ax, entries | seeds_entry(table), loc="best")

    def compared(self) -> list[Compared]:
        return [
            Compared(
                f"{split} {self.quantity}",
                self.quantity,
                split,
                {self.quantity.of(r): (label, (self.quantity, f"{split}_{r}")) for r, label in NAMES.items()},
            )
            for split in SPLIT_COLOURS
        ]


@dataclass(frozen=True)
class Distance:
    """Distance of the network's test outputs from rivals: {rival: (label, kernel that gives colour and paper curve)}."""

    rivals: dict[str, tuple[str, str]]

    def draw(self, ax: Axes, table: pd.DataFrame, paper: str | None) -> None:
        entries: dict[str, dict] = {}
        for rival, (label, kernel) in self.rivals.items():
            spread = over_seeds(table, curves.RMSE.of(rival), "test")
            if spread.empty:
                continue
            colour = KERNEL_COLOURS[kernel]
            if _over_paper(ax, (paper, "rmse", f"{kernel}_kernel"), spread["mean"], color=colour):
                entries[f"paper, {kernel} kernel"] = PAPER_MARK | {"color": colour}
            draw_spread(ax, spread, color=colour, label=label)
            entries[label] = {"color": colour}
        time_axis(ax, table)
        distance_axis(ax, entries | seeds_entry(table))
        ax.set(title="test RMSE to the network", ylabel="test RMSE")

    def compared(self) -> list[Compared]:
        named = {curves.RMSE.of(r): (label, ("rmse", f"{k}_kernel")) for r, (label, k) in self.rivals.items()}
        return [Compared("test RMSE to the network", "test RMSE", "test", named, log=True)]


def distance_axis(ax: Axes, entries: dict[str, dict[str, Any]]) -> None:
    """A logarithmic y axis with room for the legend below the curves."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low * (low / high) ** (0.075 * len(entries)), high)  # a row of the legend takes so much of the height
    legend(ax, entries, loc="lower right")


FLOW_RIVALS = {
    curves.FLOW_EMPIRICAL: ("gradient flow, empirical kernel", "empirical"),
    curves.FLOW_ANALYTIC: ("gradient flow, analytic kernel", "analytic"),
}
STEP_RIVALS = {
    curves.LINEAR: ("linearised, same steps", "empirical"),
    curves.LINEAR_ANALYTIC: ("analytic kernel, same steps", "analytic"),
}


def distance_at_start(table: pd.DataFrame) -> float:
    """The largest test RMSE of network and f_lin at t = 0; nan where that is not recorded."""
    start = (table["curve"] == curves.RMSE.of(curves.LINEAR)) & (table["split"] == "test") & (table["time"] == 0)
    return largest(table.loc[start, "value"])


def starts_together(figure: str, high: float, why: str) -> Claim:
    """The claim that f_lin = f at theta_0."""
    return Claim(
        id=f"{figure}.starts_together",
        sentence="Network and linearization start from the same function.",
        source="eq. (5): f_lin = f at theta_0",
        kind="theory",
        measure=distance_at_start,
        expected="0",
        band=(0.0, high),
        scales=ALL_SCALES,
        why=why,
        real_data=False,
        depends_on=ANY_SETTING,
    )


def _bump(table: pd.DataFrame) -> tuple[float, float]:
    """Time and height of the early maximum (0 < t < .64) of the RMSE to flow with the empirical kernel: the vertex of the
    parabola through the highest record and its neighbours, logarithms on both axes.  nan where the highest is the first or
    the last, so that there is no maximum.
    """
    curve = tables.series(table, curves.RMSE.of(curves.FLOW_EMPIRICAL), "test")
    curve = curve[(curve.index > 0) & (curve.index < 0.64)]
    top = int(curve.to_numpy().argmax()) if len(curve) else 0
    if not 0 < top < len(curve) - 1:
        return float("nan"), float("nan")
    return vertex(curve, top)


def bump_time(table: pd.DataFrame) -> float:
    """Time of that maximum."""
    return _bump(table)[0]


def bump_height(table: pd.DataFrame) -> float:
    """Its height in units of rms f_0 times s/2e, s = (time of one step) / (time of the maximum) the share of the fastest
    mode that a step removes.

    A mode moves by (1 - s)^i where flow has e^(-s i): s^2 i/2 e^(-s i) apart, s/2e at its largest, which is at i = 1/s.
    rms f_0 is that of the train loss (1 + f_0^2)/2 of targets +-1, at the first step, which is the first record.
    """
    (time, height), loss = _bump(table), series(table, curves.LOSS.of(curves.NETWORK), "train")
    loss = loss[loss.index > 0]
    if loss.empty:
        return float("nan")
    step, rms = float(loss.index[0]), np.sqrt(np.maximum(2 * float(loss.iloc[0]) - 1, 0.0))
    return float(height * 2 * np.e * time / (rms * step))


def worst_kernel_ratio(table: pd.DataFrame) -> float:
    """Largest RMSE(empirical) / RMSE(analytic) over the recorded t >= 1."""
    empirical, analytic = (series(table, curves.RMSE.of(rival), "test") for rival in FLOW_RIVALS)
    ratio = empirical / analytic
    return largest(ratio[ratio.index >= 1])


def same_steps_to_flow(table: pd.DataFrame) -> float:
    """RMSE of f_lin moved by the same steps / RMSE of gradient flow with the same kernel, t = .08."""
    steps, flow = (
        tables.at(table, curves.RMSE.of(rival), 0.08, "test") for rival in (curves.LINEAR, curves.FLOW_EMPIRICAL)
    )
    return steps / flow


def output_correlation(table: pd.DataFrame) -> float:
    """Correlation of the followed test outputs, network against f_lin, at the last time."""
    end = table[(table["time"] == table["time"].max()) & (table["split"] == "test")].set_index(["cell", "index"])
    network, linear = (end.loc[end["curve"] == curves.OUTPUT.of(r), "value"] for r in (curves.NETWORK, curves.LINEAR))
    both = pd.concat([network, linear], axis=1).to_numpy()
    return float(np.corrcoef(both.T)[0, 1]) if len(both) > 1 else float("nan")
