"""What a command line may ask of Hydra: settings, and how jobs are launched; never what is imported or called.

Hydra builds its launcher, sweeper, callbacks and logging from names in the configuration.  Here these names come from
ntkrun's own files alone: command lines and the files of --config-dir set everything else.  The settings themselves name
nothing that is built: they are validated against closed lists (`ntkrun.settings`), and unknown keys are refused.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ntkrun.cli.configs import launcher_fields, launchers, options
from ntkrun.devices.platform import may_have_accelerator
from ntkrun.errors import UserError
from ntkrun.experiments.figures import experiment_names
from ntkrun.settings.custom_source import registered
from ntkrun.settings.stages import asked_for, has_time, stages_between_machines

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
            raise UserError(f"{key} is given twice: keep one of the two, or use a list, {key}=[A,B], to run both")
        given.add(key)
        if "hydra" in key.lower():
            _check_hydra(key, argument)
        if key == "experiment" and "," in argument and not {"-m", "--multirun", "--config-dir", "-cd"} & set(arguments):
            _check_list(argument.partition("=")[2].split(","))
    words = {argument.partition("=")[0].partition(".")[0] for argument in arguments}
    one_call = (
        f"stage={'|'.join(stages_between_machines())} is"
        if asked_for(arguments)
        else "minutes= is"
        if has_time(arguments)
        else ""
    )
    if one_call and {"-m", "--multirun", "--config-dir", "-cd", "hydra", "hydra/launcher"} & words:
        raise UserError(f"{one_call} one call, without -m, --config-dir and settings of Hydra: type lists, seed=[0,1]")
    if "experiment" not in given and not asks_for_text(arguments):
        raise UserError(f"no experiment named; type ntkrun experiment=NAME with one of {', '.join(experiment_names())}")


def asks_for_text(arguments: list[str]) -> bool:
    """Whether something about ntkrun is to be shown, and nothing to be run."""
    return any(item in ("--help", "-h", "--hydra-help", "--info", "-i") for item in arguments)


def completed(arguments: list[str]) -> list[str]:
    """The same for Hydra where they speak of the user's own networks: `model=own` for what names one, and its arguments
    added to the configuration, which cannot know them."""
    given = {argument.partition("=")[0] for argument in arguments}
    found = ["model=own"] if "model.path" in given and "model" not in given else []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "model" and value not in options("model") and value in registered():
            found += ["model=own", f"model.path={value}"]
        else:
            found.append(f"++{argument}" if key.startswith("model.args.") else argument)
    return found


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
        known = sorted({*PLAIN_FLAGS, *VALUES, "--info", "-i"})
        raise UserError(f"{flag} is not a flag of ntkrun; there are {', '.join(known)}")
    value, allowed = value if given else next(rest, ""), VALUES[flag]
    if not value or (allowed is not None and value not in allowed):
        raise UserError(
            f"{flag} takes {'one of ' + ', '.join(sorted(allowed)) if allowed else 'a value'}, not {value!r}"
        )
    if flag in ("--config-dir", "-cd"):
        check_files(Path(value))


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


def check_files(folder: Path) -> None:
    """UserError for a file of --config-dir that is no YAML or speaks of Hydra or of something to import."""
    if not folder.is_dir():
        raise UserError(f"--config-dir={folder} is not a folder")
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml")):
        try:
            text = path.read_text()
            content = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise UserError(
                f"{path} is not readable YAML ({_problem(error)}): write NAME: VALUE, one a line"
            ) from error
        if not isinstance(content, dict | None):
            raise UserError(f"{path} must be a mapping from settings to values: write NAME: VALUE, one a line")
        headers = [line for line in text.splitlines() if "@package" in line]
        for word in [*headers, *_texts(content)]:
            if "hydra" in word.lower() or word == "_target_" or ("@" in word and "$" in word):
                raise UserError(
                    f"{path}: {word!r:.60} has no place in a file of settings, which import and call nothing: "
                    "name those that --cfg job shows"
                )
            if word == "allow_custom":
                raise UserError(f"{path}: allow_custom is for the command line only, where you see what is imported")


def _problem(error: Exception) -> str:
    """What the parser stumbled over and in which line, without its excerpt of the file."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return where + " ".join(str(getattr(error, "problem", None) or error).split())[:160]


def _texts(node: Any, inside: frozenset[int] = frozenset()) -> Iterator[str]:
    """All keys and strings; YAML's aliases can make a node contain itself."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list) and id(node) not in inside:
        items = [*node, *node.values()] if isinstance(node, dict) else node
        for item in items:
            yield from _texts(item, inside | {id(node)})


def resolve_scale() -> str:
    """`auto`: the paper's sizes on an accelerator, the cpu sizes otherwise."""
    if not may_have_accelerator():
        return "cpu"
    import jax

    return "cpu" if jax.default_backend() == "cpu" else "paper"
