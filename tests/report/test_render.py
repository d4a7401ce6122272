"""The footer of a picture says much in a small space."""

import pytest
from matplotlib.figure import Figure

from ntkrun.report.render import wrapped

LINE = "scale=cpu; differs from the paper: " + ", ".join(f"model.width={2**i}" for i in range(12)) + ", steps=400"


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_a_line_is_broken_where_the_next_word_would_leave_the_picture(share):
    figure = Figure((5, 3))
    text = figure.supxlabel("", fontsize=6)
    width = share * figure.bbox.width

    def width_of(part: str) -> float:
        text.set_text(part)
        return text.get_window_extent().width

    parts = wrapped(text, LINE, width)
    assert " ".join(parts) == LINE and len(parts) > 1
    rounding = 0.02 * width  # words are measured one by one, in whole pixels
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        assert width_of(part) <= width + rounding
        assert not following or width_of(f"{part} {following.split(' ')[0]}") > width - rounding


def test_a_word_that_is_too_long_stands_by_itself_and_an_empty_line_stays():
    text = Figure((5, 3)).supxlabel("")
    assert wrapped(text, "a model.width b", 30.0) == ["a", "model.width", "b"]
    assert wrapped(text, "", 30.0) == [""]
