"""The rows of a step depend on the key and the step alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkrun.data import batches
from ntkrun.data.batches import batch_indices, steps_per_epoch
from ntkrun.errors import UserError

KEY = jax.random.key(3)


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (21, 7), (5, 1)])
def test_any_portion_is_a_part_of_the_whole(n, batch_size):
    whole = batch_indices(KEY, n, batch_size, 0, 40)
    assert whole.shape == (40, batch_size) and whole.dtype == np.int32
    for first, count in ((0, 1), (1, 5), (2, 38), (13, 7), (39, 1), (20, 0)):
        np.testing.assert_array_equal(batch_indices(KEY, n, batch_size, first, count), whole[first : first + count])


def test_epochs_are_permutations_of_the_documented_key():
    whole = batch_indices(KEY, 10, 5, 0, 6).reshape(3, 10)
    for epoch, order in enumerate(whole):
        assert sorted(order.tolist()) == list(range(10))
        expected = jax.random.permutation(jax.random.fold_in(KEY, epoch), jnp.arange(10))
        np.testing.assert_array_equal(order, expected)
    assert not (whole[0] == whole[1]).all()


def test_last_partial_batch_is_dropped():
    assert steps_per_epoch(10, 3) == 3
    epochs = batch_indices(KEY, 10, 3, 0, 48).reshape(16, 9)
    assert all(len(set(epoch.tolist())) == 9 for epoch in epochs)
    assert set(epochs.ravel().tolist()) == set(range(10)), "whoever sits out changes"


def test_keys_differ_and_old_style_keys_work():
    assert not (batch_indices(KEY, 50, 50, 0, 1) == batch_indices(jax.random.key(4), 50, 50, 0, 1)).all()
    np.testing.assert_array_equal(batch_indices(jax.random.PRNGKey(3), 50, 5, 7, 9), batch_indices(KEY, 50, 5, 7, 9))


def test_only_touched_epochs_are_permuted(monkeypatch):
    asked = []

    def counted(key, epochs, n):
        asked.extend(epochs.tolist())
        return np.tile(np.arange(n, dtype=np.int32), (len(epochs), 1))

    monkeypatch.setattr(batches, "permutations", counted)
    batch_indices(KEY, 50_000, 8, 6250 * 15 + 6249, 2)
    assert asked == [15, 16]


def test_portions_of_permuting_make_no_difference(monkeypatch):
    one_by_one = batch_indices(KEY, 6, 2, 4, 45)  # 16 epochs
    for at_once in (18, 240):
        monkeypatch.setattr(batches, "PERMUTE_AT_ONCE", at_once)
        monkeypatch.setattr(batches, "SINGLE_AT_MOST", 1)
        np.testing.assert_array_equal(batch_indices(KEY, 6, 2, 4, 45), one_by_one)


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_batch_size_that_does_not_fit(batch_size):
    with pytest.raises(UserError, match=r"optimizer\.batch_size"):
        batch_indices(KEY, 10, batch_size, 0, 1)
    with pytest.raises(UserError, match="negative"):
        batch_indices(KEY, 10, 2, -1, 1)
