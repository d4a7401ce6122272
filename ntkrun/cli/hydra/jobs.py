"""The jobs of a sweep (-m), looked at before Hydra writes its folders and starts the first."""

import tempfile
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ntkrun.cli.hydra.compose import compose_here, config_files
from ntkrun.cli.hydra.executors import executor_of
from ntkrun.cli.stages import cells_of

OF_OURS = "hydra_plugins.ntkrun_launchers."


def check_jobs(overrides: list[str]) -> None:
    """Raises what `errors.is_about_input` recognises for a launcher that cannot start and for settings of any job that a
    run would refuse."""
    with config_files():
        loader = GlobalHydra.instance().config_loader()
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(overrides)
        jobs = [list(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
        _check_launcher(hydra.compose("config", jobs[0], return_hydra_config=True).hydra.launcher)
        for job in jobs:
            cells_of(compose_here([item for item in job if not item.startswith("hydra")]).settings)


def _check_launcher(config: Any) -> None:
    told: Any = OmegaConf.to_container(config, resolve=True)
    kind = str(told.pop("_target_"))
    if kind.startswith(OF_OURS):
        with tempfile.TemporaryDirectory() as folder:
            executor_of(kind.removeprefix(OF_OURS + "Ntkrun").removesuffix("Launcher").lower(), told, folder)
