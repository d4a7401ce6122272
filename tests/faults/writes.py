"""Every write below a folder, met before it happens: to fail there, to be killed there, to be counted."""

import builtins
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ntkrun.runner import checkpoint

CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "pwrite", "open")


def watch(folder: Path, meet: Callable[[str], None], patch: pytest.MonkeyPatch) -> None:
    """Call `meet(path)` before each; what it raises the write raises.

    tensorstore writes the arrays of a checkpoint by itself: that is met once, before it begins.
    """

    def before(path: object, dir_fd: int | None = None) -> None:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        start = os.getcwd() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
        whole = os.path.join(start, str(path))
        if whole.startswith(str(folder)):
            meet(whole)

    def calls(real):
        def call(path, *rest, **named):
            before(path, named.get("dir_fd"))
            return real(path, *rest, **named)

        return call

    def opens(real):
        def call(path, mode="r", *rest, **named):
            if set(mode) & set("wax+"):
                before(path)
            return real(path, mode, *rest, **named)

        return call

    for name in CALLS:
        patch.setattr(os, name, calls(getattr(os, name)))
    for module in (io, builtins):
        patch.setattr(module, "open", opens(module.open))
    patch.setattr(checkpoint, "write_arrays", calls(checkpoint.write_arrays))
