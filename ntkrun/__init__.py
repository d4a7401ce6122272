"""ntkrun: wide neural networks and their linearization, trained in lockstep (Lee et al. 2019, arXiv 1902.06720)."""

__version__ = "0.1.0"

# Raised by hand when a change of code below `ntkrun.experiments` changes numbers: it is part of every cell's hash,
# so that tables computed before are never taken for tables of the present code.
NUMERICS_VERSION = 2
