"""Hydra's own settings are those that ntkrun ships, whatever files --config-dir adds.

Hydra builds its launcher, callbacks and logging from the node `hydra` of what is composed, before a job of ours begins.  So
what every job would be composed of is held against what the shipped files alone give.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from omegaconf import DictConfig, OmegaConf

from ntkrun.cli.configs import CONFIGS
from ntkrun.cli.hydra.compose import config_files
from ntkrun.cli.shipped_results import refuse_writing
from ntkrun.errors import UserError

# what differs between any two command lines: what was typed, where it was called, and which option each group has
OF_THE_CALL = {"overrides", "runtime", "searchpath"}


def check_composed(folder: Path, overrides: list[str]) -> None:
    """UserError where a job of these overrides, with the files of `folder`, has other settings of Hydra than without.

    Raises what composing raises.
    """
    quoted = str(folder.resolve()).replace("\\", "\\\\").replace("'", "\\'")
    with config_files():
        shipped = _hydra_node(_composed([item for item in overrides if item.startswith("hydra")]))
        for job in _jobs(overrides, folder):
            composed = _composed([*job, f"hydra.searchpath=['file://{quoted}']"])
            if "results_dir" in composed:  # Hydra makes its folder for a sweep there
                refuse_writing([f"results_dir={composed.results_dir}", f"stage={composed.stage}"])
            found = _hydra_node(composed)
            changed = sorted(key for key in {*found, *shipped} if found.get(key) != shipped.get(key))
            if changed:
                raise UserError(
                    f"--config-dir={folder}: a file changes {', '.join(f'hydra.{key}' for key in changed)}, and files of "
                    "settings import and call nothing: name those that --cfg job shows"
                )


def _composed(overrides: list[str]) -> DictConfig:
    return hydra.compose("config", overrides, return_hydra_config=True)


def _hydra_node(composed: DictConfig) -> dict[str, Any]:
    """Hydra's own settings as they are written, nothing resolved."""
    node = OmegaConf.to_container(composed.hydra, resolve=False)
    assert isinstance(node, dict)
    job = {key: value for key, value in node["job"].items() if key != "override_dirname"}
    return {key: value for key, value in {**node, "job": job}.items() if key not in OF_THE_CALL}  # type: ignore[misc]


def _jobs(overrides: list[str], folder: Path) -> Iterator[tuple[str, ...]]:
    """The overrides of every job that reads other files than the jobs before: what is swept besides groups reads none."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    return itertools.product(*(_values(one, folder) for one in parsed))


def _values(override: Override, folder: Path) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    group, value = override.key_or_group, override.value()
    places = [place / group for place in (CONFIGS, folder)]
    if isinstance(value, Glob):
        options = {path.stem for place in places for path in place.glob("*.yaml")}
        words = value.filter(sorted(options))
    else:
        words = list(override.sweep_string_iterator())
    chosen = words if any(place.is_dir() for place in places) else words[:1]
    return [f"{override.get_key_element()}={word}" for word in chosen]
