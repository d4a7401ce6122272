"""From overrides such as `model.width=64` to plain settings, by Hydra's Compose API and the YAML files in configs/."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ntkrun.cli.configs import CONFIGS
from ntkrun.settings.parts import Setting, is_section, leaves, with_typed

VERSION_BASE = "1.3"  # of Hydra's defaults


def _home(path: Any) -> str:
    return str(Path(str(path)).expanduser())


# ${home:PATH} in configs/: the path with ~ written out, as `runner.store` reads results_dir
OmegaConf.register_new_resolver("home", _home, replace=True)


@dataclass(frozen=True)
class Composed:
    """Settings as nested dictionaries, and notes for the user about overrides that some runs of a figure do not follow."""

    settings: dict[str, Any]
    notes: list[str]


def config_files() -> AbstractContextManager[None]:
    """Inside it `compose_here` finds the files in configs/, and reads each of them once."""
    return hydra.initialize_config_dir(str(CONFIGS), version_base=VERSION_BASE)


def compose(overrides: list[str]) -> Composed:
    """The settings that the overrides select and change.  Raises what `errors.is_about_input` recognises."""
    with config_files():
        return compose_here(overrides)


def compose_here(overrides: list[str]) -> Composed:
    """The same inside `config_files`, or inside `hydra.main`, which may know a folder more (--config-dir)."""
    container = OmegaConf.to_container(hydra.compose("config", overrides), resolve=True)
    assert isinstance(container, dict)
    return Composed(*with_typed(container, _overridden(overrides)))  # type: ignore[arg-type]


def _overridden(overrides: list[str]) -> list[Setting]:
    """The paths of the settings that the overrides name."""
    found: list[Setting] = []
    for override in OverridesParser.create().parse_overrides(overrides):
        path, value = tuple(override.key_or_group.split(".")), override.value()
        found += [path + below for below, _ in leaves(value)] if is_section(value) else [path]  # type: ignore[arg-type]
    return found
