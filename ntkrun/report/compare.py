"""The same cells of two machines: how far apart their curves are, and whether the claims fare alike.

A cell is the same when config hash and data fingerprint are.  Numbers are paired by seed, width, split, curve, index, step,
M and eta (and by their order where several share all of these).  Over the pairs of a curve and split: the largest
|difference| and the step where it is, the rms difference, and both over the rms of ours.  Where one side alone is not
finite the difference is infinite; equal values, also nan and nan, differ by zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Verdict
from ntkrun.report.judge import judge_all, named, number
from ntkrun.runner.gather import together
from ntkrun.runner.plan import Cell
from ntkrun.settings.changes import Changes
from ntkrun.tables import AXES

PAIRED_BY = ["seed", "width", "split", "curve", "index", "step", *AXES]
# points: pairs; unpaired: numbers of either side without a partner; rms_of_ours: of the paired numbers
COLUMNS = [
    "experiment", "file", "cell", "curve", "split", "points", "unpaired", "largest", "at_step", "rms", "rms_of_ours",
    "largest_relative", "rms_relative", "ours", "other",
]  # fmt: skip


OF_THE_CELL = ("experiment", "file", "cell", "ours", "other")


@dataclass(frozen=True)
class Side:
    """One table of a cell and its facts."""

    table: pd.DataFrame
    facts: dict[str, Any]

    @property
    def made_by(self) -> str:
        """Device and precision, as far as the facts tell them: "cpu (cpu), jax 0.10.2, steps in float32, else float32".

        Tables of before precision was told have the settings that it follows from.
        """
        device, settings = self.facts.get("device") or {}, self.facts.get("settings") or {}
        told = [
            f"{device.get('kind')} ({device.get('platform')})",
            f"jax {(self.facts.get('packages') or {}).get('jax')}",
        ]
        precision = self.facts.get("precision")
        if precision:
            return ", ".join([*told, f"steps in {precision.get('steps')}", f"else {precision.get('else')}"])
        told += [str(settings["model"]["dtype"])] if "dtype" in (settings.get("model") or {}) else []
        told += [f"matmul={settings['matmul']}"] if "matmul" in settings else []
        return ", ".join(told)


@dataclass
class Pair:
    """A cell that both sides hold."""

    experiment: str
    file: str
    ours: Side
    other: Side
    rows: pd.DataFrame = field(init=False)  # of COLUMNS, one a curve and split

    def __post_init__(self) -> None:
        rows = differences(self.ours.table, self.other.table)
        told = {"experiment": self.experiment, "file": self.file, "cell": str(self.ours.facts.get("cell"))}
        self.rows = rows.assign(**told, ours=self.ours.made_by, other=self.other.made_by)[COLUMNS]


def differences(ours: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """One row a curve and split, in the order of ours; nan where nothing could be paired."""
    both = paired(ours, other, [name for name in PAIRED_BY if name in ours.columns and name in other.columns])
    names = dict.fromkeys(zip(ours["curve"], ours["split"], strict=True))  # a merge sorts: the order of ours again
    names |= dict.fromkeys(zip(both["curve"], both["split"], strict=True))
    rows = [
        {"curve": curve, "split": split, **apart(both[(both["curve"] == curve) & (both["split"] == split)])}
        for curve, split in names
    ]
    return pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in OF_THE_CELL])


def paired(ours: pd.DataFrame, other: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The numbers of both sides, value and value_other, whose columns `by` are equal; _merge says which side has them."""
    sides = [t[[*by, "value"]].assign(turn=t.groupby(by).cumcount()) for t in (ours, other)]
    return sides[0].merge(sides[1], how="outer", on=[*by, "turn"], suffixes=("", "_other"), indicator=True)


