"""Figure S5 at sigma_w^2 = 2: does any setting that the paper does not print turn the trend in depth?  A factorial experiment.

    NTKRUN_DATA_DIR=... python scripts/depth_trend.py --into build/depth_trend

The paper's final distance falls from one hidden layer to eight, with sigma_w^2 = 2 ours rises (what turns it:
scripts/depth_nonlinearity.py).  Six settings of two values each are tried in 16
of their 64 combinations, a design of resolution IV: no effect of a single setting is mixed up with that of another one or of
a pair (those of pairs are with each other).  Every combination trains fully-connected networks of L = 1 and 8, n = 128,
N = 128 through the command line and is kept, so that a second call goes on.  The response is

    r = log2 RMSE(L = 8) / RMSE(L = 1)    over the test images, network against f_lin,

where training ends: at a train loss of f_lin of .15, .05 or .015, or after 16 or 64 steps, since distances are recorded on
the way (the record next to the end).  An effect is the mean of r at the setting's second value less that at its first; its
standard error is that of effects of pairs, which the design leaves for it.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from recover.page import markdown

from ntkrun.reference import paper_panel

WIDTH, DEPTHS = 128, (1, 8)
LEFT_OUT = ("L2", "L4", "L16", "D32", "D64", "D256", "D512", "C4", "C8", "R10")
FACTORS = {
    "rate": ("descent.share_of_critical", ".5", ".1"),
    "classes": ("data.classes", "[airplane,horse]", "[frog,horse]"),
    "images": ("data.preprocess", "sphere", "per_image"),
    "parameterization": ("model.parameterization", "ntk", "standard"),
    "nonlinearity": ("model.activation", "relu", "tanh"),
    "bias": ("model.sigma_b2", ".1", "0."),
}
# train losses of f_lin, all below 1, and numbers of steps
ENDS = {"loss .15": 0.15, "loss .05": 0.05, "loss .015": 0.015, "16 steps": 16, "64 steps": 64}


def design() -> np.ndarray:
    """(16, 6) of -1 and 1: the first four columns in full, the others products of three of them."""
    base = np.array(np.meshgrid(*[[-1, 1]] * 4, indexing="ij")).reshape(4, -1).T
    a, b, c, d = base.T
    return np.column_stack([base, a * b * c, b * c * d])


def pairs(levels: np.ndarray) -> np.ndarray:
    """(16, m): products of two columns, those that are equal once."""
    columns = [levels[:, i] * levels[:, j] for i in range(levels.shape[1]) for j in range(i)]
    return np.unique(np.array(columns), axis=0).T


def table_of(into: Path, number: int, levels: np.ndarray) -> pd.DataFrame:
    """The table of one combination, which is run where it is not stored yet."""
    chosen = [
        f"{setting}={values[(level + 1) // 2]}"
        for level, (setting, *values) in zip(levels, FACTORS.values(), strict=True)
    ]
    words = [f"model.width=[{WIDTH}]", "model.sigma_w2=2", "descent.max_steps=5000", *chosen]
    return kept_table(into, "cpu", f"design-{number}", LEFT_OUT, words)


def kept_table(into: Path, scale: str, name: str, left_out: Sequence[str], words: Sequence[str]) -> pd.DataFrame:
    """The table of Figure S5 without some parts and with these settings, which are run where it is not there yet."""
    path = into / scale / "figs5" / name / "table.parquet"
    if not path.is_file():
        command = [sys.executable, "-m", "ntkrun.cli", "experiment=figs5", f"scale={scale}", f"results_dir={into}"]
        # exit code 1 tells of claims, which are not about such settings
        done = subprocess.run([*command, f"name={name}", *(f"parts.{part}=null" for part in left_out), *words])
        if not path.is_file():
            raise SystemExit(f"{name} ended with exit code {done.returncode}")
    return pd.read_parquet(path)


def distance(table: pd.DataFrame, depth: int, end: float) -> float:
    """RMSE over the test images at the record that is next to the end, on the logarithm of the loss or of the step."""
    one = table[table["model.depth"] == depth]
    rmse = one[(one["curve"] == "rmse/linear") & (one["split"] == "test")].set_index("step")["value"]
    clock = (
        rmse.index.to_series()
        if end >= 1
        else one[(one["curve"] == "loss/linear") & (one["split"] == "train")].set_index("step")["value"]
    )
    at = clock[clock > 0].map(lambda value: abs(np.log(value / end))).idxmin()
    return float(rmse[at])


def responses(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """r by combination (rows) and end (columns)."""
    rows = [{name: np.log2(distance(t, 8, end) / distance(t, 1, end)) for name, end in ENDS.items()} for t in tables]
    return pd.DataFrame(rows)


def effects(levels: np.ndarray, r: pd.DataFrame) -> pd.DataFrame:
    """Mean, effects and their standard error, by end (columns)."""
    found = pd.DataFrame(levels.T @ r.to_numpy() / 8, index=list(FACTORS), columns=r.columns)
    error = np.sqrt(np.mean((pairs(levels).T @ r.to_numpy() / 8) ** 2, axis=0))
    found.loc["standard error"] = error
    return pd.concat([r.mean().to_frame("mean").T, r.min().to_frame("least of 16").T, found])


def papers() -> float:
    """r of the paper at this width."""
    curves = paper_panel("figs5", "fc_depth")
    one, eight = (curves[f"l{depth}"].set_index("x")["y"][WIDTH] for depth in DEPTHS)
    return float(np.log2(eight / one))


def main() -> None:
    parser = argparse.ArgumentParser(description="A fractional factorial experiment on the depth trend of Figure S5.")
    parser.add_argument("--into", type=Path, required=True, help="folder of the runs; what is there is not run again")
    into = parser.parse_args().into.absolute()
    levels = design()
    r = responses([table_of(into, number, row) for number, row in enumerate(levels)])
    print(markdown(pd.concat([pd.DataFrame(levels, columns=list(FACTORS)), r], axis=1), 2))
    print(markdown(effects(levels, r).rename_axis("effect"), 2))
    print(f"the paper: {papers():.2f}")


if __name__ == "__main__":
    main()
