"""From overrides such as `model.width=64` to plain settings, by Hydra's Compose API and the YAML files in configs/."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from ntkrun.cli.configs import CONFIGS
from ntkrun.errors import UserError
from ntkrun.settings.fields import Section
from ntkrun.settings.models import ModelSettings, of_chosen_network
from ntkrun.settings.optimizers import OptimizerSettings, Schedule, of_chosen_schedule
from ntkrun.settings.parts import Setting, is_section, leaves, replaced, with_typed

VERSION_BASE = "1.3"  # of Hydra's defaults
# sections of which there are several kinds, each chosen by a name
KINDS_OF: dict[tuple[str, ...], type[Section]] = {
    ("model",): ModelSettings,
    ("optimizer",): OptimizerSettings,
    ("optimizer", "schedule"): Schedule,
}


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
    typed = OverridesParser.create().parse_overrides(overrides)
    _check_consent(container, typed)
    _check_kinds(container)
    names = _overridden(typed)
    container = _with_classes(container, overrides, names)
    return Composed(*with_typed(_with_network(_with_schedule(container, names), names), names))  # type: ignore[arg-type]


def _with_classes(settings: dict[Any, Any], overrides: list[str], typed: list[Setting]) -> dict[Any, Any]:
    """The settings without the classes that the file of a size names, where another data set was typed: they are of its own."""
    data, place = settings.get("data"), ("data", "classes")
    chosen = {("data",), ("data", "name"), ("data", "path")} & set(typed)
    file = CONFIGS / "sizes" / str(settings.get("scale")) / f"{settings.get('experiment')}.yaml"
    if not chosen or place in typed or not isinstance(data, dict) or not file.is_file():
        return settings
    of_the_size = OmegaConf.select(OmegaConf.load(file), ".".join(place))
    if of_the_size is None or list(of_the_size) != data.get("classes"):
        return settings
    without = hydra.compose("config", [*overrides, "~sizes"])
    return replaced(settings, place, OmegaConf.to_container(without.data, resolve=True)["classes"])  # type: ignore[index,call-overload]


def _with_schedule(settings: dict[Any, Any], typed: list[Setting]) -> dict[Any, Any]:
    """The settings without what a file has set of another schedule than the one that was typed; what was typed stays."""
    place = ("optimizer", "schedule")
    section = (settings.get("optimizer") or {}).get("schedule")
    if (*place, "name") not in typed or not isinstance(section, dict):
        return settings
    kept = {name: value for name, value in section.items() if (*place, name) in typed}
    return replaced(settings, place, of_chosen_schedule(section) | kept)


def _with_network(settings: dict[Any, Any], typed: list[Setting]) -> dict[Any, Any]:
    """The settings without what a file has set of another kind of network than the one that was typed; what was typed stays."""
    section = settings.get("model")
    if not {("model",), ("model", "name")} & set(typed) or not isinstance(section, dict):
        return settings

    def kept(model: Any, path: Setting) -> Any:
        if not isinstance(model, dict) or (path != ("model",) and "name" in model):
            return model
        return of_chosen_network(model, str(section.get("name"))) | {
            k: v for k, v in model.items() if (*path, k) in typed
        }

    parts = {
        name: part | {"model": kept(part["model"], ("parts", name, "model"))}
        if isinstance(part, dict) and "model" in part
        else part
        for name, part in (settings.get("parts") or {}).items()
    }
    found = settings | {"model": kept(section, ("model",))}
    return found | {"parts": parts} if parts else found


def _check_consent(settings: dict[Any, Any], typed: list[Override]) -> None:
    """UserError where a network of the user's may be imported and nobody has typed so."""
    parts = settings.get("parts")
    told_by_part = isinstance(parts, dict) and any(isinstance(p, dict) and "allow_custom" in p for p in parts.values())
    consent = any(one.key_or_group == "allow_custom" and one.value() is True for one in typed)
    if told_by_part or (settings.get("allow_custom") not in (None, False) and not consent):
        raise UserError("allow_custom counts where it is typed, by itself: add allow_custom=true to the command line")


def _check_kinds(settings: dict[Any, Any]) -> None:
    """UserError where kinds of networks, optimizers or schedules are swept that have settings of their own: one section cannot
    hold those of all."""
    for path, base in KINDS_OF.items():
        section: Any = reduce(lambda found, key: (found or {}).get(key), path, settings)
        names = section.get("name") if isinstance(section, dict) else None
        if not isinstance(names, list) or len(names) < 2:
            continue
        kinds = {
            word: kind for kind in base.__subclasses__() for word in get_args(kind.model_fields["name"].annotation)
        }
        of_each = {
            (frozenset(kind.model_fields), getattr(kind, "has_momentum", False))
            for kind in map(kinds.get, map(str, names))
            if kind is not None
        }
        if len(of_each) > 1:
            place = ".".join(path)
            raise UserError(
                f"{place}.name=[{','.join(map(str, names))}]: these kinds have settings of their own, and a run has one of them: "
                f"type {' and '.join(f'{place}={name}' for name in names)} in calls of their own; stage=compare puts their runs "
                "side by side"
            )


def _overridden(overrides: list[Override]) -> list[Setting]:
    """The paths of the settings that the overrides name."""
    found: list[Setting] = []
    for override in overrides:
        path, value = tuple(override.key_or_group.split(".")), override.value()
        found += [path + below for below, _ in leaves(value)] if is_section(value) else [path]  # type: ignore[arg-type]
    return found
