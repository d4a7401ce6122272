"""Reads the command line and ends with an exit code; `ntkrun.cli.entry` comes before it."""

import sys

from ntkrun import __version__
from ntkrun.cli.all_figures import ALL, Outcome, run_all, several
from ntkrun.cli.arguments import asks_for_text, check_arguments, completed, with_scale_shown
from ntkrun.cli.auto_scale import scale_of_device
from ntkrun.cli.calls import expected_seconds, run_once, run_together
from ntkrun.cli.entry import guarded
from ntkrun.cli.help_text import help_text
from ntkrun.cli.messages import complain, named_as_typed
from ntkrun.cli.shipped_results import refuse_writing
from ntkrun.cli.timed import LEFT_OVER, Computed
from ntkrun.cli.typed_paths import with_paths_quoted
from ntkrun.devices.numerics import pin
from ntkrun.devices.platform import tell_xla
from ntkrun.errors import UserError
from ntkrun.experiments.figures import figure_names
from ntkrun.settings.stages import asked_for, drawing, has_time, lists


def main() -> None:
    """Exit code 0: done, 1: a claim's or our own failure, 2: bad input, 3: cells left when the minutes were over,
    128 + n: ended by signal n, or (n = 13) because nobody reads any more what is said."""
    sys.exit(guarded(sys.argv[1:]))


def run(arguments: list[str], began: float) -> int:
    """Carry out a command line; its exit code.  began: when it was called, by `time.monotonic`."""
    if "--version" in arguments:
        print(f"ntkrun {__version__}")
        return 0
    try:
        check_arguments(arguments)
        if not asks_for_text(arguments) and not {"--cfg", "-c"} & set(arguments):
            refuse_writing(arguments)
    except UserError as error:
        return complain(error)
    if {"--help", "-h"} & set(arguments):
        print(help_text(), end="")
        return 0
    arguments = with_paths_quoted(arguments)
    if lists(arguments):
        from ntkrun.cli.listing import list_runs  # brings pandas, which --help can do without

        return list_runs(arguments)
    try:
        found = completed(arguments)
    except UserError as error:
        return complain(error)
    with named_as_typed(arguments):
        return _carry_out(found, began)


def _carry_out(arguments: list[str], began: float) -> int:
    """The same of arguments that were completed, once it is known that they are to be carried out."""
    tell_xla()
    pin()
    arguments = with_scale_shown(arguments, scale_of_device)
    names = several(arguments, figure_names)
    shown = any(item.startswith("-") for item in arguments)  # settings or help
    if (asked_for(arguments) or has_time(arguments)) and not shown:
        computed = run_together(arguments, names, began)
        code = computed.code
        if not has_time(arguments) or code not in (0, 1, LEFT_OVER) or "stage=run" in arguments or not computed.stored:
            return code
        drawn = _each(drawing(arguments), names, began, computed)
        return code or drawn
    if names and asks_for_text(arguments):
        return run_once([item for item in arguments if item != ALL], Outcome())
    return _each(arguments, names, began)


def _each(arguments: list[str], names: list[str], began: float, computed: Computed | None = None) -> int:
    """One figure after the other; the experiment itself where only one is named.  computed: what one call has before."""

    def once(arguments: list[str], outcome: Outcome) -> int:
        if computed:
            outcome.fingerprints = computed.fingerprints
            outcome.ran = computed.ran.get(outcome.experiment, 0)
            outcome.seconds = computed.seconds.get(outcome.experiment, 0.0)
        return run_once(arguments, outcome)

    return run_all(arguments, names, once, expected_seconds, began) if names else once(arguments, Outcome())
