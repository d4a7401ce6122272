"""A trace as plain numbers: what was called, on arrays of which sizes.

`flat` writes calls of functions out, so that a program is lines in a row and loops.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import struct

from ntkrun.devices.jax_programs import Jaxpr, JaxprEqn, Literal, programs_inside

LOOPS = ("scan", "while", "cond")


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
    precision: str = _fixed()  # of a product's factors, see `_precision`


@struct.dataclass
class Program:
    """What is traced once and run as one."""

    lines: tuple[Line, ...]
    sizes: tuple[tuple[int, ...], ...]  # of every array by number: bytes of an entry, then its shape
    arguments: tuple[int, ...] = _fixed()
    constants: tuple[int, ...] = _fixed()
    results: tuple[int, ...] = _fixed()

    def bytes_of(self, numbers: Iterable[int]) -> int:
        return sum(math.prod(self.sizes[number]) for number in numbers)


def listed(program: Jaxpr) -> Program:
    """A trace without what its cost does not depend on."""
    numbers: dict[int, int] = {}
    sizes: list[tuple[int, ...]] = []

    def number(of: Any) -> int:
        if id(of) not in numbers:
            dtype = getattr(of.aval, "dtype", None)
            stored = dtype is not None and not isinstance(of, Literal)
            sizes.append((getattr(dtype, "itemsize", 8) if stored else 0, *getattr(of.aval, "shape", ())))
            numbers[id(of)] = len(sizes) - 1
        return numbers[id(of)]

    def all_of(arrays: Any) -> tuple[int, ...]:
        return tuple(map(number, arrays))

    arguments, constants = all_of(program.invars), all_of(program.constvars)
    lines = tuple(
        Line(
            line.params["length"] if line.primitive.name == "scan" else 1,
            tuple(map(listed, programs_inside(line))),
            "zeros" if _is_zero(line) else line.primitive.name,
            all_of(line.invars),
            all_of(line.outvars),
            _axes(line),
            _precision(line),
        )
        for line in program.eqns
    )
    results = all_of(program.outvars)
    return Program(lines, tuple(sizes), arguments, constants, results)


def _is_zero(line: JaxprEqn) -> bool:
    """Whether it fills an array with 0: gradients of what is not trained."""
    if line.primitive.name != "broadcast_in_dim":
        return False
    value = getattr(line.invars[0], "val", None)  # of a number that stands in the program
    return value is not None and bool(np.all(np.asarray(value) == 0))


def _axes(line: JaxprEqn) -> tuple[int, ...]:
    """Of a product the contracted axes of its first factor, of a convolution the kernel's axis of output features."""
    if line.primitive.name == "dot_general":
        return tuple(line.params["dimension_numbers"][0][0])
    return (line.params["dimension_numbers"].rhs_spec[0],) if line.primitive.name == "conv_general_dilated" else ()


def _precision(line: JaxprEqn) -> str:
    """How exactly a product or a convolution takes its factors, "" for everything else.

    The dtype's name; for float32 what is asked of the hardware: "float32", "tf32" (10 bits of mantissa), or "default",
    which is the one or the other according to the machine.
    """
    if line.primitive.name not in ("dot_general", "conv_general_dilated"):
        return ""
    dtype, asked = str(getattr(line.invars[0].aval, "dtype", "")), line.params.get("precision")
    if dtype != "float32":
        return dtype
    asked = asked[0] if isinstance(asked, tuple) else asked
    name = str(getattr(asked, "name", asked)).upper()
    if name in ("NONE", "DEFAULT"):
        return "default"
    return "tf32" if "TF32" in name or name == "HIGH" else "bfloat16" if name.startswith("BF16_BF16_F32") else dtype


@dataclass(frozen=True)
class Flat:
    """Lines without calls; `bytes` and `shapes` of their arrays by number."""

    lines: list[Line]
    shapes: dict[int, tuple[int, ...]]
    bytes: dict[int, int]
    arguments: tuple[int, ...]
    results: tuple[int, ...]


def flat(program: Program) -> Flat:
    """The program with every call of a function replaced by what it calls."""
    sizes: list[tuple[int, ...]] = []
    lines: list[Line] = []

    def write(called: Program, given: tuple[int, ...]) -> tuple[int, ...]:
        numbers = dict(zip(called.arguments, given, strict=True))  # of the called program -> of the flat one

        def name(number: int) -> int:
            if number not in numbers:
                sizes.append(called.sizes[number])
                numbers[number] = len(sizes) - 1
            return numbers[number]

        for line in called.lines:
            inputs = tuple(map(name, line.inputs))
            inner = line.inner[0] if len(line.inner) == 1 and line.kind not in LOOPS else None
            if inner is not None and len(inner.arguments) == len(inputs) and line.outputs:
                numbers |= dict(zip(line.outputs, write(inner, inputs), strict=True))
            else:
                lines.append(line.replace(inputs=inputs, outputs=tuple(map(name, line.outputs))))  # type: ignore[attr-defined]
        return tuple(map(name, called.results))

    sizes += [program.sizes[number] for number in program.arguments]
    arguments = tuple(range(len(sizes)))
    results = write(program, arguments)
    shapes = {number: size[1:] for number, size in enumerate(sizes)}
    return Flat(lines, shapes, {number: math.prod(size) for number, size in enumerate(sizes)}, arguments, results)


def traced(function: Any, arguments: tuple[Any, ...]) -> Program:
    return listed(jax.make_jaxpr(function)(*arguments).jaxpr)
