"""Python searches for reference cycles seldom while a picture is made, and as usual in whatever computes."""

import gc
import weakref

import pytest

from ntkrun.cli.collector import NEW_OBJECTS, search_seldom


class Knot:
    """An object that only a search frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def thresholds():
    """Python's own, which are put back."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    gc.collect()
    yield
    gc.set_threshold(*before)


def freed(count: int) -> bool:
    """Whether a knot is found garbage by the time that so many objects more are there."""
    knot = weakref.ref(Knot())
    kept = [[] for _ in range(count)]
    return len(kept) == count and knot() is None


def test_a_report_searches_seldom_and_still_does(thresholds):
    search_seldom(["experiment=fig1", "stage=report"])
    assert not freed(NEW_OBJECTS // 2)
    assert freed(2 * NEW_OBJECTS)


@pytest.mark.parametrize("stage", ["all", "run", "plan"])
def test_what_computes_searches_as_usual(thresholds, stage):
    search_seldom(["experiment=fig1", f"stage={stage}"])
    assert freed(10_000)
