"""Whether there is an accelerator, asked without JAX where there cannot be one: importing it takes a second."""

import os
from importlib.metadata import entry_points
from importlib.util import find_spec


def may_have_accelerator() -> bool:
    """Whether JAX has to be asked: it reaches an accelerator only through a plugin, installed or named, or libtpu."""
    installed = entry_points(group="jax_plugins") or find_spec("jax_plugins") or find_spec("libtpu")
    named = {"PJRT_NAMES_AND_LIBRARY_PATHS", "TPU_LIBRARY_PATH"} & set(os.environ)
    return bool(installed or named) and os.environ.get("JAX_PLATFORMS") != "cpu"


def resolve_scale() -> str:
    """`auto`: the paper's sizes on an accelerator, the cpu sizes otherwise."""
    if not may_have_accelerator():
        return "cpu"
    import jax

    return "cpu" if jax.default_backend() == "cpu" else "paper"
