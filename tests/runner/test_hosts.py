"""Two processes of this machine, joined as those of two hosts are: one run, one result, written by the leader alone."""

import json
import os
import socket
import subprocess
import sys

import numpy as np

from ntkrun.runner.store import read_table

RUN = ["experiment=lockstep", "scale=smoke", "data.source=stand_in", "optimizer.batch_size=8", "stage=run"]


def test_two_processes_compute_one_run_and_one_of_them_writes_it(root, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    shared = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(root)}
    joined = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}

    def started(name: str, environment: dict[str, str], *how: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "ntkrun.cli", *RUN, f"results_dir={tmp_path / name}", *how]
        return subprocess.Popen(command, env=shared | environment, text=True, stdout=-1, stderr=-1)

    together = [
        started(f"process {i}", joined | {"JAX_PROCESS_ID": str(i)}, "distributed=true", "devices=all") for i in (0, 1)
    ]
    running = [*together, started("alone", {})]
    try:
        for process in running:
            _, err = process.communicate(timeout=150)
            assert process.returncode == 0, err[-2000:]
    finally:
        for process in running:
            process.kill()
    assert not (tmp_path / "process 1").exists()
    (one,), (two,) = ([*(tmp_path / name).rglob("*.parquet")] for name in ("alone", "process 0"))
    assert one.name == two.name, "where a cell is computed is no part of its identity"
    (table, facts), (expected, _) = read_table(two), read_table(one)
    assert facts["device"]["used"] == 4, json.dumps(facts["device"])
    # float32 through 16 stable steps: sums of up to a thousand terms of order 1, in another order
    np.testing.assert_allclose(table["value"], expected["value"], rtol=0, atol=1e-5)
