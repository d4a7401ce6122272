"""What a computation costs, read from its trace: nothing is compiled, allocated or run.

FLOPs count matrix products and convolutions, 2 per multiplication and addition, loops as often as they turn; the rest
(activations, normalisation, optimizers, spectra) is of lower order in the width.  Peak memory is that of the traced
program run line by line, each array freed behind its last use: compilers that fuse lines need less, padded or
transposed copies more.

Programs of networks that differ in their width only are the same but for sizes that are multiples of 1, n or n^2: two
traces, of the narrowest and the widest, give all between (`between`).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
from flax import struct
from jax.extend import core


def _fixed() -> Any:
    """A field that is equal in programs of all widths."""
    return struct.field(pytree_node=False)


@struct.dataclass
class Line:
    """One operation: its arrays by number, `turns` of the programs inside."""

    turns: int
    inner: tuple["Program", ...]
    kind: str = _fixed()
    inputs: tuple[int, ...] = _fixed()
    outputs: tuple[int, ...] = _fixed()
    axes: tuple[int, ...] = _fixed()  # see `_axes`


@struct.dataclass
class Program:
    """A trace as plain numbers."""

    lines: tuple[Line, ...]
    sizes: tuple[tuple[int, ...], ...]  # of every array by number: bytes of an entry, then its shape
    arguments: tuple[int, ...] = _fixed()
    constants: tuple[int, ...] = _fixed()
    results: tuple[int, ...] = _fixed()

    def bytes_of(self, numbers: Iterable[int]) -> int:
        return sum(math.prod(self.sizes[number]) for number in numbers)


@dataclass(frozen=True)
class Piece:
    """Part of a cell's work: `function` of `arguments` (arrays or their shapes), `times` in turn, `copies` side by side.

    what   "step" for a step of training; other names are free
    known  the program, where it need not be traced
    """

    what: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    times: int = 1
    copies: int = 1
    known: Program | None = None

    @cached_property
    def program(self) -> Program:
        return self.known or listed(jax.make_jaxpr(self.function)(*self.arguments).jaxpr)

    @property
    def flops_once(self) -> float:
        """FLOPs of one turn of all copies."""
        return self.copies * flops(self.program)

    @property
    def flops(self) -> float:
        return self.times * self.flops_once

    @property
    def peak_bytes(self) -> int:
        return self.copies * peak_bytes(self.program)


def flops(program: Program) -> float:
    """FLOPs of matrix products and convolutions; the dearest branch of a choice, one turn of a loop of unknown length."""
    total = 0.0
    for line in program.lines:
        shapes = [program.sizes[number][1:] for number in (*line.outputs[:1], *line.inputs[:2])]
        if line.kind == "dot_general":
            total += 2.0 * math.prod(shapes[0]) * math.prod(shapes[1][axis] for axis in line.axes)
        elif line.kind == "conv_general_dilated":
            total += 2.0 * math.prod(shapes[0]) * math.prod(shapes[2]) / shapes[2][line.axes[0]]
        inner = [flops(part) for part in line.inner]
        total += max(inner, default=0.0) if line.kind == "cond" else line.turns * sum(inner)
    return total


def peak_bytes(program: Program) -> int:
    """The largest number of bytes held at once, arguments (held throughout) included."""
    last_use = {number: at for at, line in enumerate(program.lines) for number in line.inputs}
    last_use |= dict.fromkeys(program.results, len(program.lines))
    held = peak = program.bytes_of((*program.arguments, *program.constants))
    alive: set[int] = set()
    for at, line in enumerate(program.lines):
        # arguments and results of a program inside are those outside
        extra = max(
            (peak_bytes(part) - part.bytes_of((*part.arguments, *part.results)) for part in line.inner), default=0
        )
        alive |= {*line.outputs}
        held += program.bytes_of(line.outputs)
        peak = max(peak, held + max(extra, 0))
        over = {number for number in (*line.inputs, *line.outputs) if last_use.get(number, -1) <= at} & alive
        alive -= over
        held -= program.bytes_of(over)
    return peak


def listed(program: core.Jaxpr) -> Program:
    """A trace without what its cost does not depend on."""
    numbers: dict[int, int] = {}
    sizes: list[tuple[int, ...]] = []

    def number(of: Any) -> int:
        if id(of) not in numbers:
            dtype = getattr(of.aval, "dtype", None)
            sizes.append((0,) if dtype is None else (getattr(dtype, "itemsize", 8), *of.aval.shape))
            numbers[id(of)] = len(sizes) - 1
        return numbers[id(of)]

    def all_of(arrays: Any) -> tuple[int, ...]:
        return tuple(map(number, arrays))

    arguments, constants = all_of(program.invars), all_of(program.constvars)
    lines = tuple(
        Line(
            line.params["length"] if line.primitive.name == "scan" else 1,
            tuple(map(listed, _inner(line))),
            line.primitive.name,
            all_of(line.invars),
            all_of(line.outvars),
            _axes(line),
        )
        for line in program.eqns
    )
    results = all_of(program.outvars)
    return Program(lines, tuple(sizes), arguments, constants, results)


def _axes(line: core.JaxprEqn) -> tuple[int, ...]:
    """Of a product the contracted axes of its first factor, of a convolution the kernel's axis of output features."""
    if line.primitive.name == "dot_general":
        return tuple(line.params["dimension_numbers"][0][0])
    return (line.params["dimension_numbers"].rhs_spec[0],) if line.primitive.name == "conv_general_dilated" else ()


def _inner(line: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """The programs inside a line: of loops, branches, calls."""
    for value in line.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part


def between(low: Program, high: Program, widths: tuple[int, int], width: int) -> Program | None:
    """The program at `width`, from those at the two `widths` around it.

    None if they are not the same but for sizes in proportion to 1, n or n^2.  Where a program depends on which of two
    products of sizes is smaller, the answer changes once with n: equal ends have equal programs between.
    """
    (ours, structure), (theirs, other) = jax.tree.flatten(low), jax.tree.flatten(high)
    if structure != other:
        return None
    found = [_in_proportion(pair, widths, width) for pair in zip(ours, theirs, strict=True)]
    return None if None in found else jax.tree.unflatten(structure, found)


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
    found = {width: _follow(family, ends, width) for width in widths[1:-1]}
    known = {width: piece for width, piece in found.items() if piece is not None}
    if len(known) == len(found):
        return family | known
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
    if any(_in_proportion((a, b), ends, width) != own for own, a, b in zip(*sizes, strict=True)):
        return None
    program = between(low.program, high.program, ends, width)
    return None if program is None else replace(piece, known=program)
