"""Random flips and crops of mini-batches, drawn by key and step, so that every rival sees the same images."""

import functools

import jax
import jax.numpy as jnp

from ntkrun.types import AnyArray, Array, Bool, Float, Int, PRNGKeyArray


def draw_augmentation(
    key: PRNGKeyArray, first_step: int, n_steps: int, batch_size: int, *, flip: bool, crop: int
) -> tuple[Bool[Array, "steps b"] | None, Int[Array, "steps b 2"] | None]:
    """Which images of steps first_step .. first_step + n_steps - 1 are mirrored, and by how much each is shifted.

    Flips have probability 1/2, shifts are uniform in -crop .. crop pixels in each direction; None for what is off.
    Those of step i depend on (key, i) alone.
    """
    steps = jnp.arange(first_step, first_step + n_steps, dtype=jnp.int32)
    flips, shifts = _draw(key, steps, batch_size, crop)
    return flips if flip else None, shifts if crop > 0 else None


@functools.partial(jax.jit, static_argnums=(2, 3))
def _draw(key: PRNGKeyArray, steps: Array, batch_size: int, crop: int) -> tuple[Array, Array]:
    def one(step: Array) -> tuple[Array, Array]:
        flip_key, shift_key = jax.random.split(jax.random.fold_in(key, step))
        flips = jax.random.bernoulli(flip_key, 0.5, (batch_size,))
        return flips, jax.random.randint(shift_key, (batch_size, 2), -crop, crop + 1, jnp.int32)

    return jax.vmap(one)(steps)


def augment(
    x: Float[Array, "b h w c"], flips: Bool[AnyArray, " b"] | None, shifts: Int[AnyArray, "b 2"] | None
) -> Float[Array, "b h w c"]:
    """The mirrored and shifted images: out[i, r, s] = x[i, r + dr, s + ds], 0 (the mean of centred inputs) outside."""
    if flips is not None:
        x = jnp.where(flips[:, None, None, None], x[:, :, ::-1], x)
    if shifts is None:
        return x
    _, height, width, channels = x.shape
    # a shift by the whole image or more leaves zeros, so that a margin of one image is always enough
    padded = jnp.pad(x, ((0, 0), (height, height), (width, width), (0, 0)))
    corner = jnp.asarray([height, width], shifts.dtype)

    def window(image: Array, shift: AnyArray) -> Array:
        start = jnp.append(corner + shift, jnp.zeros(1, shift.dtype))
        return jax.lax.dynamic_slice(image, start, (height, width, channels))

    return jax.vmap(window)(padded, shifts)
