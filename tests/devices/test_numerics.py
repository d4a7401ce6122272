"""What JAX's environment may choose and numbers depend on."""

import os
import sys
from pathlib import Path

import jax
import pandas as pd
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from processes import ran

from ntkrun.devices.numerics import PINNED
from ntkrun.runner.store import read_table

FOREIGN = {"JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_THREEFRY_PARTITIONABLE": "0", "JAX_RANDOM_SEED_OFFSET": "5"}
RUN = ["experiment=figs10", "scale=smoke", "stage=run", "model.width=8", "results_dir=here"]


def table_and_facts(folder: Path) -> tuple[pd.DataFrame, dict]:
    (path,) = folder.glob("here/smoke/figs10/cells/*.parquet")
    return read_table(path)


def test_the_environment_changes_no_number(ntkrun, tmp_path):
    assert {name.upper() for name in PINNED} == set(FOREIGN)
    other = tmp_path / "other"
    other.mkdir()
    done = ran(sys.executable, "-m", "ntkrun.cli", *RUN, cwd=other, env=os.environ | FOREIGN)
    assert done.returncode == 0, done.stderr
    assert ntkrun(*RUN)[0] == 0
    (found, told), (expected, _) = table_and_facts(other), table_and_facts(tmp_path)
    pd.testing.assert_frame_equal(found, expected)
    assert told["random_numbers"] == {name.removeprefix("jax_"): value for name, value in PINNED.items()}


@pytest.mark.parametrize("first", ["", "import jax; "], ids=["before JAX", "after JAX"])
def test_it_is_pinned_here_and_in_what_is_started(first, tmp_path):
    child = "import jax, numpy as np; print(np.asarray(jax.random.normal(jax.random.key(0), (2,)))[0])"
    code = (
        f"import subprocess, sys; {first}from ntkrun.devices.numerics import pin; pin(); {child}; sys.stdout.flush(); "
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    done = ran(sys.executable, "-c", code, cwd=tmp_path, env=os.environ | FOREIGN)
    assert done.returncode == 0, done.stderr
    numbers = [float(line) for line in done.stdout.split()]
    with jax.threefry_partitionable(True):
        expected = jax.random.normal(jax.random.key(0, impl="threefry2x32"), (2,))[0]
    assert numbers == [float(expected)] * 2
