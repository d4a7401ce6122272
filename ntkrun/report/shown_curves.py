"""What a picture shows as numbers, curves.json: every line of every panel with its name, small enough to be put into a page.

Lines keep the paper's points apart from ours.  Maps, bands and error bars are left to table.parquet, and so are the points
that are left out where a figure has too many: each line is thinned to the same number, evenly along it, ends included.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.scale import LogTransform

from ntkrun.experiments.style import PaperCurve
from ntkrun.experiments.symbols import symbols

MOST_BYTES = 58_000  # of a curves.json
POINTS = (
    300,
    200,
    140,
    100,
    70,
    50,
    36,
    26,
    18,
    12,
    8,
    5,
    3,
)  # of a line at most: the first with which the file is small
ALIKE = 12  # lines of one name in a panel; of more the first are kept
PANELS = 40
STYLES = ("solid", "dashed", "none")
LINES = 2000  # of a figure; a line takes a hundred bytes without its points
SHORTEST = 3  # bytes of a number, with its comma

GREEK = dict(
    zip(
        ["alpha", "beta", "eta", "theta", "Theta", "lambda", "phi", "rho", "sigma"],
        "\N{GREEK SMALL LETTER ALPHA}βηθΘλφ\N{GREEK SMALL LETTER RHO}\N{GREEK SMALL LETTER SIGMA}",
        strict=True,
    )
)
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
WORDS = {"sqrt": "√", "sup": "sup", "log": "log", "|": "‖", ",": " "}


def curves_file(figure: Figure) -> bytes:
    """The curves.json of a finished figure; without a panel where it has more lines than a page can show."""
    axes = figure.axes[:PANELS] if sum(len(ax.lines) for ax in figure.axes) <= LINES else []
    panels = [panel for panel in map(_panel, axes) if panel["series"]]
    lengths = [len(one["points"]) for panel in panels for one in panel["series"]]
    for most in POINTS:
        if SHORTEST * sum(min(length, most) for length in lengths) > MOST_BYTES:
            continue
        content = json.dumps({"panels": [_thinned(panel, most) for panel in panels]}, separators=(",", ":")).encode()
        if len(content) <= MOST_BYTES:
            return content
    return json.dumps({"panels": []}).encode()


def panels_of(content: str) -> list[dict[str, Any]]:
    """The panels of a curves.json, with what a page needs of them; raises anything where it is not as `curves_file` writes it."""
    return [_checked(panel) for panel in json.loads(content)["panels"]]


def _checked(panel: dict[str, Any]) -> dict[str, Any]:
    abscissae = [list(map(_number, values)) for values in panel["abscissae"]]
    series = []
    for one in panel["series"]:
        at, y = int(one["at"]), list(map(_number, one["y"]))
        if not 0 <= at < len(abscissae) or len(abscissae[at]) != len(y):
            raise ValueError(f"curves.json: the abscissae of {one['name']!r} are not there")
        if not re.fullmatch("#[0-9a-f]{6}", one["colour"]) or one["line"] not in STYLES:
            raise ValueError(f"curves.json: {one['name']!r} has no look of a line")
        words = {name: str(one.get(name, "")) for name in ("name", "colour", "line", "note")}
        series.append(words | {"paper": bool(one["paper"]), "at": at, "y": y})
    axes = {name: {"label": str(panel[name]["label"]), "log": _number(panel[name]["log"])} for name in ("x", "y")}
    left_out = {str(name): str(told) for name, told in panel["left_out"].items()}
    return axes | {"title": str(panel["title"]), "left_out": left_out, "abscissae": abscissae, "series": series}


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"curves.json: {value!r} is no number")
    return value


def _panel(ax: Axes) -> dict[str, Any]:
    """Its axes and its lines."""
    lines = [line for line in ax.lines if not _is_cap(ax, line) and _points(ax, line).size]
    names = [_name(ax, line) for line in lines]
    counts = Counter(names)
    kept = [
        (line, name)
        for place, (line, name) in enumerate(zip(lines, names, strict=True))
        if names[:place].count(name) < ALIKE
    ]
    part = str(ax.figure.get_label() or "")
    title = ": ".join(filter(None, (part, plain(ax.get_title()))))
    return {
        "title": title or plain(ax.get_ylabel()),
        "x": {"label": plain(_label_below(ax)), "log": _base(ax.xaxis.get_transform())},
        "y": {"label": plain(ax.get_ylabel()), "log": _base(ax.yaxis.get_transform())},
        "left_out": {name: f"{ALIKE} of {count}" for name, count in counts.items() if count > ALIKE},
        "series": [_series(ax, line, name) for line, name in kept],
    }


def _label_below(ax: Axes) -> str:
    """That of the x axis; of a column of panels the lowest one has it."""
    below = [other for other in ax.get_shared_x_axes().get_siblings(ax) if other.get_xlabel()]
    return ax.get_xlabel() or (below[0].get_xlabel() if below else "")


def _bars(ax: Axes) -> list[ErrorbarContainer]:
    return [one for one in ax.containers if isinstance(one, ErrorbarContainer)]


def _is_cap(ax: Axes, line: Line2D) -> bool:
    """Whether it is an end of error bars."""
    return any(line is cap for bars in _bars(ax) for cap in bars.lines[1])


def _points(ax: Axes, line: Line2D) -> np.ndarray:
    """(n, 2) in the order of x: what the axes can show of the line."""
    if line.get_transform() != ax.transData:
        return np.empty((0, 2))
    points = np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])
    shown = np.isfinite(points).all(axis=1)
    for column, scale in enumerate((ax.get_xscale(), ax.get_yscale())):
        shown &= (points[:, column] > 0) | (scale != "log")
    points = points[shown]
    return points[np.argsort(points[:, 0], kind="stable")]


def _series(ax: Axes, line: Line2D, name: str) -> dict[str, Any]:
    look = {"name": name, "colour": to_hex(line.get_color())}
    style = "none" if line.get_linestyle() == "None" else "dashed" if line.is_dashed() else "solid"
    paper = {"paper": True, "note": line.note} if isinstance(line, PaperCurve) else {"paper": False}
    return look | {"line": style, "points": _points(ax, line)} | paper


def _thinned(panel: dict[str, Any], most: int) -> dict[str, Any]:
    """The panel with at most so many points a line, which share their abscissae where these are the same."""
    abscissae: list[list[float]] = []
    series = []
    for one in panel["series"]:
        points = one["points"]
        if len(points) > most:
            points = points[np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))]
        x, y = (list(map(_short, column)) for column in points.T)
        if x not in abscissae:
            abscissae.append(x)
        series.append({k: v for k, v in one.items() if k != "points"} | {"at": abscissae.index(x), "y": y})
    return panel | {"abscissae": abscissae, "series": series}


def _short(value: float) -> float | int:
    short = float(f"{value:.5g}")
    return int(short) if short == int(short) and abs(short) < 1e6 else short


def _base(scale: Any) -> float:
    """Of a logarithmic axis; 0 of a linear one."""
    return float(scale.base) if isinstance(scale, LogTransform) else 0.0


def _name(ax: Axes, line: Line2D) -> str:
    """What a reader of the legend calls it."""
    if isinstance(line, PaperCurve):
        partner = next((other for other in ax.lines if _is_held_against(line, other)), None)
        return f"paper: {_name(ax, partner) if partner else line.curve.replace('_', ' ')}"
    return plain(_label(ax, line) or str(line.get_gid() or next(_by_colour(ax, line), "curve")))


def _label(ax: Axes, line: Line2D) -> str:
    """Its own, or that of the error bars which it is part of; "" where neither has one."""
    bars = [one for one in _bars(ax) if one.lines[0] is line]
    labels = (str(one.get_label()) for one in (line, *bars))
    return next((label for label in labels if not label.startswith("_")), "")


def _is_held_against(paper: PaperCurve, line: Line2D) -> bool:
    """Whether the line is the one curve of ours that the paper's is compared with."""
    if isinstance(line, PaperCurve) or len(paper.ours) != 1:
        return False
    (ours,) = paper.ours.values()
    return len(ours) > 0 and np.array_equal(np.asarray(line.get_ydata(), float), ours.to_numpy(float), equal_nan=True)


