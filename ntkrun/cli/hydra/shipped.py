"""Which settings of a command line are other than the shipped ones: claims and causes are about those."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra

from ntkrun.cli.configs import options
from ntkrun.cli.hydra.compose import compose
from ntkrun.errors import UserError
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.settings.changes import Changes, changes
from ntkrun.settings.parts import leaves, replaced_by_parts
from ntkrun.settings.runs import LOCAL_NAMES

WITH_KINDS = ("model", "optimizer")  # groups whose choices are the kinds of a section, by their names
WITHOUT_EFFECT = {"experiment", "scale", *LOCAL_NAMES}  # overrides that choose what is shipped, or move no number


def changed_settings(settings: dict[str, Any], overrides: Sequence[str]) -> Changes:
    """What the overrides, or files of --config-dir, have changed; the shipped settings are composed only where they may have.

    Raises UserError for a setting of a file that has no effect, and for an experiment that a file names and nobody knows.
    """
    typed = {item.partition("=")[0] for item in overrides}
    if typed <= WITHOUT_EFFECT and not _has_own_files():
        return {}
    load_experiment(str(settings["experiment"]))
    # an experiment of the user's own has the sizes of none
    scales = [settings["scale"], *(["paper"] if _has_own_files() else [])]
    with _shipped_files():
        shipped = [compose([f"experiment={settings['experiment']}", f"scale={scale}"]).settings for scale in scales]
    if len(shipped) > 1:
        _check_taken(settings, shipped)
    return changes(settings, shipped[0])


def beside_chosen(settings: dict[str, Any], changed: Changes) -> Changes:
    """What is changed, without what came along with another network or optimizer, which its kind tells.

    The kinds, and what is other than with these kinds and nothing else changed: that, too, no other settings have.
    """
    kinds = {
        name: pair for name, pair in changed.items() if name.endswith((*(f"{group}.name" for group in WITH_KINDS),))
    }
    chosen = {name.split(".")[-2]: str(own) for name, (_, own) in kinds.items()}
    groups = [f"{group}={kind}" for group, kind in chosen.items() if kind in options(group)]
    if not groups:
        return changed
    with _shipped_files():
        alone = compose([f"experiment={settings['experiment']}", f"scale={settings['scale']}", *groups]).settings
    return changes(settings, alone) | kinds


def lacking_sizes(settings: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """A line where a file of the user's own is run at a scale for which it has no sizes; those of a figure are the figure's."""
    chosen = next((item.partition("=")[2] for item in overrides if item.startswith("experiment=")), "")
    scale, figure = settings["scale"], settings["experiment"]
    if scale == "paper" or chosen in experiment_names() or not _has_own_files():
        return []
    if figure not in experiment_names():  # told by `changed_settings`
        return []
    if chosen in GlobalHydra.instance().config_loader().get_group_options(f"sizes/{scale}"):
        return []
    return [
        f"warning: experiment={chosen} has no sizes of scale={scale} and runs with those of its file, the paper's where it names "
        f"none: write sizes/{scale}/{chosen}.yaml beside it, with `defaults: [{scale}/{figure}]` for those of {figure}"
    ]


def with_asked_width(settings: dict[str, Any], changed: Changes) -> dict[str, Any]:
    """The settings in which the width of the user's own network is its module's field, where it was asked for.

    That of a size is for networks that have one; another is refused where the module has no such field.
    """
    model = settings.get("model")
    if not isinstance(model, dict) or model.get("name") != "own" or model.get("width") is None:
        return settings
    if "model.width" not in changed or "width" in (model.get("args") or {}):
        return settings
    asked = {"width": None, "args": {**(model.get("args") or {}), "width": model["width"]}}
    return settings | {"model": model | asked}


def _check_taken(settings: dict[str, Any], shipped: Sequence[dict[str, Any]]) -> None:
    """UserError for a setting of a file that every part of the figure replaces; another network or data set brings its own."""
    ours, theirs = dict(leaves(settings)), [dict(leaves(one)) for one in shipped]
    parts = {name: dict(leaves(part)) for name, part in settings.get("parts", {}).items() if part is not None}
    for path in sorted(replaced_by_parts(settings) & ours.keys()):
        name = (path[0], "name")
        of_another = any(one.get(name) != ours.get(name) for one in theirs)
        if of_another or ours[path] in [one.get(path) for one in theirs] + [part[path] for part in parts.values()]:
            continue
        setting = ".".join(path)
        raise UserError(
            f"{setting}={ours[path]} of your file changes nothing: every part has a {setting} of its own; write it there, "
            f"parts.{next(iter(parts))}.{setting}"
        )


@contextlib.contextmanager
def _shipped_files() -> Iterator[None]:
    """Inside it a job of Hydra's may compose anew, from the shipped files alone."""
    state = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        if state is not None:
            GlobalHydra.instance().initialize(state)


def _has_own_files() -> bool:
    """Whether the job that Hydra runs reads a folder of --config-dir."""
    hydra = GlobalHydra.instance()
    return hydra.is_initialized() and any(one.provider == "command-line" for one in hydra.config_loader().get_sources())
