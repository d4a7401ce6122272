"""Whether a network rounds to half precision on its way, whatever its outputs are in."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.devices.jax_programs import Jaxpr, programs_inside


def rounds_to(f: Callable[..., Any], *shapes: Any) -> tuple[str, str] | None:
    """(dtype, layer) of the first place where f takes a float32 or float64 to fewer bits, as a layer with `dtype=jnp.bfloat16`
    does with its inputs and weights; layer: as JAX names the place, "" where it does not.  None where there is none.

    From the traced program alone.  What is in half precision from its beginning, such as a mask of zeros and ones, is exact
    and does not count.
    """
    return next(_roundings(jax.make_jaxpr(f)(*shapes).jaxpr, ""), None)


def _roundings(program: Jaxpr, outside: str) -> Iterator[tuple[str, str]]:
    for line in program.eqns:
        layer = "/".join(filter(None, (outside, str(line.source_info.name_stack))))
        if line.primitive.name == "convert_element_type":
            arrays: list[Any] = [line.invars[0].aval, line.outvars[0].aval]
            before, after = (jnp.dtype(one.dtype) for one in arrays)
            if _is_real(before) and _is_real(after) and after.itemsize < 4 <= before.itemsize:
                yield after.name, layer
        for inner in programs_inside(line):
            yield from _roundings(inner, layer)


def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating)
