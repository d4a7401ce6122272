"""The precision of what is observed."""

from typing import Any


def full_precision(model: Any) -> Any:
    """The network with products in its dtype's own precision, for what is observed of it and for its kernels, whatever
    that of its training steps is (`models.products`)."""
    return model if getattr(model, "matmul", "as_dtype") == "as_dtype" else model.clone(matmul="as_dtype")
