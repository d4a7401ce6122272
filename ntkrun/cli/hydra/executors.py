"""What starts jobs in other processes: submitit's executors, made from the settings of a launcher."""

from typing import Any

from ntkrun.errors import UserError

NEEDS = "hydra/launcher=slurm and hydra/launcher=local need submitit: pip install 'ntkrun[cluster]'"
# submitit's names for what every kind of executor has; those of one kind begin with its name
OF_EVERY_EXECUTOR = {
    "name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node", "stderr_to_stdout",
}  # fmt: skip


def executor_of(kind: str, params: dict[str, Any], folder: str | None = None) -> Any:
    """Submitit's executor, "local" or "slurm", for the settings of a launcher; `folder`: for its logs, in place of theirs.

    Raises UserError for settings that it does not take, and where the machine has no such executor.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError(NEEDS) from error
    given = {name: value for name, value in params.items() if value is not None}
    logs, timeouts = given.pop("submitit_folder"), given.pop("max_num_timeout")
    try:
        executor = submitit.AutoExecutor(folder=folder or logs, cluster=kind, **{f"{kind}_max_num_timeout": timeouts})
        executor.update_parameters(
            **{name if name in OF_EVERY_EXECUTOR else f"{kind}_{name}": value for name, value in given.items()}
        )
    # no sbatch; a parameter of another type (submitit asserts these) or name
    except (RuntimeError, AssertionError, NameError, ValueError, TypeError) as error:
        raise UserError(
            f"hydra/launcher={kind}: nothing was submitted: {' '.join(str(error).split())[:300]}"
        ) from error
    return executor
