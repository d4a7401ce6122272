"""ntkrun: wide neural networks and their linearization, trained in lockstep (Lee et al. 2019, arXiv 1902.06720)."""

from lazy_loader import attach_stub

__version__ = "0.1.0"

# Raised by hand when a change of code below `ntkrun.experiments` changes numbers: it is part of every cell's hash,
# so that tables computed before are never taken for tables of the present code.
NUMERICS_VERSION = 2

# What a notebook needs stands in __init__.pyi, with the module that has it.  A name is imported when it is first asked for,
# because JAX alone takes longer than `ntkrun --help` may.
__getattr__, _, _offered = attach_stub(__name__, __file__)

__all__ = ["NUMERICS_VERSION", "__version__", *_offered]  # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
