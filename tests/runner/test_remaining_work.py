"""What is left of a run, with a clock that is set by hand."""

import pytest

from ntkrun.runner.remaining_work import TRUST_IN_PLAN, CellKey, RemainingWork

A, B, C = ("fig1", "a"), ("fig1", "b"), ("fig2", "c")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def work(expected: dict[CellKey, float]) -> tuple[RemainingWork, Clock]:
    clock = Clock()
    return RemainingWork(expected, clock), clock


def compute(left: RemainingWork, clock: Clock, cell: CellKey, seconds: float) -> None:
    with left.computing(cell):
        clock.now += seconds


def test_before_anything_is_computed_it_is_what_the_plan_says():
    left, _ = work({A: 60.0, B: 30.0, C: 330.0})
    assert left.seconds_left() == 420.0 and str(left) == "all figures: 0 of 3 cells, about 7 min left"


def test_the_rest_goes_on_at_the_pace_of_what_is_finished():
    left, clock = work({A: 100.0, B: 100.0, C: 100.0})
    compute(left, clock, A, 200.0)
    assert left.seconds_left() == pytest.approx(200 * (200 + TRUST_IN_PLAN) / (100 + TRUST_IN_PLAN))
    assert 1 < left.pace < 2


def test_much_finished_work_leaves_no_trace_of_how_fast_the_plan_took_the_machine_for():
    left, clock = work({("fig1", str(i)): 50.0 for i in range(101)})
    for i in range(100):
        compute(left, clock, ("fig1", str(i)), 150.0)
    # 5000 s of the plan took 15000: TRUST_IN_PLAN is about a hundredth of that
    assert left.seconds_left() == pytest.approx(150.0, rel=0.02)


def test_the_cell_under_way_counts_down_and_never_below_zero():
    left, clock = work({A: 100.0, B: 40.0})
    with left.computing(A):
        clock.now += 30
        assert left.seconds_left() == pytest.approx(110.0)
        clock.now += 500
        assert left.seconds_left() == pytest.approx(40.0)
    assert left.finished == 1 and left.total == 2


def test_a_cell_that_is_interrupted_stays_and_one_that_fails_or_whose_experiment_is_over_is_taken_off():
    left, _ = work({A: 60.0, B: 60.0, C: 60.0})
    with pytest.raises(KeyboardInterrupt), left.computing(A):
        raise KeyboardInterrupt
    assert left.seconds_left() == 180.0 and left.finished == 0
    with pytest.raises(ValueError), left.computing(B):
        raise ValueError
    assert left.seconds_left() == 120.0 and left.finished == 0
    left.drop_experiment("fig1")
    left.drop_experiment("figs1")  # draws another's cells
    assert left.seconds_left() == 60.0 and left.total == 1
    left.drop(C)
    assert left.total == 0


def test_a_cell_that_was_not_planned_is_counted():
    left, clock = work({})
    compute(left, clock, A, 10.0)
    assert str(left) == "all figures: 1 of 1 cells, about 0 s left"
