"""The paper's own curves, digitised from its vector plots: facts to draw and to measure against."""

import fnmatch
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import pandas as pd

from ntkrun.errors import UserError, did_you_mean


@cache
def paper_curves() -> pd.DataFrame:
    """All digitised points: columns figure, panel, curve, x, y, y_err (nan where the plot has no error bar)."""
    with files(__name__).joinpath("paper_curves.csv").open() as handle:
        return pd.read_csv(handle)


def paper_panel(figure: str, panel: str) -> dict[str, pd.DataFrame]:
    """Curves of one panel by name, each a frame with x, y, y_err in the order of x; `figure` as in "fig3", "figs8".

    Raises `UserError` for a figure or panel that is not among the digitised ones.
    """
    if figure not in (known := _figures()):
        hint = did_you_mean(figure, known) or ":"
        raise UserError(f"no curves of {figure!r} are known{hint} there are {', '.join(known)}")
    if panel not in (known := list(_panels(figure))):
        hint = did_you_mean(panel, known) or ":"
        raise UserError(f"no panel {panel!r} of {figure} is known{hint} there are {', '.join(known)}")
    return panel_points(figure, panel)


def panel_points(figure: str, panel: str) -> dict[str, pd.DataFrame]:
    """The same for what draws: nothing where the paper has no such figure or panel."""
    return dict(_panels(figure).get(panel, {}))


def curves_named(patterns: Iterable[str]) -> frozenset[str]:
    """The digitised curves that patterns of "figure/panel/curve" name: "fig3/loss/train_*" for two of Figure 3."""
    return frozenset(name for pattern in patterns for name in fnmatch.filter(_names(), pattern))


@cache
def _names() -> list[str]:
    named = paper_curves()[["figure", "panel", "curve"]].drop_duplicates().itertuples(index=False)
    return [f"{figure.lower()}/{panel}/{curve}" for figure, panel, curve in named]


@cache
def _figures() -> list[str]:
    return sorted(paper_curves()["figure"].str.lower().unique())


@cache
def _panels(figure: str) -> dict[str, dict[str, pd.DataFrame]]:
    found: dict[str, dict[str, pd.DataFrame]] = {}
    points = paper_curves()
    points = points[points["figure"].str.lower() == figure]
    for (panel, curve), part in points.groupby(["panel", "curve"]):
        found.setdefault(str(panel), {})[str(curve)] = part.sort_values("x")
    return found
