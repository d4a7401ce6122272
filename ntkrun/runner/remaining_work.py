"""How long the cells that are left will take: what the plan expects of them, at the pace of those that are finished.

The plan (`runner.forecast`) gives the seconds of every cell.  Of the finished cells both are known, the seconds that the
plan expected and the seconds that they took:

    pace = (seconds taken + T) / (seconds expected + T),        seconds left = pace x (seconds expected of the rest)

T lets the plan stand until there is about a minute of work to judge it by.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ntkrun.runner.amounts import duration

TRUST_IN_PLAN = 60.0  # T, seconds

CellKey = tuple[str, str]  # experiment that computes the cell, hash of its settings


@dataclass
class RemainingWork:
    """Cells that are to be computed, with the seconds that the plan expects of each.  Whoever computes them reports here."""

    expected_seconds: dict[CellKey, float] = field(default_factory=dict)  # of the cells that are not finished
    clock: Callable[[], float] = time.monotonic
    figure: str = ""  # the one under way, 3/17
    finished: int = 0
    finished_expected: float = 0.0  # seconds that the plan expected of the finished cells
    finished_taken: float = 0.0  # seconds that they took
    _current: tuple[CellKey, float] | None = field(default=None, repr=False)  # cell under way, since when

    @property
    def total(self) -> int:
        """Number of cells, finished ones included."""
        return self.finished + len(self.expected_seconds)

    @property
    def pace(self) -> float:
        """Seconds that a second of the plan takes."""
        return (self.finished_taken + TRUST_IN_PLAN) / (self.finished_expected + TRUST_IN_PLAN)

    @contextlib.contextmanager
    def computing(self, cell: CellKey) -> Iterator[None]:
        """Around the computation of one cell, which is finished, or dropped where it fails."""
        began = self.clock()
        self.expected_seconds.setdefault(cell, 0.0)
        self._current = cell, began
        try:
            yield
            self.finish(cell, self.clock() - began)
        except Exception:
            self.drop(cell)
            raise
        finally:
            self._current = None

    def finish(self, cell: CellKey, seconds: float) -> None:
        """The cell is computed, which took `seconds`."""
        self.finished_expected += self.expected_seconds.pop(cell)
        self.finished_taken += seconds
        self.finished += 1

    def drop(self, cell: CellKey) -> None:
        """The cell will not be computed in this run."""
        self.expected_seconds.pop(cell, None)

    def drop_experiment(self, experiment: str) -> None:
        """None of the experiment's cells that are left will be computed in this run."""
        for cell in [cell for cell in self.expected_seconds if cell[0] == experiment]:
            self.drop(cell)

    def seconds_left(self) -> float:
        left = self.pace * sum(self.expected_seconds.values())
        if self._current is None:
            return left
        cell, began = self._current
        return left - min(self.clock() - began, self.pace * self.expected_seconds[cell])

    def brief(self) -> str:
        """For the end of a progress bar."""
        return f"{self.finished}/{self.total} cells, {duration(self.seconds_left())} left"

    def __str__(self) -> str:
        return f"all figures: {self.finished} of {self.total} cells, about {duration(self.seconds_left())} left"
