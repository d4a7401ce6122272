"""JAX's types of programs and primitives, which it calls an extension interface and may change: used through this file alone."""

from collections.abc import Iterator

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Primitive

__all__ = ["ClosedJaxpr", "Jaxpr", "JaxprEqn", "Literal", "Primitive", "programs_inside"]


def programs_inside(line: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs inside a line: of loops, branches, calls."""
    for value in line.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item
