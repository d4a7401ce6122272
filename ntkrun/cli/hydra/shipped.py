"""Which settings of a command line are other than the shipped ones: claims and causes are about those."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra

from ntkrun.cli.hydra.compose import compose
from ntkrun.settings.changes import Changes, changes
from ntkrun.settings.runs import LOCAL_NAMES

WITHOUT_EFFECT = {"experiment", "scale", *LOCAL_NAMES}  # overrides that choose what is shipped, or move no number


def changed_settings(settings: dict[str, Any], overrides: Sequence[str]) -> Changes:
    """What the overrides, or files of --config-dir, have changed; the shipped settings are composed only where they may have."""
    typed = {item.partition("=")[0] for item in overrides}
    if typed <= WITHOUT_EFFECT and not _has_own_files():
        return {}
    shipped = [f"experiment={settings['experiment']}", f"scale={settings['scale']}"]
    with _shipped_files():
        return changes(settings, compose(shipped).settings)


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
