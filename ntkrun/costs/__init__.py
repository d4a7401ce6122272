"""What a computation costs, read from its trace: nothing is compiled, allocated or run."""

from ntkrun.costs.piece import Piece, along_width
from ntkrun.costs.program import Program
from ntkrun.costs.traffic import Flops, Kernel, added

__all__ = ["Flops", "Kernel", "Piece", "Program", "added", "along_width"]
