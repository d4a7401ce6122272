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
    folder: Path, root: Path, environment: dict[str, str], *how: str, program: tuple[str, ...]
) -> contextlib.AbstractContextManager[Program]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    shared = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(root)}
    return started(sys.executable, *program, *how, f"results_dir={folder}", env=shared | environment)


@contextlib.contextmanager
def two_processes(
    folder: Path, root: Path, *how: str, program: tuple[str, ...] = ("-m", "ntkrun.cli")
) -> Iterator[list[Program]]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    joined = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                one_process(
                    folder / f"process {i}", root, joined | {"JAX_PROCESS_ID": str(i)}, *how,
                    "distributed=true", "devices=all", program=program,
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


@pytest.mark.end_to_end
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


@pytest.mark.end_to_end
def test_a_cell_that_diverges_stops_no_other_and_all_processes_say_so(root, tmp_path):
    with two_processes(tmp_path, root, *RUN, "optimizer.learning_rate=[1e8,.1]") as two:
        leader, follower = ends(*two)
    assert (leader.returncode, follower.returncode) == (1, 0), leader.stderr[-2000:] + follower.stderr[-2000:]
    assert "(1 run now, 0 stored before), 1 failed" in leader.stdout
    assert "not finite" in leader.stderr and "not finite" in follower.stderr
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


@pytest.mark.end_to_end
def test_a_leader_that_cannot_write_ends_all_with_one_line_each(root, tmp_path):
    (tmp_path / "process 0").write_text("a file where its folder of results would be")
    with two_processes(tmp_path, root, *RUN) as two:
        leader, follower = ends(*two)
    assert (leader.returncode, follower.returncode) == (2, 0), leader.stderr[-2000:] + follower.stderr[-2000:]
    assert "Traceback" not in leader.stderr + follower.stderr


BREAKS = """
import os, sys
from ntkrun.runner.shared_checkpoints import SharedCheckpoints
def broken(self, step, states):
    if os.environ["JAX_PROCESS_ID"] == os.environ["BREAKS"]:
        raise OSError("this process alone has a bad file")
    return kept(self, step, states)
kept, SharedCheckpoints.reached = SharedCheckpoints.reached, broken
from ntkrun.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "number", [pytest.param(0, marks=pytest.mark.end_to_end), pytest.param(1, marks=pytest.mark.faults)]
)
def test_a_process_that_fails_alone_says_why_and_no_other_waits_for_it_for_ever(root, tmp_path, number, monkeypatch):
    (tmp_path / "broken.py").write_text(BREAKS)
    monkeypatch.setenv("BREAKS", str(number))
    with two_processes(tmp_path, root, *RUN, program=(str(tmp_path / "broken.py"),)) as two:
        done = ends(*two)
    assert "this process alone has a bad file" in done[number].stderr and done[number].returncode == 1
    assert done[1 - number].returncode != 0
    assert not list(tmp_path.rglob("*.parquet"))
    if number == 0:  # of a follower's end the leader may hear too late to write anything
        (record,) = tmp_path.rglob("*.failed.json")
        assert "bad file" in record.read_text() and not list(tmp_path.rglob("*.lock"))