def _by_colour(ax: Axes, line: Line2D) -> Iterator[str]:
    """Names of lines of the same colour: points and the line that is fitted to them share one."""
    for other in ax.lines:
        if other.get_color() == line.get_color() and (label := _label(ax, other)):
            yield f"{label} ({'points' if line.get_linestyle() == 'None' else 'line'})"


def plain(text: str) -> str:
    """A label without TeX: "$\\\\sup_t\\\\,\\\\|\\\\theta_t\\\\|_2$" is "sup_t ‖θ_t‖_2"."""
    return " ".join(symbols(re.sub(r"\$(.*?)\$", lambda found: _untex(found[1]), text)).split())


def _untex(tex: str) -> str:
    tex = re.sub(r"\\math\w+\{(\\?\w+)\}", r"\1", tex)
    tex = re.sub(
        r"\\hat\s*\{?\\?([A-Za-z]+)\}?",
        lambda found: GREEK.get(found[1], found[1]) + "\N{COMBINING CIRCUMFLEX ACCENT}",
        tex,
    )
    tex = re.sub(r"\\([A-Za-z]+|\||,)", lambda found: GREEK.get(found[1], WORDS.get(found[1], found[1])), tex)
    tex = re.sub(r"√\{(\w+)\}", r"√\1", tex)
    tex = re.sub(r"\^\{?(-?\d+)\}?(?![\d/.])", lambda found: found[1].translate(RAISED), tex)
    return re.sub(r"\{([^{}]*)\}", r"\1", tex)
