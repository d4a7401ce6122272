"""The command line: Hydra composes the settings, the runner runs, the report draws.  Hydra is known only here."""

import atexit
import gc
import os
import sys
import time
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ntkrun import __version__
from ntkrun.cli.all_figures import ALL, Outcome, only, run_all, several
from ntkrun.cli.arguments import asks_for_text, check_arguments, completed, resolve_scale, with_scale_shown
from ntkrun.cli.configs import CONFIGS
from ntkrun.cli.exchange import exchange
from ntkrun.cli.messages import closed_lists, complain, debugging, dotted, is_about_input, one_line
from ntkrun.cli.stages import execute, expected, join
from ntkrun.cli.timed import LEFT_OVER, run_within
from ntkrun.devices.float64 import switch_on
from ntkrun.devices.platform import tell_xla
from ntkrun.errors import UserError
from ntkrun.experiments.figures import figure_names
from ntkrun.settings.parts import Setting, is_section, leaves, with_typed
from ntkrun.settings.stages import asked_for, drawing, has_time

OmegaConf.register_new_resolver("closed_lists", closed_lists)  # the help text in configs/config.yaml holds it

exit_codes: list[int] = []
outcomes: list[Outcome] = []


def typed(overrides: list[str]) -> list[Setting]:
    """The paths of the settings that a command line names."""
    found: list[Setting] = []
    for override in OverridesParser.create().parse_overrides(overrides):
        path, value = tuple(override.key_or_group.split(".")), override.value()
        found += [path + below for below, _ in leaves(value)] if is_section(value) else [path]  # type: ignore[arg-type]
    return found


def settled(config: DictConfig, overrides: list[str]) -> tuple[dict[str, Any], list[str]]:
    """(settings, what to tell about them); nothing below sees Hydra's objects."""
    return with_typed(OmegaConf.to_container(config, resolve=True), typed(overrides))  # type: ignore[arg-type]


def compose(overrides: list[str]) -> dict[str, Any]:
    return settled(hydra.compose("config", overrides), overrides)[0]


@hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="config")
def task(config: DictConfig) -> Outcome:
    """One job: a single run, or one of a multirun."""
    tell_xla()  # in a process of its own a job has no `main`, and nobody's outcome
    switch_on()
    outcome = outcomes[-1] if outcomes else Outcome()
    try:
        hydra_config = HydraConfig.get()
        overrides = [item for item in hydra_config.overrides.task if not item.startswith("scale=")]
        settings, notes = settled(config, overrides)
        join(settings)
        scale, chosen_by = config.scale, "as asked"
        if scale == "auto":
            scale = resolve_scale()
            chosen_by = "auto: no accelerator" if scale == "cpu" else "auto: accelerator found"
            settings, notes = settled(hydra.compose("config", [*overrides, f"scale={scale}"]), overrides)
        for note in notes:
            print(note, file=sys.stderr)

        def paper() -> dict[str, Any]:
            return compose([f"experiment={settings['experiment']}", "scale=paper"])

        code = execute(settings, paper, chosen_by, command(overrides, scale), outcome)
    except (UserError, OmegaConfBaseException) as error:
        if debugging() and HydraConfig.get().mode is RunMode.RUN:
            raise
        code = complain(one_line(error, arguments=sys.argv[1:]))
    if code > 128:
        sys.exit(code)  # a signal ends a multirun, too
    exit_codes.append(code)
    outcome.code = code
    return outcome


def command(overrides: list[str], scale: str) -> str:
    return " ".join(["ntkrun", *overrides, f"scale={scale}"])


def known_keys() -> list[str]:
    """Dotted names of all settings, for suggestions."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = compose([])
    return dotted(settings)


def composed(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """(settings of one figure with the scale resolved, what to tell about them)."""
    given = [item for item in arguments if item.startswith("scale=") and item != "scale=auto"]
    overrides = [item for item in arguments if not item.startswith("scale=")]
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return settled(hydra.compose("config", [*overrides, *(given or [f"scale={resolve_scale()}"])]), overrides)


def expect(arguments: list[str]) -> tuple[str, dict[str, float]]:
    """What the cells of one figure will take; nothing for jobs elsewhere, and for what its own turn will refuse."""
    if any(item.startswith(("-", "hydra")) for item in arguments):
        return "", {}
    try:
        return expected(composed(arguments)[0])
    except Exception as error:
        if not is_about_input(error):
            raise
        return "", {}


def together(arguments: list[str], names: list[str], began: float) -> int:
    """One call for all figures that are named, and not one for each; its exit code."""
    everything = ALL in arguments
    if everything and "stage=merge" in arguments:  # it takes in what is there, whatever that would be composed of
        names = names[:1]
    try:
        found = [composed(only(name, arguments)) for name in names] or [composed(arguments)]
        for note in dict.fromkeys(note for _, notes in found for note in notes):
            print(note, file=sys.stderr)
        if has_time(arguments):
            return run_within([settings for settings, _ in found], began)
        scaled = [item for item in arguments if not item.startswith("scale=")] + [f"scale={found[0][0]['scale']}"]
        return exchange([settings for settings, _ in found], scaled, everything)
    except Exception as error:
        if debugging() or not is_about_input(error):
            raise
        return complain(one_line(error, known_keys, arguments))


def once(arguments: list[str], outcome: Outcome) -> int:
    """One call of Hydra, for one experiment or one multirun; its exit code."""
    sys.argv = [sys.argv[0], *arguments]
    exit_codes.clear()
    outcomes.append(outcome)
    GlobalHydra.instance().clear()  # an earlier call that ended in an error leaves it
    try:
        task()
    except Exception as error:
        if debugging() or not is_about_input(error):
            raise
        return complain(one_line(error, known_keys, arguments))
    return max(exit_codes, default=0)


def main() -> None:
    """Entry point: exit code 0 done, 1 a claim's or our own failure, 2 bad input, 3 cells left when the minutes were over,
    128 + n ended by signal n."""
    atexit.register(gc.freeze)  # no search for garbage in what the end of the process frees anyway: half a second
    arguments, began = sys.argv[1:], time.monotonic()
    if "--version" in arguments:
        print(f"ntkrun {__version__}")
        return
    try:
        check_arguments(arguments)
    except UserError as error:
        sys.exit(complain(error))
    tell_xla()
    switch_on()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions arrive here instead of being printed over many lines
    arguments = with_scale_shown(completed(arguments), resolve_scale)
    sys.argv = [sys.argv[0], *arguments]
    names = several(arguments, figure_names)
    shown = any(item.startswith("-") for item in arguments)  # settings or help
    if (asked_for(arguments) or has_time(arguments)) and not shown:
        code = together(arguments, names, began)
        if not has_time(arguments) or code not in (0, 1, LEFT_OVER) or "stage=run" in arguments:
            sys.exit(code)
        drawn = run_all(drawing(arguments), names, once, expect) if names else once(drawing(arguments), Outcome())
        sys.exit(code or drawn)
    if names and not asks_for_text(arguments):
        sys.exit(run_all(arguments, names, once, expect))
    sys.exit(once([item for item in arguments if item != ALL], Outcome()))
