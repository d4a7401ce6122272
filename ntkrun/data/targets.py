"""Labels as regression targets."""

import numpy as np

from ntkrun.errors import UserError
from ntkrun.settings.choices import TargetKind, choices_of
from ntkrun.types import Float64, Int, NumpyArray

KINDS = choices_of(TargetKind)
GIVEN = "given"  # of a set without classes: the numbers that it holds


def make_targets(labels: Int[NumpyArray, " n"], n_classes: int, kind: str) -> Float64[NumpyArray, "n k"]:
    """Targets y of the squared loss (and, for "one_hot", of the cross entropy).

    Args:
        labels: 0 .. n_classes - 1.
        kind: "signed", two classes in one output: class 0 -> +1, class 1 -> -1, k = 1.
            "one_hot": plain zeros and ones, not centred, k = n_classes; Figure 4's plateau at .045 = .09 / 2 is half
            the variance of such a column.

    Raises:
        UserError: unknown kind, "signed" with other than two classes, or a label out of range.
    """
    labels = np.asarray(labels)
    if kind not in KINDS:
        raise UserError(f"data.targets={kind} is not known; use one of: {', '.join(KINDS)}")
    if kind == "signed" and n_classes != 2:
        raise UserError(f"data.targets=signed needs two classes, not {n_classes}; use one_hot or name two data.classes")
    if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
        raise UserError(
            f"labels run from {labels.min()} to {labels.max()}; with {n_classes} classes use 0..{n_classes - 1}"
        )
    if kind == "signed":
        return np.where(labels == 0, 1.0, -1.0)[:, None]
    return np.eye(n_classes)[labels]
