"""A sweep over a real SLURM: a job is requeued in mid-cell, another is pre-empted, and no number changes."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from one_machine import OneMachine, missing

from ntkrun.runner.store import read_table

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(missing()), reason=missing() or "runs")]

# A requeued job goes on until SLURM kills it, some five seconds after its first checkpoint: a cell of 15,000 steps was
# finished by then, and had nothing to resume.  This many steps take several times as long.
SWEEP = [
    "experiment=fig3", "scale=smoke", "data.source=stand_in", "seed=[0,1,2,3]", "optimizer.steps=40000",
    "checkpoint_minutes=.002",
]  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    machine = OneMachine(tmp_path_factory.mktemp("slurm"), cpus=2)
    try:
        machine.start()
    except (OSError, TimeoutError) as error:
        pytest.skip(f"SLURM does not start here: {error}")
    yield machine
    machine.end()


def ntkrun(*arguments: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    # the numbers of one machine depend on how many threads share a sum
    one_thread = {"XLA_FLAGS": f"{environment.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"}
    return subprocess.Popen(
        [sys.executable, "-m", "ntkrun.cli", *arguments],
        cwd=folder,
        env=environment | one_thread,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def logs_of(folder: Path) -> str:
    """The ends of the jobs' logs, for the message of a failed test."""
    return "\n".join(
        f"{path}:\n{path.read_text()[-600:]}" for path in sorted(folder.glob("cluster/sweeps/jobs/*/*_log.*"))
    )


def end(process: subprocess.Popen) -> None:
    """Kill it if it still runs, and close its pipe."""
    process.kill()
    process.communicate()


def in_mid_cell(folder: Path) -> dict[str, Path]:
    """Jobs, "<array>_<task>", that have a checkpoint of a cell that is not finished, with the cell's lock."""
    found = {}
    for lock in folder.glob("smoke/*/cells/*.lock"):
        saved = [path for path in lock.with_suffix(".checkpoints").glob("*") if path.name.isdecimal()]
        try:
            pid = int(lock.read_text().split('"pid": ')[1].split(",")[0])
            variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
        except (OSError, IndexError):
            continue
        job = dict(line.split("=", 1) for line in variables if "=" in line)
        if saved and "SLURM_ARRAY_JOB_ID" in job:
            found[f"{job['SLURM_ARRAY_JOB_ID']}_{job['SLURM_ARRAY_TASK_ID']}"] = lock
    return found


def test_a_sweep_that_is_requeued_and_preempted_gives_the_local_table(slurm, tmp_path):
    sweep = ntkrun(
        "-m", *SWEEP, "shards=4", "shard=range(4)", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1",
        "results_dir=cluster", folder=tmp_path, environment=slurm.environment,
    )  # fmt: skip
    try:
        ways = [("scontrol", "requeue"), ("scancel", "--signal=USR2")]
        hit: list[str] = []
        asked: list[subprocess.Popen] = []
        deadline = time.monotonic() + 240
        while len(hit) < len(ways):
            assert sweep.poll() is None and time.monotonic() < deadline, f"{hit} {slurm.logs()} {sweep.communicate()}"
            for job in in_mid_cell(tmp_path / "cluster"):
                if job not in hit and len(hit) < len(ways):
                    # not waited for here: the step may be gone before it has answered.  Nor may it go on asking: scancel
                    # sends the signal again, to the job's next start, which does not listen yet and is ended by it
                    command = ["timeout", "5", *ways[len(hit)], job]
                    asked.append(subprocess.Popen(command, env=slurm.environment))
                    hit.append(job)
            time.sleep(0.05)
        out, _ = sweep.communicate(timeout=400)
        for process in asked:
            process.wait(timeout=60)
    finally:
        end(sweep)
    assert sweep.returncode == 0 and "4 of 4 jobs finished, 0 failed" in out, out + logs_of(tmp_path)
    for job in hit:
        text = "".join(path.read_text() for path in tmp_path.glob(f"cluster/sweeps/jobs/{job}/*_log.*"))
        assert "going on from step" in text, f"{job}: {text}"
    whole = ntkrun(*SWEEP, "results_dir=local", folder=tmp_path, environment=dict(os.environ))
    out, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, out
    ours, theirs = (
        read_table(next((tmp_path / name).glob("smoke/fig3/*/table.parquet")))[0] for name in ("cluster", "local")
    )
    assert ours.equals(theirs), "the merged table is the one of a local run, bit for bit"
    assert not list(tmp_path.rglob("*.checkpoints")) and not list(tmp_path.rglob("cells/*.lock"))


def test_a_job_that_is_lost_is_named_and_stops_no_other(slurm, tmp_path):
    # the first job asks for more images than there are
    sweep = ntkrun(
        "-m", *SWEEP[:3], "stage=run", "data.n_train=70000,16", "hydra/launcher=slurm", "results_dir=cluster",
        "hydra.launcher.cpus_per_task=1", folder=tmp_path, environment=slurm.environment,
    )  # fmt: skip
    try:
        out, _ = sweep.communicate(timeout=300)
    finally:
        end(sweep)
    assert sweep.returncode == 2 and "1 of 2 jobs finished, 1 failed" in out, out
    (line,) = [line for line in out.splitlines() if line.startswith("failed:")]
    assert "data.n_train=70000" in line and "exit code 2" in line and "_log.err" in line
    assert len(list(tmp_path.rglob("cells/*.parquet"))) == 1


def test_two_tasks_compute_one_cell_through_the_template_for_hosts(slurm, tmp_path, root):
    """`distributed=true` with what SLURM tells its tasks, two on one node; sums in another order change the last digits."""
    script = (root / "scripts/slurm/hosts.sh").read_text()
    for line, here in (
        (r"#SBATCH --nodes=2.*", "#SBATCH --nodes=1"),
        (r"#SBATCH --ntasks-per-node=1", "#SBATCH --ntasks-per-node=2"),
        (r"#SBATCH --gres=.*\n", ""),
        (r"#SBATCH --cpus-per-task=16", "#SBATCH --cpus-per-task=1"),
        (r"srun --kill-on-bad-exit=0 .*\n", ""),
        (r"# (srun ntkrun .* distributed=true devices=all)", r"\1"),
    ):
        script, found = re.subn(f"(?m)^{line}", here, script)
        assert found == 1, line
    (tmp_path / "hosts.sh").write_text(script)
    how = ["experiment=lockstep", *SWEEP[1:3], "optimizer.batch_size=8", "stage=run"]
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    submitted = subprocess.run(
        ["sbatch", "--wait", "hosts.sh", *how, "results_dir=cluster"],
        cwd=tmp_path, env=slurm.environment | {"PATH": programs}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    log = "".join(path.read_text() for path in tmp_path.glob("ntkrun-*.log"))
    assert submitted.returncode == 0, submitted.stderr + log[-2000:] + slurm.logs()
    alone = ntkrun(*how, "results_dir=local", folder=tmp_path, environment=dict(os.environ))
    out, _ = alone.communicate(timeout=200)
    assert alone.returncode == 0, out
    (ours,), (theirs,) = (list((tmp_path / name).rglob("cells/*.parquet")) for name in ("cluster", "local"))
    (table, facts), (expected, _) = read_table(ours), read_table(theirs)
    assert ours.name == theirs.name and facts["device"]["used"] == 2, facts["device"]
    # float32 through 16 stable steps: sums of up to a thousand terms of order 1, in another order
    np.testing.assert_allclose(table["value"], expected["value"], rtol=0, atol=1e-5)
