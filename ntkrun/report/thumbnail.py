"""A picture of a figure for a list: its curves alone, in lines thick enough for a width of 220 pixels.

It is drawn anew without axes, from where the curves lie in their panels: ticks and texts are most of the time of a picture,
and nobody can read them at that size.
"""

import io
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from matplotlib.transforms import Bbox
from PIL import Image

from ntkrun.experiments.style import PaperCurve

WIDE, HIGH = 400, 280  # pixels: for a card of 220 on a screen of twice as many
DPI = 100
PANELS = 12  # of more the first are shown
GAP = 8  # pixels between panels
LINES = 100  # of a panel; of more the first are shown
MANY = 24  # faint ones of a panel; of more, evenly chosen ones
FAINT = 0.6  # points: thinner are the many behind the few
MOST_BYTES = 14_500


def thumbnail(figure: Figure) -> bytes:
    """PNG of a finished figure, which stays as it is."""
    small = Figure(figsize=(WIDE / DPI, HIGH / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(small)
    panels = [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"][:PANELS]
    for ax, place in zip(panels, places(len(panels)), strict=True):
        _draw(small, ax, place)
    canvas.draw()
    shown = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    found = [_png(shown, colours) for colours in (64, 40, 24, 12)]
    return next((png for png in found if len(png) <= MOST_BYTES), found[-1])


def _png(picture: Image.Image, colours: int) -> bytes:
    buffer = io.BytesIO()
    picture.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def places(count: int) -> Iterator[tuple[float, float, float, float]]:
    """Left, bottom, width and height of each panel as shares of the picture, by rows."""

    def cost(columns: int) -> float:
        rows = -(-count // columns)
        return 0.6 * (columns * rows - count) + abs(np.log(WIDE / columns / (HIGH / rows) / 1.3))

    columns = min(range(1, count + 1), key=cost, default=1)
    rows = max(1, -(-count // columns))
    across, down = GAP / WIDE, GAP / HIGH
    width, height = (1 - across) / columns - across, (1 - down) / rows - down
    for place in range(count):
        row, column = divmod(place, columns)
        yield across + column * (width + across), 1 - (row + 1) * (height + down), width, height


def _draw(small: Figure, ax: Axes, place: tuple[float, float, float, float]) -> None:
    left, bottom, width, height = place
    frame = Rectangle(
        (left, bottom), width, height, fill=False, edgecolor="0.7", linewidth=1, transform=small.transFigure
    )
    clip = Bbox.from_bounds(left * WIDE, bottom * HIGH, width * WIDE, height * HIGH)
    lines = [line for line in ax.lines if line.get_transform() == ax.transData and line.get_visible()]
    low, high = _spanned(ax, lines)

    def placed(points: np.ndarray) -> np.ndarray:
        """(n, 2) of data to shares of the small picture."""
        x, y = _within(ax, points).T
        within = np.column_stack([x, 0.04 + 0.92 * (y - low) / (high - low)])
        return np.array([left, bottom]) + np.array([width, height]) * np.clip(
            within, -1.0, 2.0
        )  # Agg loses its way far outside

    for mesh in (one for one in ax.collections if isinstance(one, QuadMesh)):
        inset = small.add_axes(place)
        inset.imshow(mesh.to_rgba(np.asarray(mesh.get_array())), origin="lower", aspect="auto")
        inset.set_axis_off()
    for band in (one for one in ax.collections if isinstance(one, PolyCollection)):
        for path in band.get_paths():
            look = {"facecolor": band.get_facecolor()[0], "edgecolor": "none", "transform": small.transFigure}
            small.add_artist(Polygon(placed(np.asarray(path.vertices)), clip_box=clip, **look), clip=False)
    joined = [line for line in lines if not isinstance(line, PaperCurve) and line.get_linestyle() != "None"]
    faint = [line for line in joined if line.get_linewidth() < FAINT]
    strong = [line for line in joined if line not in faint]
    dots = [line for line in lines if line not in joined]
    for line in [*faint[:: -(-len(faint) // MANY) or 1], *dots, *strong[:LINES]]:
        small.add_artist(_thick(line, placed, clip, small), clip=False)
    small.add_artist(frame)


def _within(ax: Axes, points: np.ndarray) -> np.ndarray:
    """(n, 2) of data to shares of the panel."""
    ax.axis()  # limits follow the lines when they are asked for
    with np.errstate(all="ignore"):
        return np.asarray(ax.transLimits.transform(ax.transScale.transform(points)))


def _spanned(ax: Axes, lines: list[Line2D]) -> tuple[float, float]:
    """From where to where the lines go in the panel, which leaves out the room for its legend."""
    heights = [_within(ax, _points(line))[:, 1] for line in lines]
    found = np.concatenate(heights) if heights else np.empty(0)
    found = found[(found >= 0) & (found <= 1)]
    return (float(found.min()), float(found.max())) if len(found) and np.ptp(found) > 0.1 else (0.0, 1.0)


def _points(line: Line2D) -> np.ndarray:
    return np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])


def _thick(line: Line2D, placed: Callable[[np.ndarray], np.ndarray], clip: Bbox, small: Figure) -> Line2D:
    """The line where it lies in the small picture; faint ones stay fainter than others."""
    points = _points(line)
    new = Line2D(*placed(points).T)
    new.update_from(line)
    width = line.get_linewidth()
    new.set(
        transform=small.transFigure, clip_box=clip, linewidth=max(1.9, 1.3 * width) if width >= FAINT else 2 * width
    )
    alone = line.get_linestyle() == "None" or len(points) == 1
    new.set(marker=line.get_marker() if alone else "None", markersize=1.1 * line.get_markersize())
    return new
