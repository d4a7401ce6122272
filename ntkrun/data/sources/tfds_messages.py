"""What TFDS says on stderr."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def errors_only() -> Iterator[None]:
    """Hide advice of TFDS and absl (OpenCV missing, and the like); errors pass."""
    logger = logging.getLogger("absl")
    before = logger.level
    # absl sets its own level when it is first imported, so that has to happen before ours.
    import absl.logging  # noqa: F401

    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
