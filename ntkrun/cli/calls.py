"""What one command line calls: one experiment, what its cells will take, or all named experiments in one go."""

import sys

from ntkrun.cli.all_figures import ALL, Outcome, only
from ntkrun.cli.auto_scale import scale_of_device
from ntkrun.cli.exchange import exchange
from ntkrun.cli.hydra.compose import Composed, compose, config_files
from ntkrun.cli.hydra.errors import is_about_input, one_line
from ntkrun.cli.hydra.shipped import changed_settings
from ntkrun.cli.hydra.sweep import run_hydra
from ntkrun.cli.job import run_job
from ntkrun.cli.messages import complain, debugging
from ntkrun.cli.origins_text import asks_for_settings, origins_text
from ntkrun.cli.stages import expected
from ntkrun.cli.timed import Computed, run_within
from ntkrun.cli.variant import variant_of
from ntkrun.settings.stages import has_time


def speaks_to_hydra(arguments: list[str]) -> bool:
    """Whether flags (-m, --cfg, ...) or Hydra's own settings are among the arguments."""
    return any(item.startswith(("-", "hydra")) for item in arguments)


def run_once(arguments: list[str], outcome: Outcome) -> int:
    """One experiment, or one sweep of Hydra's; its exit code."""
    try:
        if speaks_to_hydra(arguments):
            code = run_hydra(arguments, outcome)
            if code == 0 and asks_for_settings(arguments):
                print(origins_text(arguments))
            return code
        with config_files():
            return run_job(arguments, outcome)
    except Exception as error:
        return _answered(error, arguments)


def expected_seconds(arguments: list[str]) -> tuple[str, dict[str, float]]:
    """(experiment that computes, seconds by cell) of one figure's missing cells.

    Nothing for jobs in other processes, and for settings that the run itself will refuse.
    """
    if speaks_to_hydra(arguments):
        return "", {}
    try:
        return expected(_composed(arguments).settings)
    except Exception as error:
        if not is_about_input(error):
            raise
        return "", {}


def run_together(arguments: list[str], names: list[str], began: float) -> Computed:
    """One call for all figures that are named, and not one for each.

    began  when the command line was called, by `time.monotonic`
    """
    everything = ALL in arguments
    if everything and "stage=merge" in arguments:  # it takes in what is there, whatever that would be composed of
        names = names[:1]
    try:
        found = [_composed(only(name, arguments)) for name in names] or [_composed(arguments)]
        for note in dict.fromkeys(note for one in found for note in one.notes):
            print(note, file=sys.stderr)
        settings = [one.settings for one in found]
        if has_time(arguments):
            with config_files():
                changed = [changed_settings(one, arguments) for one in settings]
            variants = [variant_of(*pair, arguments) for pair in zip(settings, changed, strict=True)]
            return run_within(settings, variants, began)
        scaled = [item for item in arguments if not item.startswith("scale=")] + [f"scale={settings[0]['scale']}"]
        return Computed(exchange(settings, scaled, everything))
    except Exception as error:
        return Computed(_answered(error, arguments))


def _composed(arguments: list[str]) -> Composed:
    """The settings of one figure, `scale=auto` replaced by what it stands for here."""
    overrides = [item for item in arguments if not item.startswith("scale=")]
    given = [item for item in arguments if item.startswith("scale=") and item != "scale=auto"]
    return compose([*overrides, *(given or [f"scale={scale_of_device()}"])])


def _answered(error: Exception, arguments: list[str]) -> int:
    """Say in one line what is wrong with the input; any other error is raised again."""
    if debugging() or isinstance(error, BrokenPipeError) or not is_about_input(error):
        raise error
    return complain(one_line(error, arguments))
