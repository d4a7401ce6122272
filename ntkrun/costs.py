"""What a computation costs, read from its trace: nothing is compiled, allocated or run.

FLOPs count matrix products and convolutions, 2 per multiplication and addition, loops as often as they turn; the rest
(activations, normalisation, optimizers, spectra) is of lower order in the width.  Peak memory is that of the traced
program run line by line, each array freed behind its last use: compilers that fuse lines need less, padded or
transposed copies more.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
from jax.extend import core


@dataclass(frozen=True)
class Piece:
    """Part of a cell's work: `function` of `arguments` (arrays or their shapes), `times` in turn, `copies` side by side.

    what  "step" for a step of training; other names are free
    """

    what: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    times: int = 1
    copies: int = 1

    @cached_property
    def _program(self) -> core.Jaxpr:
        return jax.make_jaxpr(self.function)(*self.arguments).jaxpr

    @property
    def flops_once(self) -> float:
        """FLOPs of one turn of all copies."""
        return self.copies * flops(self._program)

    @property
    def flops(self) -> float:
        return self.times * self.flops_once

    @property
    def peak_bytes(self) -> int:
        return self.copies * peak_bytes(self._program)


def flops(program: core.Jaxpr) -> float:
    """FLOPs of matrix products and convolutions; the dearest branch of a choice, one turn of a loop of unknown length."""
    total = 0.0
    for line in program.eqns:
        if line.primitive.name == "dot_general":
            (contracted, _), _ = line.params["dimension_numbers"]
            left = _shape(line.invars[0])
            total += 2.0 * _size(line.outvars[0]) * math.prod(left[axis] for axis in contracted)
        elif line.primitive.name == "conv_general_dilated":
            kernel, numbers = _shape(line.invars[1]), line.params["dimension_numbers"]
            total += 2.0 * _size(line.outvars[0]) * math.prod(kernel) / kernel[numbers.rhs_spec[0]]
        inner = [flops(part) for part in _inner(line)]
        total += max(inner, default=0.0) if line.primitive.name == "cond" else _turns(line) * sum(inner)
    return total


def peak_bytes(program: core.Jaxpr) -> int:
    """The largest number of bytes held at once, arguments (held throughout) included."""
    last_use = {id(var): at for at, line in enumerate(program.eqns) for var in _variables(line.invars)}
    last_use |= {id(var): len(program.eqns) for var in _variables(program.outvars)}
    held = peak = sum(_bytes(var) for var in (*program.invars, *program.constvars))
    given = {id(var) for var in (*program.invars, *program.constvars)}
    alive: dict[int, int] = {}
    for at, line in enumerate(program.eqns):
        # arguments and results of a program inside are those outside
        extra = max(
            (peak_bytes(part) - sum(map(_bytes, (*part.invars, *part.outvars))) for part in _inner(line)), default=0
        )
        alive |= {id(var): _bytes(var) for var in line.outvars}
        peak = max(peak, held + sum(alive.values()) + max(extra, 0))
        alive = {var: size for var, size in alive.items() if last_use.get(var, -1) > at and var not in given}
    return peak


def _inner(line: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """The programs inside a line: of loops, branches, calls."""
    for value in line.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part


def _turns(line: core.JaxprEqn) -> int:
    return line.params["length"] if line.primitive.name == "scan" else 1


def _variables(variables: Any) -> Iterator[core.Var]:
    return (var for var in variables if isinstance(var, core.Var))


def _shape(var: Any) -> tuple[int, ...]:
    return var.aval.shape


def _size(var: Any) -> int:
    return math.prod(_shape(var))


def _bytes(var: Any) -> int:
    dtype = getattr(var.aval, "dtype", None)
    return 0 if dtype is None else _size(var) * getattr(dtype, "itemsize", 8)
