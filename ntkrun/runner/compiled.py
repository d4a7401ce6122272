"""Compiled programs that outlive a process: JAX's persistent compilation cache in a folder of the user's.

A program that is found is the one that was compiled, so no number depends on whether it was.  JAX's own keys hold
program, flags and device; the folder's name adds what they leave out, the machine code that this processor understands.
"""

import contextlib
import hashlib
import os
import platform
import uuid
from pathlib import Path
from typing import Any

import jax

from ntkrun.devices.cache_folder import cache_folder

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


def programs_folder() -> Path:
    """Of this version of JAX on this processor."""
    return cache_folder() / f"jax-{jax.__version__}-{processor()}"


def cache_in_use() -> Path | None:
    """Where compiled programs are kept at present; None where they are not."""
    config: Any = jax.config  # its hints name no flags
    folder = config.jax_compilation_cache_dir or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(folder) if folder else None


def programs_of(folder: Path | None) -> str | None:
    """A name of the programs that are kept in `folder`, given when it is asked for first; None where none are kept.

    A compiler that times its choices on an accelerator may make others when it compiles a program again: programs of one
    name have been compiled once.
    """
    if folder is None:
        return None
    path = folder / "ntkrun-programs"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError), path.open("x") as handle:  # the first of several processes
                handle.write(uuid.uuid4().hex)
        return path.read_text()[:32] or None
    except OSError:
        return None


def keep_compiled_programs() -> None:
    """Switch the cache on, unless the user has set JAX's own; a folder that cannot be made means no cache."""
    if cache_in_use() is not None:
        return
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home folder
        folder = programs_folder()
        folder.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        shortest = SHORTEST if jax.default_backend() == "cpu" else 0.0
        jax.config.update("jax_persistent_cache_min_compile_time_secs", shortest)
