"""Which kind of device there is, asked without JAX where that cannot be an accelerator (importing it takes a second), and
what XLA is told for one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from importlib.util import find_spec

_traced_for: str | None = None

# Flags of a run on a GPU, all known to XLA since jax 0.7; one that XLA_FLAGS names already keeps the user's value.
#   exclude_nondeterministic_ops  no sums whose order depends on timing: the same program gives the same bits
#   enable_triton_gemm            generated products compile three times as long as those of cuBLAS, and those of a matrix
#                                 with itself at full precision do not compile at all (jax 0.11, H100); steps are a tenth
#                                 to two fifths slower without, by compilation (docs/gpu.md)
GPU_FLAGS = {
    "--xla_gpu_exclude_nondeterministic_ops": "true",
    "--xla_gpu_enable_triton_gemm": "false",
}


def may_have_accelerator() -> bool:
    """Whether JAX has to be asked: it reaches an accelerator only through a plugin, installed or named, or libtpu."""
    installed = entry_points(group="jax_plugins") or find_spec("jax_plugins") or find_spec("libtpu")
    named = {"PJRT_NAMES_AND_LIBRARY_PATHS", "TPU_LIBRARY_PATH"} & set(os.environ)
    return bool(installed or named) and os.environ.get("JAX_PLATFORMS") != "cpu"


def with_gpu_flags(given: str) -> str:
    """The value of XLA_FLAGS for a run on a GPU, from the user's own."""
    named = {flag.partition("=")[0] for flag in given.split()}
    return " ".join([*given.split(), *(f"{flag}={value}" for flag, value in GPU_FLAGS.items() if flag not in named)])


def tell_xla() -> None:
    """Set XLA_FLAGS where there may be an accelerator; before JAX looks for one."""
    if may_have_accelerator():
        os.environ["XLA_FLAGS"] = with_gpu_flags(os.environ.get("XLA_FLAGS", ""))


def platform() -> str:
    """The kind of device that programs are traced for, "cpu", "gpu", ...: JAX's, or the one of `traced_for`."""
    import jax

    return _traced_for or jax.default_backend()


@contextmanager
def traced_for(kind: str) -> Iterator[None]:
    """What is traced inside is what would run on that kind of device, whether there is one or not.

    JAX keeps traces, and does not know what they depend on here: where the kind is another one it forgets them.
    """
    import jax

    global _traced_for
    before, other = _traced_for, kind != platform()
    if other:
        jax.clear_caches()
    _traced_for = kind
    try:
        yield
    finally:
        _traced_for = before
        if other:
            jax.clear_caches()
