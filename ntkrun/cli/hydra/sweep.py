"""`hydra.main`, for what only it can do: sweeps (-m), --cfg, --help, --info, --config-dir and settings of Hydra itself."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ntkrun.cli.all_figures import Outcome
from ntkrun.cli.arguments import config_dir, settings_among
from ntkrun.cli.configs import CONFIGS
from ntkrun.cli.hydra.as_shipped import check_composed
from ntkrun.cli.hydra.compose import VERSION_BASE
from ntkrun.cli.hydra.errors import one_line
from ntkrun.cli.hydra.jobs import check_jobs
from ntkrun.cli.job import run_job
from ntkrun.cli.messages import complain
from ntkrun.devices.numerics import pin
from ntkrun.devices.platform import tell_xla
from ntkrun.errors import UserError

# flags that are followed by their value
TAKE_A_VALUE = {"--cfg", "-c", "--package", "-p", "--config-dir", "-cd", "--info", "-i"}


def run_hydra(arguments: list[str], outcome: Outcome) -> int:
    """Call `hydra.main` with these arguments; the largest exit code of its jobs, whose results are added to `outcome`."""
    flags, overrides = apart(arguments)
    if (folder := config_dir(arguments)) is not None:
        check_composed(folder, settings_among(arguments))
    if flags in (["-m"], ["--multirun"]):
        check_jobs(overrides)
    sweep = Sweep(outcome)
    with _command_line([*flags, *overrides]):  # Hydra wants overrides side by side
        hydra.main(version_base=VERSION_BASE, config_path=str(CONFIGS), config_name="config")(sweep)()
    return sweep.exit_code


def apart(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(flags with their values, overrides), which may be typed in any order."""
    flags, overrides, rest = [], [], iter(arguments)
    for argument in rest:
        (flags if argument.startswith("-") else overrides).append(argument)
        if argument in TAKE_A_VALUE:
            flags += [value for value in [next(rest, None)] if value is not None]
    return flags, overrides


class Sweep:
    """The function that Hydra calls with the settings of each job of a sweep, and what became of the jobs.

    A job in this process is noted by the call itself.  A launcher that runs jobs in other processes, each with a copy of
    this object, notes what they return.
    """

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.exit_code = 0

    def note(self, job: Outcome) -> None:
        """Add what became of one job."""
        self.outcome.add(job)
        self.exit_code = max(self.exit_code, job.code or 0)

    def __call__(self, config: DictConfig) -> Outcome:
        tell_xla()  # a job in a process of its own does not come through `ntkrun.cli.main`
        pin()
        job, overrides = Outcome(), list(HydraConfig.get().overrides.task)
        try:
            job.code = run_job(overrides, job, _config_dir())
        except (UserError, OmegaConfBaseException) as error:
            job.code = complain(one_line(error, overrides))
        except BrokenPipeError:  # nobody reads the rest
            raise
        except Exception:
            traceback.print_exc(file=sys.stderr)
            job.code = 1
        self.note(job)
        if job.code > 128:
            sys.exit(job.code)  # a signal ends the other jobs of the sweep, too
        return job


def _config_dir() -> list[str]:
    """The flag --config-dir of the command line, if there is one."""
    sources = HydraConfig.get().runtime.config_sources
    return [
        item
        for one in sources
        if one.provider == "command-line"
        for item in ("--config-dir", os.path.relpath(one.path))
    ]


@contextlib.contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    """Show `hydra.main` these arguments: it takes none but reads sys.argv, and prints errors unless HYDRA_FULL_ERROR is set."""
    before, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = [before[0], *arguments], "1"
    try:
        yield
    finally:
        sys.argv = before
        os.environ.pop("HYDRA_FULL_ERROR")
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error
