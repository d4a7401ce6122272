"""One run of one experiment, from its overrides to its exit code."""

import sys
from collections.abc import Sequence

from ntkrun.cli.all_figures import Outcome
from ntkrun.cli.auto_scale import scale_of_device
from ntkrun.cli.hydra.compose import compose_here
from ntkrun.cli.hydra.shipped import changed_settings, lacking_sizes, with_asked_width
from ntkrun.cli.stages import execute, join
from ntkrun.cli.variant import variant_of
from ntkrun.errors import ComputeForbiddenError
from ntkrun.settings.variant import Variant


def run_job(arguments: list[str], outcome: Outcome, flags: Sequence[str] = ()) -> int:
    """Compose the settings and carry out their stage; `outcome` is kept up to date.  Raises UserError for bad input.

    flags  of the command line, which the arguments do not hold: where the files are that they were composed from

    To be called inside `config_files` or `hydra.main`.
    The other processes of a distributed run are joined before JAX is asked for its devices, which `scale=auto` does.
    """
    found = compose_here(arguments)
    join(found.settings)
    scale, chosen_by = found.settings["scale"], "as asked"
    overrides = [item for item in arguments if not item.startswith("scale=")]
    if scale == "auto":
        scale = scale_of_device()
        chosen_by = "auto: no accelerator" if scale == "cpu" else "auto: accelerator found"
        found = compose_here([*overrides, f"scale={scale}"])
    for note in [*found.notes, *lacking_sizes(found.settings, arguments)]:
        print(note, file=sys.stderr)
    command = " ".join(["ntkrun", *overrides, f"scale={scale}"])
    changed = changed_settings(found.settings, overrides)
    settings = with_asked_width(found.settings, changed)

    def run() -> Variant:
        return variant_of(settings, changed, [*flags, *overrides])

    try:
        return execute(settings, changed, run, chosen_by, command, outcome)
    except ComputeForbiddenError as error:
        outcome.absent = True
        if not outcome.experiment:
            raise
        print(f"left out: {error}", file=sys.stderr)  # one of several: the others go on
        return 2
