"""Sweeps over many processes through Hydra's submitit launcher: hydra/launcher=slurm and hydra/launcher=local.

A job that is pre-empted or out of time is requeued with its original arguments: the runner finds the checkpoint of the
cell under way by itself.  One that fails stops no other, and is named at the end with its logs.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, cast

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ntkrun.cli.all_figures import Outcome
from ntkrun.cli.hydra.executors import NEEDS, executor_of
from ntkrun.cli.hydra.sweep import Sweep
from ntkrun.errors import UserError

try:
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher  # pyright: ignore[reportAssignmentType]
except ImportError:

    class BaseSubmititLauncher(Launcher):  # pyright: ignore[reportRedeclaration]
        """In place of the one that is not installed."""

        config: DictConfig | None = None
        task_function: TaskFunction | None = None

        def __init__(self, **params: Any) -> None:
            self.params = params

        def __call__(self, *_: Any, **__: Any) -> JobReturn:
            raise UserError(NEEDS)

        def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
            raise UserError(NEEDS)


class SweepLauncher(BaseSubmititLauncher):
    """Submits all jobs of a sweep, waits for every one, and says how each ended."""

    _EXECUTOR = "abstract"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Raises UserError when no job can be submitted."""
        assert isinstance(self.task_function, Sweep)
        jobs = self._submit(job_overrides, initial_job_idx)
        names = [" ".join(filter_overrides(overrides)) for overrides in job_overrides]
        for job, name in zip(jobs, names, strict=True):
            print(f"job {job.job_id}: {name}\n    logs in {job.paths.folder}", flush=True)
        returned, failed = [], []
        try:
            for job, name in zip(jobs, names, strict=True):
                outcome, reason = _outcome(job)
                self.task_function.note(Outcome(code=1) if outcome is None else outcome.return_value)
                if outcome is not None:
                    returned.append(outcome)
                if reason:
                    failed.append(f"job {job.job_id} ({name}): {reason}; see {job.paths.stderr}")
        except KeyboardInterrupt:
            print("no longer waiting; the jobs go on by themselves (scancel ends them)", file=sys.stderr)
            sys.exit(130)
        for line in failed:
            print(f"failed: {line}", file=sys.stderr)
        if failed:
            print("what has finished is kept: the same command runs the rest, stage=report draws what is there")
        print(f"{len(jobs) - len(failed)} of {len(jobs)} jobs finished, {len(failed)} failed")
        return returned

    def _submit(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
        from submitit.core.utils import FailedJobError

        assert self.config is not None
        sweep = Path(str(self.config.hydra.sweep.dir))
        if set(str(sweep)) & set("=%,"):
            raise UserError(f"SLURM cannot write logs below {sweep}: choose a results_dir without = , and %")
        sweep.mkdir(parents=True, exist_ok=True)
        executor = executor_of(self._EXECUTOR, self.params)
        try:
            jobs = [
                (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", Singleton.get_state())
                for number, overrides in enumerate(job_overrides, start=first)
            ]
            return executor.map_array(cast(Callable[..., Any], self), *zip(*jobs, strict=True))
        # no sbatch, or one that refuses the partition, the account, ...
        except (RuntimeError, FailedJobError) as error:
            raise UserError(f"nothing was submitted: {' '.join(str(error).split())[:300]}") from error


def _outcome(job: Any) -> tuple[JobReturn | None, str]:
    """What a job returned once it is over, and why it failed ("" if it did not)."""
    try:
        (outcome,) = job.results()[:1]
        code = outcome.return_value.code
    # whatever the job raised, or was lost with, arrives here
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return None, (lines[-1] if lines else type(error).__name__).strip()[:200]
    return outcome, f"exit code {code}" if code else ""


class LocalLauncher(SweepLauncher):
    _EXECUTOR = "local"


class SlurmLauncher(SweepLauncher):
    _EXECUTOR = "slurm"

    def __call__(self, *args: Any, **kwargs: Any) -> JobReturn:
        """In the job: SLURM ends all of its processes once it has taken a request to requeue it, `scontrol` itself too."""
        from submitit import JobEnvironment

        announced = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        requeue = signal.getsignal(announced)

        def requeue_and_leave(signum: int, frame: FrameType | None) -> None:
            try:
                cast(Callable[..., None], requeue)(signum, frame)
            except subprocess.CalledProcessError as error:
                if error.returncode >= 0:  # refused, rather than killed by a signal
                    raise
                sys.exit(-1)

        if callable(requeue):
            signal.signal(announced, requeue_and_leave)
        return super().__call__(*args, **kwargs)
