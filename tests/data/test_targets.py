"""Labels as targets, and what is refused."""

import numpy as np
import pytest

from ntkrun.data.targets import make_targets
from ntkrun.errors import UserError


def test_signed():
    y = make_targets(np.array([0, 1, 1, 0]), 2, "signed")
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, [[1], [-1], [-1], [1]])


def test_one_hot_is_plain():
    y = make_targets(np.array([2, 0]), 3, "one_hot")
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, [[0, 0, 1], [1, 0, 0]])
    # Half the variance of a column with ten classes in equal parts: Figure 4's plateau.
    ten = make_targets(np.arange(10), 10, "one_hot")
    np.testing.assert_allclose(np.mean((ten - ten.mean(axis=0)) ** 2) / 2, 0.045)


@pytest.mark.parametrize(
    ("labels", "n_classes", "kind", "says"),
    [([0, 2], 3, "signed", "two classes"), ([0, 1], 2, "hinge", "signed, one_hot"), ([0, 3], 3, "one_hot", "0..2")],
)
def test_refusals(labels, n_classes, kind, says):
    with pytest.raises(UserError, match=says):
        make_targets(np.array(labels), n_classes, kind)
