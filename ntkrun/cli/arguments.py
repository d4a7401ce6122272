"""What a command line may ask of Hydra: settings, and how jobs are launched; never what is imported or called.

Hydra builds its launcher, sweeper, callbacks and logging from names in the configuration.  Here these names come from
ntkrun's own files alone: command lines and the files of --config-dir set everything else.  The settings themselves name
nothing that is built: they are validated against closed lists (`ntkrun.settings`), and unknown keys are refused.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from ntkrun.cli.completion import FLAGS as COMPLETION
from ntkrun.cli.configs import groups, launcher_fields, launchers, options
from ntkrun.cli.settings_files import check_files
from ntkrun.errors import UserError
from ntkrun.experiments.figures import experiment_names
from ntkrun.settings.custom_source import registered
from ntkrun.settings.runs import KINDS
from ntkrun.settings.schema import described
from ntkrun.settings.stages import asked_for, asks_any_run, has_time, stages_at_once

SHOWN = {"job", "hydra", "all"}
# flag -> the values that it takes (None: any), or no entry in VALUES for one that takes none
PLAIN_FLAGS = {"--help", "-h", "--hydra-help", "--version", "--multirun", "-m", "--resolve"}
VALUES: dict[str, set[str] | None] = {
    "--cfg": SHOWN,
    "-c": SHOWN,
    "--package": None,
    "-p": None,
    "--config-dir": None,
    "-cd": None,
}
INFO = {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}
# settings that are there only for some networks of the user's, and some schedules
ADDED = ("model.args.", "model.apply_arguments.", "optimizer.schedule")
OF_A_PART = re.compile(r"parts\.\w+\.data\.path")  # of a part with a data set of its own
# what a value of a launcher may consist of: it ends up in a job script
HARMLESS = re.compile(r"[\w.,:=@%/+\[\]{}()&|*$ '\"-]*")


def check_arguments(arguments: list[str]) -> None:
    """UserError for a flag that does not exist here, an override of what Hydra would import or call, or no experiment."""
    rest, given = iter(arguments), set()
    for argument in rest:
        if argument.startswith("-"):
            _check_flag(argument, rest)
            continue
        key = argument.partition("=")[0]
        if key in given:
            raise UserError(f"{key} is given twice: keep one of the two{_to_run_both(key)}")
        given.add(key)
        if "hydra" in key.lower():
            _check_hydra(key, argument)
        if argument.startswith("experiment=["):
            raise UserError(f"{argument}: several are named without brackets, experiment={argument[12:].strip('[]')}")
        if key == "experiment" and "," in argument and not {"-m", "--multirun", "--config-dir", "-cd"} & set(arguments):
            _check_list(argument.partition("=")[2].split(","))
    check_config_dir(arguments)
    words = {argument.partition("=")[0].partition(".")[0] for argument in arguments}
    one_call = (
        f"stage={'|'.join(stages_at_once())} is"
        if asked_for(arguments)
        else "minutes= is"
        if has_time(arguments)
        else ""
    )
    if one_call and {"-m", "--multirun", "--config-dir", "-cd", "hydra", "hydra/launcher"} & words:
        raise UserError(f"{one_call} one call, without -m, --config-dir and settings of Hydra: type lists, seed=[0,1]")
    if "experiment" not in given and not asks_for_text(arguments) and not asks_any_run(arguments):
        raise UserError(f"no experiment named; type ntkrun experiment=NAME with one of {', '.join(experiment_names())}")


def asks_for_text(arguments: list[str]) -> bool:
    """Whether something about ntkrun is to be shown, and nothing to be run."""
    return any(item in ("--help", "-h", "--hydra-help", "--info", "-i") for item in arguments)


def completed(arguments: list[str]) -> list[str]:
    """The same for Hydra where its configuration cannot know what they set: arguments of the user's own networks and data, for
    which `model=own` and `data=own` are chosen, and what only some schedules have.  Without an experiment all examples are meant.

    The width of such a network is the module's field `width`: unlike that of a size, which is for networks that have one,
    one that is typed is refused where there is no such field.
    """
    given = {argument.partition("=")[0] for argument in arguments}
    found = ["model=own"] if "model.path" in given and "model" not in given else []
    found += ["data=own"] if "data.path" in given and not {"data", "data.name"} & given else []
    if "stage=data" in arguments and "experiment" not in given:  # whether it is enough for some run is not asked
        found += [f"{size}=null" for size in ("data.n_train", "data.n_test") if size not in given]
    of_the_user = "model.path" in given or any(_chooses_own(argument) for argument in arguments)
    if of_the_user and {"model.width", "model.args.width"} <= given:
        raise UserError("model.width and model.args.width are the same setting: keep one of the two")
    for argument in arguments:
        key, _, value = argument.partition("=")
        if of_the_user and key == "model.width" and value not in ("", "null"):
            found.append(f"++model.args.width={value}")
        elif key == "model" and value not in options("model") and value in registered():
            found += ["model=own", f"model.path={value}"]
        elif key == "optimizer.schedule" and value.isidentifier():
            found.append(f"optimizer.schedule.name={value}")
        else:
            added = key.startswith(ADDED) and key != "optimizer.schedule.name"
            found.append(f"++{argument}" if added or OF_A_PART.fullmatch(key) else argument)
    return found


def _chooses_own(argument: str) -> bool:
    key, _, value = argument.partition("=")
    return key == "model" and (value == "own" or (value not in options("model") and value in registered()))


def with_scale_shown(arguments: list[str], resolve_scale: Callable[[], str]) -> list[str]:
    """With --cfg the settings shown are those of a run: at the scale that `scale=auto` stands for."""
    if not {"--cfg", "-c"} & set(arguments) or any(a.startswith("scale=") and a != "scale=auto" for a in arguments):
        return arguments
    kept = [a for a in arguments if a != "scale=auto"]
    # Hydra wants overrides side by side, so the scale goes beside the experiment.
    beside = next((i for i, a in enumerate(kept) if a.startswith("experiment=")), 0)
    return [*kept[:beside], f"scale={resolve_scale()}", *kept[beside:]]


def _check_flag(argument: str, rest: Iterator[str]) -> None:
    flag, given, value = argument.partition("=")
    if flag in PLAIN_FLAGS and not given:
        return
    if flag in ("--info", "-i"):
        value = value if given else next(rest, "all")
        if value not in INFO and "=" not in value:
            raise UserError(f"{flag} takes one of {', '.join(sorted(INFO))}, not {value!r}")
        return
    if flag not in VALUES:
        known = sorted({*PLAIN_FLAGS, *VALUES, "--info", "-i", *COMPLETION})
        raise UserError(f"{flag} is not a flag of ntkrun; there are {', '.join(known)}")
    value, allowed = value if given else next(rest, ""), VALUES[flag]
    if not value or (allowed is not None and value not in allowed):
        raise UserError(
            f"{flag} takes {'one of ' + ', '.join(sorted(allowed)) if allowed else 'a value'}, not {value!r}"
        )


@cache
def _swept_by_lists() -> frozenset[str]:
    """The settings of which a list is several runs, by their dotted names."""
    found = [one for kind in KINDS for one in described(kind)]
    one_value = {one.path for one in found if one.local or one.is_list}
    return frozenset(".".join(one.path) for one in found if one.path not in one_value)


def _to_run_both(key: str) -> str:
    if key == "experiment":
        return ", or name both at once, experiment=A,B"
    return f", or use a list, {key}=[A,B], to run both" if key in _swept_by_lists() - set(groups()) else ""


def config_dir(arguments: list[str]) -> Path | None:
    """The folder that --config-dir names; with two of them Hydra takes the last."""
    found = None
    for place, argument in enumerate(arguments):
        flag, given, value = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            found = Path(value if given else "".join(arguments[place + 1 : place + 2]))
    return found


def settings_among(arguments: list[str]) -> list[str]:
    """The arguments that are no flags and no values of flags."""
    values = [place + 1 for place, argument in enumerate(arguments) if argument in {*VALUES, "--info", "-i"}]
    return [item for place, item in enumerate(arguments) if not item.startswith("-") and place not in values]


def check_config_dir(arguments: list[str]) -> None:
    """UserError where the folder, or a file in it that the other arguments select, holds more than settings."""
    if (folder := config_dir(arguments)) is not None:
        check_files(folder, settings_among(arguments))
    if "--hydra-help" in arguments and settings_among(arguments):
        raise UserError("--hydra-help takes no settings: type ntkrun --hydra-help")


def _check_list(names: list[str]) -> None:
    unknown = [name for name in names if name not in experiment_names()]
    if unknown or len(set(names)) < len(names):
        wrong = f"{unknown[0]!r} is not known" if unknown else "one is named twice"
        raise UserError(f"experiment={','.join(names)}: {wrong}; choose from {', '.join(experiment_names())}")


def _check_hydra(key: str, argument: str) -> None:
    value = argument.partition("=")[2]
    if key == "hydra/launcher":
        if value not in launchers():
            raise UserError(f"{argument} is not known; choose one of {', '.join(sorted(launchers()))}")
        return
    settable = {f"hydra.launcher.{name}" for name in launcher_fields()} | {"hydra.sweep.dir", "hydra.verbose"}
    if key not in settable:
        raise UserError(
            f"{key} is not for the command line: of Hydra only hydra/launcher, hydra.launcher.* "
            f"({', '.join(sorted(launcher_fields()))}), hydra.sweep.dir and hydra.verbose can be set"
        )
    if key.startswith("hydra.launcher.") and not HARMLESS.fullmatch(value):
        raise UserError(f"{key}={value!r:.60} holds characters that have no place in a job script")
