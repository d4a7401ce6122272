"""How far our curves are from the paper's, at the paper's own abscissae: measured on what a figure has drawn.

On a logarithmic y axis a deviation is log2(ours / the paper's), in octaves; on a linear one it is the difference over
the height that the paper's curves of that panel span.  Between two of our points the straight line is taken that is
drawn there; where ours has ended nothing is compared.
"""

import csv
import io
import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkrun.experiments.style import PaperCurve

# unit: "octaves" | "of the panel"; points: compared, of those the paper has; then |deviation| and its signed median;
# combination: of what is swept, "" where ours is one curve
COLUMNS = [
    "figure", "panel", "curve", "unit", "points", "paper_points", "median", "largest", "signed_median", "note",
    "combination",
]  # fmt: skip


def deviations(figure: Figure, name: str) -> pd.DataFrame:
    """One row a curve of the paper that the figure shows, in the order of drawing; nan where ours was not run."""
    rows = []
    curves = {ax: [line for line in ax.lines if isinstance(line, PaperCurve)] for ax in figure.axes}
    panels: dict[str, list[PaperCurve]] = {}
    for line in itertools.chain(*curves.values()):
        panels.setdefault(line.panel, []).append(line)  # several of our panels may share one of the paper's
    for ax, drawn in curves.items():
        unit = "octaves" if ax.get_yscale() == "log" else "of the panel"
        for line in drawn:
            height = _height(panels[line.panel])
            for label, ours in line.ours.items():
                apart = deviation(line, ours, height)
                size = np.abs(apart)
                some = len(apart) > 0
                middle, largest = (float(np.median(size)), float(size.max())) if some else (np.nan, np.nan)
                signed = float(np.median(apart)) if some else np.nan
                counts = (len(apart), len(line.get_xdata()))  # pyright: ignore[reportArgumentType]
                combination = label or str(ax.figure.get_label())
                rows.append(
                    (name, line.panel, line.curve, unit, *counts, middle, largest, signed, line.note, combination)
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def deviation(line: PaperCurve, ours: pd.Series, height: float) -> np.ndarray:
    """Signed deviation of ours at those of the paper's points that lie within our curve."""
    ax = line.axes
    assert isinstance(ax, Axes)
    x_log, y_log = ax.get_xscale() == "log", ax.get_yscale() == "log"
    ours = ours.dropna().sort_index()
    x, y = _on_axis(ours.index.to_numpy(float), x_log), _on_axis(ours.to_numpy(float), y_log)
    x, y = x[np.isfinite(x + y)], y[np.isfinite(x + y)]
    at, theirs = (
        _on_axis(np.asarray(line.get_xdata(), float), x_log),
        _on_axis(np.asarray(line.get_ydata(), float), y_log),
    )
    if not len(x):
        return np.empty(0)
    reach = 1e-6 * (x[-1] - x[0] + 1.0)  # digitised abscissae are rounded
    inside = np.isfinite(at + theirs) & (at >= x[0] - reach) & (at <= x[-1] + reach)
    return (np.interp(at[inside], x, y) - theirs[inside]) / (1.0 if y_log else height)


def _on_axis(values: np.ndarray, log: bool) -> np.ndarray:
    """Where values lie on the axis, octaves on a logarithmic one; nan for what cannot be shown there."""
    return np.log2(np.where(values > 0, values, np.nan)) if log else values


def _height(curves: list[PaperCurve]) -> float:
    """What the paper's curves of a panel span on a linear axis; nan when that is nothing."""
    span = float(np.ptp(np.concatenate([np.asarray(line.get_ydata(), float) for line in curves]))) if curves else 0.0
    return span if span > 0 else np.nan


def rows_of(content: str) -> list[dict[str, str]]:
    """The rows of a deviation.csv."""
    return list(csv.DictReader(io.StringIO(content)))


def distance(rows: Iterable[Mapping[str, str]]) -> str:
    """The root mean square, over curves, of the median |deviation|: ".06 octaves, 2 % of the panel"; "" where there is none.

    Of curves that were run and that are comparable: a `note` says why a curve shows another draw.
    """
    medians: dict[str, list[float]] = {}
    for row in rows:
        if row["median"] and not row["note"]:
            medians.setdefault(row["unit"], []).append(float(row["median"]))
    rms = {unit: float(np.sqrt(np.mean(np.square(found)))) for unit, found in medians.items()}
    return ", ".join(
        f"{value:.2f} octaves" if unit == "octaves" else f"{value:.1%} {unit}" for unit, value in rms.items()
    )
