"""Two processes of this machine, joined as those of two hosts are: one run, one result, written by the leader alone."""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from processes import Program, ends, started, until

from ntkrun.runner.store import read_table

COMMON = ["scale=smoke", "data.source=stand_in", "stage=run"]
RUN = ["experiment=lockstep", *COMMON, "optimizer.batch_size=8"]
# of the members of an ensemble each process holds its own, of a batch's examples all hold the state
LONG = {
    "examples": ["experiment=lockstep", *COMMON, "optimizer.batch_size=8", "optimizer.steps=24"],
    "members": ["experiment=fig1", *COMMON, "model.width=16", "networks=4", "optimizer.steps=32"],
}


def one_process(
    folder: Path, root: Path, environment: dict[str, str], *how: str
) -> contextlib.AbstractContextManager[Program]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    shared = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(root)}
    return started(sys.executable, "-m", "ntkrun.cli", *how, f"results_dir={folder}", env=shared | environment)


@contextlib.contextmanager
def two_processes(folder: Path, root: Path, *how: str) -> Iterator[list[Program]]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    joined = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                one_process(
                    folder / f"process {i}", root, joined | {"JAX_PROCESS_ID": str(i)}, *how,
                    "distributed=true", "devices=all",
                )
            )
            for i in (0, 1)
        ]  # fmt: skip


def table(folder: Path) -> tuple[Path, pd.DataFrame, dict]:
    (path,) = folder.rglob("*.parquet")
    return path, *read_table(path)


def newest(folder: Path) -> int:
    """Serial number of the last checkpoint, 0 if there is none."""
    # the folders of checkpoints alone are listed: what lies in one may vanish meanwhile
    kept = folder.glob("*/smoke/*/cells/*.checkpoints/*")
    return max((int(path.name) for path in kept if path.name.isdecimal()), default=0)


def test_two_processes_compute_one_run_and_one_of_them_writes_it(ntkrun, root, tmp_path):
    with two_processes(tmp_path, root, *RUN) as two:
        for done in ends(*two):
            assert done.returncode == 0, done.stderr[-2000:]
    assert ntkrun(*RUN, "results_dir=alone")[0] == 0
    assert not (tmp_path / "process 1").exists()
    one, expected, _ = table(tmp_path / "alone")
    two, found, facts = table(tmp_path / "process 0")
    assert one.name == two.name, "where a cell is computed is no part of its identity"
    assert facts["device"]["used"] == 4, json.dumps(facts["device"])
    # float32 through 16 stable steps: sums of up to a thousand terms of order 1, in another order
    np.testing.assert_allclose(found["value"], expected["value"], rtol=0, atol=1e-5)


@pytest.mark.faults
@pytest.mark.parametrize("dealt_out", LONG)
def test_processes_stopped_and_killed_in_mid_cell_go_on_bit_for_bit(root, tmp_path, dealt_out):
    how = [*LONG[dealt_out], "checkpoint_minutes=0.00001"]
    with two_processes(tmp_path / "whole", root, *LONG[dealt_out]) as whole:
        for number, asked in enumerate((signal.SIGUSR1, signal.SIGKILL)):
            there = newest(tmp_path / "hit")
            with two_processes(tmp_path / "hit", root, *how) as hit:
                until(lambda there=there: newest(tmp_path / "hit") >= there + 2, *hit)
                for process in hit:
                    process.send_signal(asked)
                leader, follower = ends(*hit)
            codes = leader.returncode, follower.returncode
            assert codes == [(128 + asked, 0), (-asked, -asked)][number], leader.stderr[-2000:]
            assert number == 0 or "going on from step" in leader.stderr
        with two_processes(tmp_path / "hit", root, *how) as resumed:
            finished = ends(*resumed)
        for done in (*ends(*whole), *finished):
            assert done.returncode == 0, done.stderr[-2000:]
    assert "going on from step" in finished[0].stderr
    (_, found, _), (_, expected, _) = (table(tmp_path / name) for name in ("hit", "whole"))
    assert found.equals(expected)
