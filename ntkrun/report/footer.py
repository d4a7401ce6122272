"""The lines below the panels: what is wrong with the run, and how it differs from the paper's."""

from collections.abc import Sequence
from functools import cache

from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from ntkrun.experiments.style import ALARM
from ntkrun.report.departures import Departures


def write_footer(figure: Figure, alarms: Sequence[str], departures: Departures, scale: str) -> None:
    """A few lines below the panels; constrained layout makes room for them."""
    size, colour = 0.75 * rcParams["font.size"], ALARM if alarms else "0.45"
    text = figure.supxlabel("", fontsize=size, color=colour, x=0.01, ha="left")
    share = 1 - 2 * text.get_position()[0]  # as much is left free on the right as on the left
    width = share * figure.get_figwidth()
    lines = [part for line in alarms for part in wrapped(text, line, width)]
    text.set_text("\n".join([*lines, *in_one_line(text, departures, scale, width)]))


def in_one_line(text: Text, departures: Departures, scale: str, width: float) -> list[str]:
    """As much as one line no wider than `width` inches can say of the departures; wrapped where even the count does not fit."""
    said = departures.said
    lines = (wrapped(text, departures.line(scale, most), width) for most in range(said, -1, -1))
    return next((parts for parts in lines if len(parts) == 1), None) or wrapped(text, departures.line(scale, 0), width)


def wrapped(text: Text, line: str, width: float) -> list[str]:
    """The line in parts no wider than `width` inches, whatever the resolution.

    Text(wrap=True) does the same, but anew each time that it is measured, which took longer than all else in a picture.
    """
    font = text.get_fontproperties()
    space, parts, long = _length(" ", font), [""], 0.0
    for word in line.split(" "):
        length = _length(word, font)
        if parts[-1] and long + space + length > width:
            parts.append(word)
            long = length
        else:
            parts[-1], long = (f"{parts[-1]} {word}", long + space + length) if parts[-1] else (word, length)
    return parts


@cache
def _length(word: str, font: FontProperties) -> float:
    """Of a word, in inches.  A line is the sum of its words: it is tried at several lengths, and measured word by word once."""
    return text_to_path.get_text_width_height_descent(word, font, False)[0] / 72