def apart(group: pd.DataFrame, at: str = "step") -> dict[str, int | float]:
    """The measures of one curve and split from its pairs; at: the column that tells where the largest difference is."""
    both = group[group["_merge"] == "both"]
    x, y = both["value"].to_numpy(float), both["value_other"].to_numpy(float)
    found: dict[str, int | float] = {"points": len(both), "unpaired": len(group) - len(both), f"at_{at}": -1}
    if not len(both):
        return found
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(x - y)
        difference[(x == y) | (np.isnan(x) & np.isnan(y))] = 0.0
        difference[np.isnan(difference)] = np.inf
        finite = x[np.isfinite(x)]
        size = float(np.sqrt(np.mean(np.square(finite)))) if len(finite) else 0.0
        measures = {"largest": float(difference.max()), "rms": float(np.sqrt(np.mean(np.square(difference))))}
    found |= {f"at_{at}": both[at].to_numpy()[difference.argmax()].item(), "rms_of_ours": size}
    for name, value in measures.items():
        found |= {name: value, f"{name}_relative": value / size if size else np.inf if value else 0.0}
    return found


def differences_table(pairs: Sequence[Pair]) -> str:
    """Per experiment, who computed it and, over all of its cells, the worst of every curve; as lines of text."""
    text = []
    for name in dict.fromkeys(pair.experiment for pair in pairs):
        rows = pd.concat([pair.rows for pair in pairs if pair.experiment == name], ignore_index=True)
        text.append(f"{name}: {rows['file'].nunique()} cells on both sides")
        text += [f"  {side}: {'; '.join(dict.fromkeys(rows[side]))}" for side in ("ours", "other")]
        header = (
            "curve",
            "split",
            "points",
            "unpaired",
            "largest",
            "relative",
            "rms",
            "relative",
            "at step",
            "of cell",
        )
        lines: list[tuple[str, ...]] = [header]
        for curve, split in dict.fromkeys(zip(rows["curve"], rows["split"], strict=True)):
            group = rows[(rows["curve"] == curve) & (rows["split"] == split)]
            worst = group.loc[[group["largest_relative"].fillna(-1.0).idxmax()]].to_dict("records")[0]
            measures = (f"{worst[key]:.3g}" for key in ("largest", "largest_relative", "rms", "rms_relative"))
            counts = (str(group[key].sum()) for key in ("points", "unpaired"))
            lines.append((curve, split, *counts, *measures, str(worst["at_step"]), worst["cell"]))
        text += aligned(lines)
    return "\n".join(text)


def aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def verdicts_of(
    experiment: Experiment, cells: Sequence[Cell], pairs: Iterable[Pair], scale: str, changed: Changes
) -> list[tuple[Verdict, Verdict]] | None:
    """(ours, other) of every claim; None where one of the cells is not on both sides."""
    real_data_last = sorted(pairs, key=lambda pair: pair.ours.facts.get("data_source") == "tfds")
    by_hash = {str(pair.ours.facts["config_hash"]): pair for pair in real_data_last}
    if not all(cell.config_hash in by_hash for cell in cells):
        return None
    found = [(by_hash[cell.config_hash], cell) for cell in cells]
    judged = []
    for side in ("ours", "other"):
        sides = [(cell, getattr(pair, side)) for pair, cell in found]
        table = together(experiment, [(cell, one.table) for cell, one in sides])
        stand_in = any(one.facts.get("data_source") == "stand_in" for _, one in sides)
        judged.append(judge_all(experiment, table, scale=scale, stand_in=stand_in, changed=changed))
    return list(zip(*judged, strict=True))


def verdicts_table(name: str, verdicts: Sequence[tuple[Verdict, Verdict]]) -> str:
    """As lines of text."""
    alike = sum(ours.verdict == other.verdict for ours, other in verdicts)
    lines = [("claim", "ours", "measured", "other", "measured")]
    for ours, other in verdicts:
        lines.append((named(ours), ours.verdict, number(ours.measured), other.verdict, number(other.measured)))
    return "\n".join([f"{name}: {alike} of {len(verdicts)} claims fare alike", *aligned(lines)])
