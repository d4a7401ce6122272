"""The paper's points beside a run of another problem: grey, with a word in the legend for what they are of."""

from collections.abc import Iterator, Mapping

from matplotlib.artist import Artist
from matplotlib.figure import FigureBase
from matplotlib.legend import Legend

from ntkrun.experiments.style import ANOTHER, PAPER_MARK, PaperCurve


def set_apart(figure: FigureBase, others: Mapping[str, str], part: str = "") -> None:
    """Mark the paper's points in the panels of a part ("": in all) as of another problem; others: the paper's words -> ours.

    The report leaves them out of the distance from the paper, as it does where image or weight are others.
    """
    if not others:
        return
    theirs = ", ".join(others)
    note = f"another problem: {theirs} in the paper, {', '.join(others.values())} here"
    curves = [line for line in figure.findobj(PaperCurve) if not part or line.panel.startswith(f"{part}_")]
    for line in curves:
        line.note = f"{line.note}; {note}" if line.note else note
        line.set_color(ANOTHER)
    panels = dict.fromkeys(line.axes for line in curves if line.axes is not None)
    for one in (legend for place in (panels if part else [figure]) for legend in _legends(place)):
        for handle, text in zip(one.legend_handles, one.get_texts(), strict=True):
            if handle is not None and handle.get_alpha() == PAPER_MARK["alpha"]:
                handle.set(color=ANOTHER)
                text.set_text(text.get_text().replace("paper", f"paper ({theirs})", 1))


def _legends(artist: Artist) -> Iterator[Legend]:
    if isinstance(artist, Legend):
        yield artist
        return
    for part in artist.get_children():
        yield from _legends(part)
