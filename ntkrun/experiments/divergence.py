"""Curves that diverge hide all others of their panel: its y axis follows those that do not, and the panel says which do.

A curve has diverged where its size is above `BEYOND` times what it starts with, or above `BEYOND` where it starts below 1.
Points that no line joins are no curve.  What is drawn here, losses, outputs, weights, distances, is of order 1 while training
converges.  A diverged curve leaves the panel behind a cross; tables and claims keep all of it.
"""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntkrun.experiments.style import ALARM, PaperCurve

BEYOND = 100


def cut_diverged(figure: Figure) -> None:
    """Fit the y axes of all panels to the curves that have not diverged; panels without one that has stay as they are.

    The `gid` of a curve, where it has one, is what the note calls it.
    """
    for ax in figure.axes:
        ours = [line for line in ax.lines if not isinstance(line, PaperCurve) and line.get_linestyle() != "None"]
        if diverged := [line for line in ours if _has_diverged(_values(line))]:
            low, high = _limits(ax, diverged)
            for line in diverged:
                _cross(ax, line, low, high)
            ax.set_ylim(low, high)
            _say(ax, dict.fromkeys(str(line.get_gid() or "a curve") for line in diverged))


def _values(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), np.float64)


def _limit(values: np.ndarray) -> float:
    """Above which a curve has diverged."""
    finite = values[np.isfinite(values)]
    return BEYOND * max(1.0, abs(float(finite[0]))) if len(finite) else np.inf


def _has_diverged(values: np.ndarray) -> bool:
    return bool((np.abs(values) > _limit(values)).any())


def _limits(ax: Axes, diverged: list[Line2D]) -> tuple[float, float]:
    """Of the curves that have not diverged, the paper's too, and of the start of those that have, with a margin."""
    starts = [_values(line)[np.isfinite(_values(line))][:1] for line in diverged]
    values = np.concatenate([*(_values(line) for line in ax.lines if line not in diverged), *starts])
    log = ax.get_yscale() == "log"
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    values = np.log(values) if log else values
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    margin = 0.2 * (high - low) or 0.5
    return (np.exp(low - margin), np.exp(high + margin)) if log else (low - margin, high + margin)


def _cross(ax: Axes, line: Line2D, low: float, high: float) -> None:
    """At the last point in front of that where the curve leaves the panel; what follows is not drawn."""
    x, y = np.asarray(line.get_xdata(), np.float64), _values(line)
    inside = (low <= y) & (y <= high)
    last = max(int(inside.argmin()) - 1, 0)
    line.set_ydata(np.where(np.arange(len(y)) <= last + 1, y, np.nan))
    ax.plot(x[last : last + 1], y[last : last + 1], marker="x", markersize=5, linestyle="none", color=line.get_color())


def _say(ax: Axes, names: Iterable[str]) -> None:
    ax.text(
        0.02,
        0.98,
        f"x: {', '.join(names)} diverges\n(beyond {BEYOND:g} x its start)",
        transform=ax.transAxes,
        va="top",
        color=ALARM,
        fontsize="x-small",
    )
