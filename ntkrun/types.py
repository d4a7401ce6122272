"""Array types with visible shapes, and the one place where 64-bit arithmetic is switched on.

Axis letters used throughout: n (training examples), m (test examples), k (outputs), d (input dimensions),
b (a mini-batch), w (watched weights).  Every module that touches JAX imports from here, so x64 is on before the first
array exists; networks still train in the dtype of their parameters (float32 unless asked otherwise).
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int, Num, PRNGKeyArray, UInt8

jax.config.update("jax_enable_x64", True)

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
