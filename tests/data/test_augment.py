# pyright: reportOptionalSubscript=false, reportCallIssue=false, reportArgumentType=false
"""Flips and crops: what they do to an image, and that a key and a step determine them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.data.augment import augment, draw_augmentation
from ntkrun.data.batches import Batch

X = np.random.default_rng(0).standard_normal((4, 5, 6, 2))


def test_flips_and_shifts_are_what_they_say():
    flips = jnp.asarray([True, False, True, False])
    shifts = np.asarray([[0, 0], [2, -1], [-4, 5], [9, 0]], np.int32)
    found = augment(jnp.asarray(X), flips, jnp.asarray(shifts))
    expected = np.zeros_like(X)
    for i, r, s in np.ndindex(4, 5, 6):
        image = X[i][:, ::-1] if flips[i] else X[i]
        row, column = r + shifts[i, 0], s + shifts[i, 1]
        if 0 <= row < 5 and 0 <= column < 6:
            expected[i, r, s] = image[row, column]
    expected[3] = 0.0  # shifted away altogether
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("flip", "crop"), [(True, 0), (False, 4), (True, 4)])
def test_draws_depend_on_key_and_step_alone(flip, crop):
    key = jax.random.key(3)
    whole = draw_augmentation(key, 0, 40, 64, flip=flip, crop=crop)
    part = draw_augmentation(key, 17, 8, 64, flip=flip, crop=crop)
    other = draw_augmentation(jax.random.key(4), 0, 40, 64, flip=flip, crop=crop)
    for on, all_steps, some, elsewhere in zip((flip, crop > 0), whole, part, other, strict=True):
        assert (all_steps is not None) == on
        if on:
            np.testing.assert_array_equal(all_steps[17:25], some)
            assert (np.asarray(all_steps) != np.asarray(elsewhere)).any()
    if flip:
        assert abs(np.mean(whole[0]) - 0.5) < 0.05  # 2560 coins: 5 sd
    if crop:
        assert set(np.unique(whole[1])) == set(range(-4, 5))


def test_a_batch_gathers_its_rows():
    y = np.arange(4.0)[:, None]
    x, targets = Batch(np.asarray([2, 0], np.int32)).of(jnp.asarray(X), jnp.asarray(y))
    np.testing.assert_array_equal(x, X[[2, 0]])
    np.testing.assert_array_equal(targets, y[[2, 0]])
