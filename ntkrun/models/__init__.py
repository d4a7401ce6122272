"""Networks of the paper as Flax linen modules."""

from ntkrun.models.registry import build_model

__all__ = ["build_model"]
