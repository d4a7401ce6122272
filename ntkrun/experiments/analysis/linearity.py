"""How linear a run is, drawn: what `experiment=lockstep` shows beside its six panels with linearity=true."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from ntkrun.experiments import curves
from ntkrun.experiments.analysis.trajectories import Compared, distance_axis, draw_spread, time_axis
from ntkrun.experiments.analysis.trajectory_figure import RunFigure
from ntkrun.experiments.style import BLACK, GREEN, KERNEL_COLOURS, LINEAR, NETWORK, ORANGE, PURPLE, colours, seeds_entry
from ntkrun.tables import over_seeds

SPLIT_LINES = {"test": NETWORK, "train": (0, (1, 1.5))}
NAMED = 7  # layers that the key has room for
RIVALS = {
    curves.LINEAR: ("linearised, same steps", KERNEL_COLOURS["empirical"]),
    curves.EXPANSION: ("linearised, the network's weights", ORANGE),
    curves.LINEAR_ANALYTIC: ("analytic kernel, same steps", KERNEL_COLOURS["analytic"]),
}


@dataclass(frozen=True)
class FromLinear:
    """Distance of the network's outputs from every f_lin, on both splits."""

    def draw(self, ax: Axes, table: pd.DataFrame, paper: str | None) -> None:
        entries: dict[str, dict] = {}
        for rival, (label, colour) in RIVALS.items():
            for split, line in SPLIT_LINES.items():
                spread = over_seeds(table, curves.RMSE.of(rival), split)
                if not spread.empty:
                    draw_spread(ax, spread, color=colour, linestyle=line, label=f"{label}, {split}")
                    entries[label] = {"color": colour}
        entries |= {split: {"color": "0.3", "linestyle": line} for split, line in SPLIT_LINES.items()}
        time_axis(ax, table)
        distance_axis(ax, entries | seeds_entry(table))
        ax.set(title="RMSE to the network", ylabel="RMSE")

    def compared(self) -> list[Compared]:
        named = {curves.RMSE.of(rival): (label, ("", "")) for rival, (label, _) in RIVALS.items()}
        return [
            Compared(f"{split} RMSE to the network", f"{split} RMSE", split, named, log=True) for split in SPLIT_LINES
        ]


@dataclass(frozen=True)
class OfTraining:
    """Curves of the network on its training set: by name (label, colour, style of the line)."""

    title: str
    value: str
    lines: dict[str, tuple[str, str, object]]

    def draw(self, ax: Axes, table: pd.DataFrame, paper: str | None) -> None:
        entries: dict[str, dict] = {}
        for curve, (label, colour, line) in self.lines.items():
            spread = over_seeds(table, curve, "train")
            if not spread.empty:
                draw_spread(ax, spread, color=colour, linestyle=line, label=label)
                entries[label] = {"color": colour, "linestyle": line}
        time_axis(ax, table)
        distance_axis(ax, entries | seeds_entry(table))
        ax.set(title=self.title, ylabel=self.value)

    def compared(self) -> list[Compared]:
        named = {curve: (label, ("", "")) for curve, (label, *_) in self.lines.items()}
        return [Compared(self.title, self.value, "train", named, log=True)]


@dataclass(frozen=True)
class Layers:
    """Change of every layer; of several combinations, which have many, none is shown."""

    def draw(self, ax: Axes, table: pd.DataFrame, paper: str | None) -> None:
        curve = curves.LAYER_CHANGE.of(curves.NETWORK)
        indices = sorted(int(index) for index in table.loc[table["curve"] == curve, "index"].unique())
        entries: dict[str, dict] = {}
        for index, colour in zip(indices, colours(len(indices)), strict=True):
            draw_spread(ax, over_seeds(table, curve, "", index), color=colour, label=f"layer {index + 1}")
            if len(indices) <= NAMED or index in (indices[0], indices[-1]):  # of many, shades in order
                entries[f"layer {index + 1}"] = {"color": colour}
        time_axis(ax, table)
        distance_axis(ax, entries | seeds_entry(table))
        ax.set(title="change of layers", ylabel=r"$\|\theta_l - \theta_l(0)\| / \|\theta_l(0)\|$")

    def compared(self) -> list[Compared]:
        return []


KERNEL = OfTraining(
    r"kernel $\hat\Theta_t$ of training examples",
    "relative change, alignment",
    {
        curves.NTK_CHANGE.of(curves.NETWORK): (r"change since $\theta_0$", PURPLE, NETWORK),
        curves.ALIGNMENT.of(curves.NETWORK): ("alignment with the targets", GREEN, NETWORK),
    },
)
SHARPNESS = OfTraining(
    "sharpness of the training loss",
    "sharpness",
    {
        curves.SHARPNESS.of(curves.NETWORK): (r"$\lambda_{\max}$ of the Hessian", BLACK, NETWORK),
        curves.STABLE_SHARPNESS.of(curves.NETWORK): ("stable up to here", "0.5", LINEAR),
    },
)


def with_linearity(six: RunFigure) -> RunFigure:
    """Nine panels: the first five of the six, all distances in the sixth, and a row of how linear the run is."""
    return RunFigure(
        six.paper, (*six.panels[:5], FromLinear(), KERNEL, Layers(), SHARPNESS), rows=3, inches=(10.5, 9.5)
    )


def has_linearity(table: pd.DataFrame) -> bool:
    return bool((table["curve"] == curves.SHARPNESS.of(curves.NETWORK)).any())
