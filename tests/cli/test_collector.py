"""Python's collector rests while a picture is made, and goes on as it was."""

import gc
import weakref

import pytest

from ntkrun.cli.collector import resting


class Knot:
    """An object that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector():
    """Leaves Python's collector as it was."""
    was_on, thresholds = gc.isenabled(), gc.get_threshold()
    gc.enable()
    yield
    gc.set_threshold(*thresholds)
    if not was_on:
        gc.disable()


def test_nothing_is_collected_inside_and_all_of_it_soon_after(collector):
    gc.collect()
    gc.set_threshold(100, 10, 10)
    with resting():
        knots = [weakref.ref(Knot()) for _ in range(1000)]
        assert all(knot() is not None for knot in knots)
    more = [[] for _ in range(1000)]  # sets off the searches that objects set off
    assert more and all(knot() is None for knot in knots)


def test_it_goes_on_after_an_error(collector):
    with pytest.raises(RuntimeError), resting():
        raise RuntimeError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(collector):
    gc.disable()
    with resting():
        pass
    assert not gc.isenabled()
