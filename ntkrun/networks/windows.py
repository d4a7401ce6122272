"""Windows that slide over positions: where they lie, and sums over them in images and in covariances."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from ntkrun.errors import UserError
from ntkrun.types import Array

PADDINGS = ("SAME", "VALID", "CIRCULAR")


@dataclass(frozen=True)
class Window:
    """Windows of `size` positions, `stride` apart, along one axis.

    VALID     those that lie inside
    SAME      one for each stride-th position, zeros outside; what sticks out is shared out, the odd position behind
    CIRCULAR  the same windows, and outside of one end lies the other
    """

    size: int
    stride: int
    padding: str

    def around(self, length: int) -> tuple[int, int, int]:
        """Number of windows, and positions that stick out in front and behind."""
        if self.padding == "VALID":
            return (length - self.size) // self.stride + 1, 0, 0
        count = -(-length // self.stride)
        missing = max((count - 1) * self.stride + self.size - length, 0)
        return count, missing // 2, missing - missing // 2


def per_axis(value: Sequence[int] | None, what: str) -> tuple[int, ...] | None:
    """One number for each axis of positions; UserError for a number by itself, which does not say how many axes there are."""
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, int) for one in value):
        raise UserError(f"{what}={value!r}: give one whole number for each axis of positions, (3, 3) for images")
    return tuple(value)


def windows(sizes: Sequence[int], strides: Sequence[int] | None, padding: str, layer: str) -> tuple[Window, ...]:
    """One window for each axis of positions; UserError for sizes, strides or a padding that none can have."""
    steps = (1,) * len(sizes) if strides is None else tuple(strides)
    if padding not in PADDINGS:
        raise UserError(f"{layer}: padding={padding!r} is not known; use one of: {', '.join(PADDINGS)}")
    if not sizes or len(steps) != len(sizes) or min((*sizes, *steps)) < 1:
        raise UserError(f"{layer}: needs one size and one stride >= 1 for each axis, not {tuple(sizes)} and {steps}")
    return tuple(Window(size, step, padding) for size, step in zip(sizes, steps, strict=True))


def counts(over: tuple[Window, ...], positions: tuple[int, ...], layer: str) -> tuple[int, ...]:
    """Positions of the result; UserError where the windows do not fit the image."""
    if len(positions) != len(over):
        remedy = f"write size={(over[0].size,) * len(positions)}" if positions else "it goes in front of Flatten"
        raise UserError(
            f"{layer}: windows over {len(over)} axes need inputs with as many axes of positions, not {len(positions)} "
            f"(inputs are (n, ..., channels)): {remedy}"
        )
    found = tuple(window.around(length)[0] for window, length in zip(over, positions, strict=True))
    if min(found) < 1:
        raise UserError(
            f"{layer}: no window of {tuple(w.size for w in over)} fits into {positions}; use padding='SAME'"
        )
    return found


def extended(x: Array, over: tuple[Window, ...], axes: Sequence[tuple[int, ...]]) -> Array:
    """x with what lies around it: window number a slides along all of axes[a]."""
    before_after = [(0, 0)] * x.ndim
    for window, along in zip(over, axes, strict=True):
        for axis in along:
            before_after[axis] = window.around(x.shape[axis])[1:]
    if not any(map(any, before_after)):
        return x
    mode = "wrap" if any(window.padding == "CIRCULAR" for window in over) else "constant"
    return jnp.pad(x, before_after, mode=mode)


def window_slices(x: Array, over: tuple[Window, ...], axes: Sequence[tuple[int, ...]]) -> list[Array]:
    """x as every place of the window sees it, row by row."""
    found = [extended(x, over, axes)]
    for window, along in zip(over, axes, strict=True):
        lengths = [x.shape[axis] for axis in along]
        found = [_shifted(part, window, along, lengths, shift) for part in found for shift in range(window.size)]
    return found


def window_sums(
    terms: Sequence[tuple[float, Array]],
    over: tuple[Window, ...],
    axes: Sequence[tuple[int, ...]],
    constant: float = 0.0,
) -> Array:
    """constant + the sums over windows of a linear combination of arrays, (coefficient, array) each.

    Window number a slides along axes[a], along all of them in step.  Two axes in step are what a convolution does to a
    covariance of two positions: K'(s, s') = sum_d K(s + d, s' + d).

    One program for each axis: in one program XLA forms the first sums again for every place of the second window, and
    looks for the border at every number; on two cores 11 against 30 ns a number of K and Theta.
    """
    coefficients, arrays = zip(*terms, strict=True)
    stages = list(zip(over, axes, strict=True)) if over else [(None, ())]
    for window, along in stages[:-1]:
        coefficients, arrays = (1.0,), (_sums_along(arrays, coefficients, 0.0, window, along),)
    return _sums_along(arrays, coefficients, constant, *stages[-1])


@partial(jax.jit, static_argnames=("window", "along"))
def _sums_along(
    arrays: tuple[Array, ...],
    coefficients: tuple[float | Array, ...],
    constant: float | Array,
    window: Window | None,
    along: tuple[int, ...],
) -> Array:
    scaled = [jnp.asarray(c, a.dtype) * a for c, a in zip(coefficients, arrays, strict=True)]
    x = sum(scaled[1:], scaled[0])
    if window is not None:
        lengths, extension = [x.shape[axis] for axis in along], extended(x, (window,), (along,))
        parts = [_shifted(extension, window, along, lengths, shift) for shift in range(window.size)]
        x = sum(parts[1:], parts[0])
    return x + jnp.asarray(constant, x.dtype)


def _shifted(x: Array, window: Window, along: tuple[int, ...], lengths: list[int], shift: int) -> Array:
    """The extended x at place number `shift` of every window; lengths: of the axes before they were extended."""
    cut = [slice(None)] * x.ndim
    for axis, length in zip(along, lengths, strict=True):
        cut[axis] = slice(shift, shift + (window.around(length)[0] - 1) * window.stride + 1, window.stride)
    return x[tuple(cut)]
