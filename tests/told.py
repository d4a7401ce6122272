"""What a cell tells while it computes, held against the table that it makes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


class Told:
    """A log that keeps everything."""

    def __init__(self) -> None:
        self.points: list[tuple[int, float, dict[str, float]]] = []

    def record(self, step: int, time: float, values: Mapping[str, float]) -> None:
        self.points.append((step, time, dict(values)))


def curve_and_split(name: str) -> tuple[str, str]:
    """loss/network/train -> loss/network, train; ntk_change/network has no split."""
    curve, _, split = name.rpartition("/")
    return (curve, split) if split in ("train", "test") else (name, "")


def check_told(told: Told, table: pd.DataFrame, settings: Any) -> None:
    """Each number is the table's at that step, to the bit; of several networks their mean; where the table has that curve."""
    assert bool(told.points) == (not settings.nothing_to_log)
    for step, time, values in told.points:
        assert np.isfinite(values["learning_rate"]) and values["learning_rate"] >= 0
        assert "loss/network/train" in values
        for name, value in values.items():
            curve, split = curve_and_split(name)
            of_curve = table[(table["curve"] == curve) & (table["split"] == split)]
            there = of_curve[of_curve["step"] == step]
            assert len(there) or not len(of_curve), f"{name}: no step {step} in the table"
            if len(there):
                assert np.mean(there["value"].to_numpy()) == value and set(there["time"]) == {time}, (
                    f"{name}, step {step}"
                )
