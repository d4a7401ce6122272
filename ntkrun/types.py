"""Array types with visible shapes.

Axis letters used throughout: n (training examples), m (test examples), k (outputs), d (input dimensions),
b (a mini-batch), w (watched weights).
"""

from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int, Num, PRNGKeyArray, UInt8

Params = Any  # a pytree of arrays: the Flax "params" collection
NumpyArray = np.ndarray
AnyArray = Array | NumpyArray  # on the device or on the host

__all__ = [
    "AnyArray",
    "Array",
    "Bool",
    "Float",
    "Float64",
    "Int",
    "Num",
    "NumpyArray",
    "PRNGKeyArray",
    "Params",
    "UInt8",
]
