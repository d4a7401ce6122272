"""Of what an output depends at all, read off the program of its derivatives.

Where a network stops a gradient, JAX fills in zeros that are known when the program is compiled.  A product of them costs as
much as any other, and XLA's CPU compiler takes it wrongly: of a product of two constants that is summed over, jaxlib 0.10
reads numbers that nobody wrote.
"""

from collections.abc import Callable
from typing import Any

import jax

from ntkrun.devices.jax_programs import Jaxpr, Literal
from ntkrun.types import Array


def moved(vjp: Callable[[Array], Any], output: Array) -> list[bool]:
    """For every leaf of vjp(cotangent), whether it depends on the cotangent; one that does not is 0, as vjp is linear.

    A leaf may be 0 although it seems to depend: inside of a function that is called, all results pass for dependent on all
    arguments.
    """
    program = jax.make_jaxpr(vjp)(jax.ShapeDtypeStruct(output.shape, output.dtype)).jaxpr
    reached = _reached(program)
    return [not isinstance(leaf, Literal) and leaf in reached for leaf in program.outvars]


def _reached(program: Jaxpr) -> set[Any]:
    """The variables of the program that depend on its arguments."""
    reached: set[Any] = set(program.invars)
    for equation in program.eqns:
        if any(not isinstance(one, Literal) and one in reached for one in equation.invars):
            reached |= set(equation.outvars)
    return reached
