r"""Figure 1's change of Theta_hat in log2, the paper's beside ours, for a run that sweeps another setting too: Markdown.

ntkrun experiment=fig1 scale=cpu 'model.width=[64,256]' 'model.sigma_w2=[1.0,2.0]' optimizer.steps=176 \
        name=sigma_w2
python scripts/figure1_table.py results/cpu/fig1/sigma_w2/table.parquet
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from ntkrun.experiments import curves
from ntkrun.experiments.combinations import combinations
from ntkrun.reference import paper_panel
from ntkrun.runner.store import read_table

TIMES = (1.0, 16.0, 256.0, 1024.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    table, _ = read_table(parser.parse_args().table)
    table = table[table["curve"] == curves.NTK_CHANGE.of(curves.NETWORK)]
    table = pd.concat([one.table.assign(combination=one.label) for one in combinations(table, ("width",))])
    means = table.groupby(["combination", "width", "time"], sort=False)["value"].mean()
    swept = list(means.index.unique("combination"))
    print("| n | t | paper | " + " | ".join(swept) + " |")
    print("|---" * (3 + len(swept)) + "|")
    for width in sorted(means.index.unique("width")):
        paper = paper_panel("fig1", "ntk_change_vs_time")[f"n{width}"].set_index("x")["y"]
        for time in TIMES:
            values = [float(paper[time]), *(float(means[name, width, time]) for name in swept)]
            print(f"| {width} | {time:.0f} | " + " | ".join(f"{np.log2(value):.2f}" for value in values) + " |")


if __name__ == "__main__":
    main()
