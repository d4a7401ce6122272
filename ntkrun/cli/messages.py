"""Errors as the user sees them."""

import os
import sys


def debugging() -> bool:
    """Whether errors are to be shown with their traceback."""
    return os.environ.get("NTKRUN_DEBUG", "") not in ("", "0")


def complain(error: Exception | str) -> int:
    """Say it in one line; the exit code of bad input."""
    print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)  # what was typed may hold a "\r"
    return 2
