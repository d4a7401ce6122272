"""Parts of a cell's work, and their programs along the width.

Programs of networks that differ in their width only are the same but for sizes that are multiples of 1, n or n^2: two
traces, of the narrowest and the widest, give all between (`between`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax

from ntkrun.costs.program import Program, traced
from ntkrun.costs.traffic import Divided, Flops, Kernel, added


@dataclass(frozen=True)
class Piece:
    """Part of a cell's work: `function` of `arguments` (arrays or their shapes), `times` in turn.

    what     "step" for a step of training; other names are free
    donated  the argument whose memory the results take over, by place
    derived  the program, where it follows from others and need not be traced
    """

    what: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    times: int = 1
    donated: int | None = None
    derived: Program | None = None

    @cached_property
    def program(self) -> Program:
        return self.derived or traced(self.function, self.arguments)

    @cached_property
    def _divided(self) -> Divided:
        return Divided(self.program)

    @property
    def kernels(self) -> list[Kernel]:
        return self._divided.kernels

    @property
    def launches(self) -> int:
        """Kernels of one turn."""
        return sum(kernel.turns for kernel in self.kernels)

    @property
    def bytes_once(self) -> float:
        return sum(kernel.turns * kernel.bytes for kernel in self.kernels)

    @property
    def flops_once(self) -> Flops:
        """FLOPs of one turn, by precision."""
        return added((kernel.turns, kernel.flops) for kernel in self.kernels)

    @property
    def flops(self) -> float:
        return self.times * float(sum(self.flops_once.values()))

    @property
    def peak_bytes(self) -> int:
        before = [len(jax.tree.leaves(argument)) for argument in self.arguments]
        places = range(0)
        if self.donated is not None:
            first = sum(before[: self.donated])
            places = range(first, first + before[self.donated])
        return self._divided.peak_bytes(places)


def between(low: Program, high: Program, widths: tuple[int, int], width: int) -> Program | None:
    """The program at `width`, from those at the two `widths` around it.

    None if they are not the same but for sizes in proportion to 1, n or n^2.  Where a program depends on which of two
    products of sizes is smaller, the answer changes once with n: equal ends have equal programs between.
    """
    (low_sizes, structure), (high_sizes, high_structure) = jax.tree.flatten(low), jax.tree.flatten(high)
    if structure != high_structure:
        return None
    sizes = [_in_proportion(pair, widths, width) for pair in zip(low_sizes, high_sizes, strict=True)]
    return None if None in sizes else jax.tree.unflatten(structure, sizes)


def _in_proportion(sizes: tuple[int, int], widths: tuple[int, int], width: int) -> int | None:
    (low, high), (a, b) = sizes, widths
    power = next((p for p in range(3) if low * b**p == high * a**p), None)
    return None if power is None or low * width**power % a**power else low * width**power // a**power


def along_width(family: dict[int, Piece]) -> dict[int, Piece]:
    """The piece by width of networks that differ in nothing else, with its programs from as few traces as may be.

    The ends are traced; what lies between follows from them, or is halved as often as it does not.
    """
    widths = sorted(family)
    if len(widths) < 3:
        return family
    ends = widths[0], widths[-1]
    inner = widths[1:-1]
    following = {width: piece for width in inner if (piece := _follow(family, ends, width)) is not None}
    if len(following) == len(inner):
        return family | following
    middle = len(widths) // 2
    lower, upper = ({width: family[width] for width in half} for half in (widths[: middle + 1], widths[middle:]))
    return along_width(lower) | along_width(upper)


def _follow(family: dict[int, Piece], ends: tuple[int, int], width: int) -> Piece | None:
    """The piece at `width` with its program from those at the ends; None if it does not follow."""
    piece, low, high = (family[at] for at in (width, *ends))
    sizes = [
        [size for argument in jax.tree.leaves(of.arguments) for size in argument.shape] for of in (piece, low, high)
    ]
    # of blocks of other sizes, say
    if any(_in_proportion((a, b), ends, width) != size for size, a, b in zip(*sizes, strict=True)):
        return None
    program = between(low.program, high.program, ends, width)
    return None if program is None else replace(piece, derived=program)
