"""Compiled programs that outlive a process: JAX's persistent compilation cache in a folder of the user's.

A program that is found is the one that was compiled, so no number depends on whether it was.  JAX's own keys hold
program, flags and device; the folder's name adds what they leave out, the machine code that this processor understands.
"""

import contextlib
import hashlib
import os
import platform
from pathlib import Path

import jax

SHORTEST = 0.5  # seconds of compilation that are worth a file on a CPU; for an accelerator every program is


def processor() -> str:
    """16 hex digits over what machine code may use here."""
    features = platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        # "flags" on x86, "Features" on ARM; all cores alike
        features += next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
        features += next((line for line in lines if line.startswith("model name")), "")
    return hashlib.sha256(features.encode()).hexdigest()[:16]


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ntkrun" / f"jax-{jax.__version__}-{processor()}"


def keep_compiled_programs() -> None:
    """Switch the cache on, unless the user has set JAX's own; a folder that cannot be made means no cache."""
    if jax.config.values["jax_compilation_cache_dir"] or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home folder
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        shortest = SHORTEST if jax.default_backend() == "cpu" else 0.0
        jax.config.update("jax_persistent_cache_min_compile_time_secs", shortest)
