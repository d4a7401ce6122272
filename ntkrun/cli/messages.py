"""Errors as the user sees them."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# (name of a setting, another that was typed for the same)
_TYPED: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("typed", default=())
OWN_WIDTH = "model.args.width"  # of the user's network, which has model.width for it, too


def debugging() -> bool:
    """Whether errors are to be shown with their traceback."""
    return os.environ.get("NTKRUN_DEBUG", "") not in ("", "0")


@contextmanager
def named_as_typed(arguments: Iterable[str]) -> Iterator[None]:
    """What is complained of in the body has the names of these arguments, whatever they were completed to."""
    own = any(item.partition("=")[0].lstrip("+") == OWN_WIDTH for item in arguments)
    token = _TYPED.set(() if own else ((OWN_WIDTH, "model.width"),))
    try:
        yield
    finally:
        _TYPED.reset(token)


def complain(error: Exception | str) -> int:
    """Say it in one line; the exit code of bad input."""
    text = " ".join(str(error).splitlines())  # what was typed may hold a "\r"
    for name, typed in _TYPED.get():
        text = re.sub(rf"(?<![\w.]){re.escape(name)}\b", typed, text)
    print(f"error: {text}", file=sys.stderr)
    return 2
