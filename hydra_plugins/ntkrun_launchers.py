"""Where Hydra looks for launchers: it takes only classes whose own module lies in the package `hydra_plugins`."""

from ntkrun.cli.hydra import launchers


class NtkrunLocalLauncher(launchers.LocalLauncher):
    """hydra/launcher=local"""


class NtkrunSlurmLauncher(launchers.SlurmLauncher):
    """hydra/launcher=slurm"""
