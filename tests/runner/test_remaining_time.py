"""The remaining time over all figures, with a clock that is set by hand."""

import pytest

from ntkrun.runner.remaining_time import TRUST, Outlook


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(outlook: Outlook, clock: Clock, figure: str, cell: str, seconds: float) -> None:
    with outlook.cell(figure, cell):
        clock.now += seconds


def test_before_anything_is_seen_it_is_what_was_expected():
    outlook = Outlook.of({"fig1": {"a": 60.0, "b": 30.0}, "fig2": {"c": 330.0}}, Clock())
    assert outlook.seconds_left() == 420.0 and str(outlook) == "all figures: 0 of 3 cells, about 7 min left"


def test_what_is_seen_corrects_the_figure_first_and_the_others_less():
    clock = Clock()
    outlook = Outlook.of({"fig1": {"a": 100.0, "b": 100.0}, "fig2": {"c": 100.0}}, clock)
    run(outlook, clock, "fig1", "a", 200.0)
    overall = (200 + TRUST) / (100 + TRUST)
    own = (200 + TRUST * overall) / (100 + TRUST)
    assert outlook.pace("fig2") == pytest.approx(overall) and outlook.pace("fig1") == pytest.approx(own)
    assert 1 < overall < own < 2
    assert outlook.seconds_left() == pytest.approx(100 * (overall + own))


def test_many_cells_at_one_pace_leave_no_trace_of_what_was_expected():
    clock = Clock()
    outlook = Outlook.of({"fig1": {str(i): 50.0 for i in range(101)}}, clock)
    for i in range(100):
        run(outlook, clock, "fig1", str(i), 150.0)
    # 5000 s expected took 15000: TRUST is about a hundredth of that
    assert outlook.seconds_left() == pytest.approx(150.0, rel=0.02)


def test_the_cell_under_way_counts_down_and_never_below_zero():
    clock = Clock()
    outlook = Outlook.of({"fig1": {"a": 100.0, "b": 40.0}}, clock)
    with outlook.cell("fig1", "a"):
        clock.now += 30
        assert outlook.seconds_left() == pytest.approx(110.0)
        clock.now += 500
        assert outlook.seconds_left() == pytest.approx(40.0)
    assert outlook.finished == 1 and outlook.total == 2


def test_a_cell_that_fails_stays_and_a_figure_that_is_over_is_taken_off():
    clock = Clock()
    outlook = Outlook.of({"fig1": {"a": 60.0}, "fig2": {"c": 60.0}}, clock)
    with pytest.raises(ValueError), outlook.cell("fig1", "a"):
        raise ValueError
    assert outlook.seconds_left() == 120.0 and outlook.finished == 0
    outlook.given_up("fig1")
    outlook.given_up("figs1")  # draws another's cells
    assert outlook.seconds_left() == 60.0 and outlook.total == 1


def test_a_cell_that_was_not_expected_is_counted():
    clock = Clock()
    outlook = Outlook.of({}, clock)
    run(outlook, clock, "fig1", "a", 10.0)
    assert str(outlook) == "all figures: 1 of 1 cells, about 0 min left"
