"""JAX's types of programs and primitives, which it calls an extension interface and may change: used through this file alone."""

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Primitive

__all__ = ["ClosedJaxpr", "Jaxpr", "JaxprEqn", "Literal", "Primitive"]
