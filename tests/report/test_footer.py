"""The footer of a picture says much in a small space."""

import pytest
from matplotlib.figure import Figure

from ntkrun.experiments.style import style
from ntkrun.report.departures import Departures
from ntkrun.report.footer import in_one_line, wrapped

LINE = "scale=cpu; differs from the paper: " + ", ".join(
    f"parts.L{i}.model.width=[32, 128] (paper [32, 64, 128])" for i in range(12)
)


@pytest.mark.parametrize("inches", [3.0, 9.6, 12.5])
def test_a_line_is_broken_where_the_next_word_would_leave_the_picture(inches):
    with style("paper"):
        figure = Figure((inches, 3), dpi=300)  # that of the saved picture
        text = figure.supxlabel("", fontsize=6)

        def width_of(part: str) -> float:
            text.set_text(part)
            return text.get_window_extent().width / 300

        parts = wrapped(text, LINE, 0.98 * inches)
        assert " ".join(parts) == LINE and len(parts) > 1
        for part, following in zip(parts, [*parts[1:], ""], strict=True):
            assert width_of(part) <= 0.99 * inches, "the text begins at .01 of the width: it would be cut off"
            assert not following or width_of(f"{part} {following.split(' ')[0]}") > 0.96 * inches


def test_a_word_that_is_too_long_stands_by_itself_and_an_empty_line_stays():
    with style("paper"):
        text = Figure((5, 3)).supxlabel("")
        assert wrapped(text, "a model.width b", 0.3) == ["a", "model.width", "b"]
        assert wrapped(text, "", 0.3) == [""]


def test_the_departures_take_one_line_whatever_the_width():
    said = Departures(tuple(f"n = {i} instead of 2048" for i in range(9)), (), (), ("512 test images",), "")
    with style("paper"):
        text = Figure((12, 3)).supxlabel("", fontsize=6)
        lines = {inches: in_one_line(text, said, "cpu", inches) for inches in (3.0, 6.0, 12.0)}
    assert {len(parts) for parts in lines.values()} == {1}
    (short,), (longer,), (whole,) = lines.values()
    assert len(short) < len(longer) < len(whole) and whole == said.line("cpu", said.said)
    assert "n = 0 instead of 2048" in short and short.endswith("more (gallery)")
