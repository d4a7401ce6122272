"""The way of an accelerator, taken on a CPU (`as_accelerator`): it runs, compiles little, and gives the CPU's numbers."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ntkrun.runner.store import read_table

pytestmark = pytest.mark.end_to_end

# eager operations were 57 programs of a cell of Figure 3 once; these are init, three kernels, the Jacobian, the analytic tile,
# the start, the step and two observations, and single operations on the host, which this process cannot tell apart
MOST_PROGRAMS = {"fig3": 40, "fig1": 20}


@pytest.fixture(scope="module")
def ran(tmp_path_factory, root) -> Path:
    folder = tmp_path_factory.mktemp("as_accelerator")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    gpu, cpu = ["tests/as_accelerator.py"], ["-m", "ntkrun.cli"]
    # each in a process of its own where the programs are counted
    for script, names in (*((gpu, name) for name in MOST_PROGRAMS), (cpu, ",".join(MOST_PROGRAMS))):
        command = [sys.executable, *script, f"experiment={names}", "scale=smoke", "stage=run", "seed=[0,9]"]
        command += [f"results_dir={folder / ('gpu' if script is gpu else 'cpu')}", "data.source=stand_in"]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


def pairs(folder: Path, name: str):
    for path in sorted((folder / "gpu" / "smoke" / name / "cells").glob("*.parquet")):
        yield read_table(path), read_table(Path(str(path).replace("/gpu/smoke/", "/cpu/smoke/")))


@pytest.mark.parametrize("name", MOST_PROGRAMS)
def test_the_numbers_are_the_cpus_to_rounding(ran, name):
    for (ours, _), (theirs, _) in pairs(ran, name):
        apart = (ours["value"] - theirs["value"]).abs()
        # of every curve's own size; float32 through tens of steps: 1e-5, a distance that begins at 0 included
        size = theirs.groupby("curve")["value"].transform(lambda values: np.sqrt(np.mean(values**2)))
        assert float((apart / size).max()) < 5e-5, name


def test_all_rivals_start_from_what_the_network_is_observed_to_be(ran):
    for (table, _), _ in pairs(ran, "fig3"):
        start = table[(table["step"] == 0) & table["curve"].str.startswith("rmse/")]
        assert len(start) == 8 and (start["value"] == 0.0).all()


@pytest.mark.parametrize("name", MOST_PROGRAMS)
def test_a_second_cell_of_the_same_shapes_compiles_next_to_nothing(ran, name):
    programs = [facts["preparation"]["programs"] for (_, facts), _ in pairs(ran, name)]
    cells = [facts["cell"] for (_, facts), _ in pairs(ran, name)]
    by_cell = dict(zip(cells, programs, strict=True))
    first = {cell: count for cell, count in by_cell.items() if "seed=0" in cell}
    assert max(first.values()) <= MOST_PROGRAMS[name]
    second = [count for cell, count in by_cell.items() if "seed=9" in cell]
    assert second and max(second) <= 2, by_cell
