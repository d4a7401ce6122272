"""A SLURM of one machine, started by hand: munged, slurmctld and slurmd, as root, without systemd and without accounting."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONFIGURATION = """
ClusterName=ntkrun
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={next_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=1
SchedulerParameters=sched_interval=2,batch_sched_delay=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no SLURM can be started here; "" if it can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "the daemons are started as root"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(lacking)} (apt-get install slurm-wlm munge)" if lacking else ""


class OneMachine:
    """The daemons run from `start` to `end`; `environment` makes the commands find them."""

    def __init__(self, folder: Path, cpus: int = 4) -> None:
        self.folder, self.cpus = folder, cpus
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        """Raises TimeoutError when a daemon does not come up."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        ports = _free_ports(2)
        text = CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            folder=self.folder,
            cpus=self.cpus,
            port=ports[0],
            next_port=ports[1],
        )
        (self.folder / "slurm.conf").write_text(text)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        here = {name: f"{self.folder}/munge.{name}" for name in ("socket", "pid", "log", "seed")}
        try:
            self._run(
                "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={here['socket']}",
                f"--pid-file={here['pid']}", f"--log-file={here['log']}", f"--seed-file={here['seed']}",
            )  # fmt: skip
            _until(lambda: Path(here["socket"]).exists(), 10, "munged makes its socket")
            self._run("slurmctld", "-D")
            self._run("slurmd", "-D")
            _until(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%t"), 40, "the node is idle")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        # jobs outlive the daemons that started them
        with contextlib.suppress(OSError, subprocess.TimeoutExpired, TimeoutError):
            if self.ask("squeue", "-h", "-o", "%i").strip():
                self.ask("scancel", "--signal=KILL", "--full", "--user=root")
                self.ask("scancel", "--user=root")
                _until(lambda: not self.ask("squeue", "-h", "-o", "%i").strip(), 30, "all jobs are gone")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    def logs(self) -> str:
        """The ends of the daemons' logs, for the message of a failed test."""
        return "\n".join(f"{path.name}:\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log"))

    def _run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("w") as out:
            self._daemons.append(subprocess.Popen(command, env=self.environment, stdout=out, stderr=out))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _until(condition, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain until {what}")
        time.sleep(0.2)
