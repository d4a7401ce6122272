"""The folder of configurations, and which groups and options its files make."""

from functools import cache
from pathlib import Path

import yaml

PACKAGE = Path(__file__).parent.parent
# Inside a wheel the configs lie in the package, in a checkout beside it.
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"


@cache
def options(group: str) -> frozenset[str]:
    """What a group may be: `model` has fc, cnn, ..."""
    return frozenset(path.stem for path in CONFIGS.joinpath(group).glob("*.yaml"))


@cache
def groups() -> tuple[str, ...]:
    """The groups that a command line chooses from, `model=cnn`."""
    return tuple(sorted(folder.name for folder in CONFIGS.iterdir() if folder.is_dir() and options(folder.name)))


@cache
def launchers() -> frozenset[str]:
    """Of `hydra/launcher`: ours, and the one that comes with Hydra, which runs the jobs of a sweep one after the other."""
    return options("hydra/launcher") | {"basic"}


@cache
def launcher_fields() -> frozenset[str]:
    """What can be set of a launcher: what its file sets, but for the class that Hydra builds."""
    files = [yaml.safe_load(path.read_text()) for path in CONFIGS.joinpath("hydra/launcher").glob("*.yaml")]
    return frozenset(key for file in files for key in file if not key.startswith("_"))
