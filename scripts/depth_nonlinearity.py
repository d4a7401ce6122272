"""Figure S5: which nonlinearity and which sigmas have the paper's fall with depth?  The table of docs/figure_s5.md.

    NTKRUN_DATA_DIR=... python scripts/depth_nonlinearity.py --into build/depth_nonlinearity

The caption prints sigma_w^2 = 2.0, sigma_b^2 = 0.1 and "critically initialized", and names no nonlinearity.  Every hypothesis
trains fully-connected networks of both widths through the command line, with two theta_0 each, and is kept, so that a second
call goes on.  Shown is log2 of our final distance over the paper's, the mean over widths and theta_0, for every curve; `rms`
is over the curves and widths of the first panel, by which a hypothesis is chosen.  The last panel tests the choice.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from depth_trend import kept_table
from recover.page import markdown

from ntkrun.reference import paper_panel

DEPTHS, SIZES, WIDTHS = ("L1", "L2", "L4", "L8", "L16"), ("D32", "D64", "D256", "D512"), (128, 512)
LEFT_OUT = ("D1024", "D2048", "D4096", "C4", "C8", "C16", "C32", "R10", "R16")
SEEDS = (0, 1)
HYPOTHESES = (  # nonlinearity, sigma_w^2, sigma_b^2
    ("relu", 2.0, 0.1),
    ("tanh", 2.0, 0.1),
    ("erf", 2.0, 0.1),
    ("tanh", 3.0, 0.1),
    ("tanh", 4.0, 0.1),
    ("tanh", 4.0, 0.01),
    ("tanh", 4.0, 0.0),
)


def table_of(into: Path, phi: str, sigma_w2: float, sigma_b2: float) -> pd.DataFrame:
    """The table of one hypothesis, whose cells are run where they are not stored yet."""
    widths, seeds = (",".join(map(str, numbers)) for numbers in (WIDTHS, SEEDS))
    sigmas = [f"model.sigma_w2={sigma_w2}", f"model.sigma_b2={sigma_b2}"]
    words = [f"model.width=[{widths}]", f"seed=[{seeds}]", f"model.activation={phi}", *sigmas]
    return kept_table(into, "paper", f"{phi}-{sigma_w2:g}-{sigma_b2:g}", LEFT_OUT, words)


def papers(part: str, width: int) -> float:
    panel = {"L": "fc_depth", "D": "fc_dataset_size"}[part[0]]
    return float(paper_panel("figs5", panel)[part.lower()].set_index("x")["y"][width])


def octaves(table: pd.DataFrame) -> pd.Series:
    """log2 of ours over the paper's, the mean over theta_0, by part and width."""
    rmse = table[(table["curve"] == "rmse/linear") & (table["split"] == "test")]
    ends = rmse[rmse["step"] == rmse.groupby("cell")["step"].transform("max")].copy()
    ends["part"] = ends["cell"].str.extract(r"part=(\w+)")[0]
    ends["octaves"] = [
        np.log2(value / papers(part, width))
        for part, width, value in ends[["part", "width", "value"]].itertuples(index=False)
    ]
    return ends.groupby(["part", "width"])["octaves"].mean()


def row(found: pd.Series) -> dict[str, float]:
    by_part = found.groupby("part").mean()
    first = found[found.index.get_level_values("part").isin(DEPTHS)]
    return {"rms": float(np.sqrt((first**2).mean())), **{part: float(by_part[part]) for part in DEPTHS + SIZES}}


def main() -> None:
    parser = argparse.ArgumentParser(description="Which nonlinearity has the fall with depth of Figure S5?")
    parser.add_argument("--into", type=Path, required=True, help="folder of the runs; what is there is not run again")
    into = parser.parse_args().into.absolute()
    rows = {f"{phi}, {w:g}, {b:g}": row(octaves(table_of(into, phi, w, b))) for phi, w, b in HYPOTHESES}
    print(markdown(pd.DataFrame(rows).T.rename_axis("phi, sigma_w^2, sigma_b^2"), 2))


if __name__ == "__main__":
    main()
