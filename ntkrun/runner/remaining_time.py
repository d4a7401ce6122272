"""How long all cells of all figures will still take: what was expected of them, corrected by what has been seen.

A figure's pace is (seconds seen + T P) / (seconds expected of the same cells + T), where P is the pace of everything so
far, (all seen + T) / (all expected + T), and T = 60 s is how much of it must have run before it outweighs what was
expected.  What is left is the sum of pace times expectation over the cells that are not finished.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

TRUST = 60.0  # T, seconds


@dataclass
class Part:
    """One figure: seconds expected of the cells that are left, by identity, and of those that were seen."""

    left: dict[str, float]
    expected: float = 0.0
    seen: float = 0.0


@dataclass
class Outlook:
    """Kept up to date by whoever runs cells."""

    parts: dict[str, Part]
    clock: Callable[[], float] = time.monotonic
    finished: int = 0
    _under_way: tuple[str, str, float] | None = field(default=None, repr=False)  # figure, cell, since when

    @classmethod
    def of(cls, figures: Mapping[str, Mapping[str, float]], clock: Callable[[], float] = time.monotonic) -> "Outlook":
        """From {figure: {cell: seconds expected}} of the cells that are to be run."""
        return cls({name: Part(dict(cells)) for name, cells in figures.items()}, clock)

    @property
    def total(self) -> int:
        return self.finished + sum(len(part.left) for part in self.parts.values())

    @contextlib.contextmanager
    def cell(self, figure: str, cell: str) -> Iterator[None]:
        """Around the computation of one cell; one that was not expected counts from here on."""
        part, began = self.parts.setdefault(figure, Part({})), self.clock()
        part.left.setdefault(cell, 0.0)
        self._under_way = figure, cell, began
        try:
            yield
            self.seen(figure, cell, self.clock() - began)
        finally:
            self._under_way = None

    def expect(self, figure: str, cell: str, seconds: float) -> None:
        """One more cell that is to be run."""
        self.parts.setdefault(figure, Part({})).left[cell] = seconds

    def seen(self, figure: str, cell: str, seconds: float) -> None:
        """A cell is finished, and took so long."""
        part = self.parts[figure]
        part.expected += part.left.pop(cell)
        part.seen += seconds
        self.finished += 1

    def given_up(self, figure: str, cell: str | None = None) -> None:
        """The cell will not be run now; without one, all that is left of the figure."""
        left = self.parts.get(figure, Part({})).left
        for name in [*left] if cell is None else [cell]:
            left.pop(name, None)

    def pace(self, figure: str) -> float:
        parts = self.parts.values()
        overall = (sum(part.seen for part in parts) + TRUST) / (sum(part.expected for part in parts) + TRUST)
        return (self.parts[figure].seen + TRUST * overall) / (self.parts[figure].expected + TRUST)

    def seconds_left(self) -> float:
        left = sum(self.pace(figure) * sum(part.left.values()) for figure, part in self.parts.items())
        if self._under_way is None:
            return left
        figure, cell, began = self._under_way
        return left - min(self.clock() - began, self.pace(figure) * self.parts[figure].left[cell])

    def __str__(self) -> str:
        minutes = self.seconds_left() / 60
        return f"all figures: {self.finished} of {self.total} cells, about {minutes:.0f} min left"
