"""What the word under the cursor of a command line may become: flags, settings by their names, and what these may be.

Names are those of the configuration that the experiment and the groups on the line compose, one level of dots at a time;
values are the options of groups and the closed lists of the settings' types.  Of a number nothing is offered: its present
value depends on the scale, and `scale=auto` on the device.  The files of --config-dir are not looked at.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ntkrun.cli.arguments import INFO, PLAIN_FLAGS, VALUES
from ntkrun.cli.completion import FLAGS, INSTALL
from ntkrun.cli.configs import groups, launchers, options
from ntkrun.experiments.figures import experiment_names, in_the_papers_order
from ntkrun.settings.choices import Scale, choices_of
from ntkrun.settings.parts import leaves
from ntkrun.settings.runs import KINDS, FreeSettings
from ntkrun.settings.schema import described

AFTER_FLAGS = (
    {flag: sorted(words or ()) for flag, words in VALUES.items()}
    | {flag: sorted(INFO) for flag in ("--info", "-i")}
    | {flag: [f"{verb}={shell}" for verb in ("install", "uninstall") for shell in INSTALL] for flag in FLAGS}
)
UNQUOTED = re.compile(r"[\w.+~/-]+")  # what no shell reads as anything but itself


def candidates(line: str) -> list[str]:
    """Every word that the last word of a line can become; the line is cut at the cursor."""
    words = line.split()[1:]
    typed = words.pop() if words and not line[-1].isspace() else ""
    return [word for word in _offered(typed, words) if word.startswith(typed)]


def _offered(typed: str, before: list[str]) -> Iterable[str]:
    if before and before[-1] in AFTER_FLAGS:
        return AFTER_FLAGS[before[-1]]
    if typed.startswith("-"):
        return sorted({*PLAIN_FLAGS, *AFTER_FLAGS})
    key, given, value = typed.partition("=")
    if given:
        return [f"{key}={word}" for word in _values(key, value, before)]
    taken = {word.partition("=")[0] for word in before}
    return _next_level(typed, [name for name in _names(before) if name not in taken])


def _next_level(typed: str, names: Iterable[str]) -> list[str]:
    """`model.` stands for all settings of the model until it is typed."""
    level = typed.count(".") + 1
    found = (name.split(".") for name in names if name.startswith(typed))
    return list(dict.fromkeys(".".join(path[:level]) + ("." if len(path) > level else "=") for path in found))


def _names(before: list[str]) -> Iterator[str]:
    yield from ("experiment", "scale", "stage", *groups(), "hydra/launcher")
    composed = _composed(before)
    chosen = {(group, "name") for group in groups()}  # by the group itself, model=cnn
    yield from (".".join(path) for path, _ in leaves(composed) if path not in chosen)
    if "optimizer" in composed:  # of a schedule that is still to be chosen
        paths = [one.path for one in described(FreeSettings)]
        yield from (".".join(path) for path in paths if path[:2] == ("optimizer", "schedule"))


def _values(key: str, typed: str, before: list[str]) -> Iterable[str]:
    if key == "experiment":
        return _experiments(typed)
    if key in groups():
        return sorted(options(key))
    if key == "hydra/launcher":
        return sorted(launchers())
    if key == "runs":
        return _runs(typed, before)
    path = tuple(key.split("."))
    path = path[2:] if path[0] == "parts" else path
    of_that_name = [one for kind in KINDS for one in described(kind) if one.path == path]
    if any(one.is_path for one in of_that_name):
        return _files(typed)
    if any(one.field.annotation is bool for one in of_that_name):
        return ["true", "false"]
    words = list(dict.fromkeys(word for one in of_that_name for word in one.choices))
    if all(one.choices for one in of_that_name):
        return words
    # experiments differ in what they call by that name
    present = dict(leaves(_composed(before))).get(tuple(key.split(".")))
    return words if set(words) & set(present if isinstance(present, list) else [present]) else []


def _experiments(typed: str) -> Iterator[str]:
    """The names that may follow those before the last comma."""
    before, comma, _ = typed.rpartition(",")
    if not comma:
        yield "all"
    yield from (
        before + comma + name for name in in_the_papers_order(experiment_names()) if name not in before.split(",")
    )


def _runs(typed: str, before: list[str]) -> Iterator[str]:
    """The names of the experiment's runs that may follow those before the last comma."""
    from ntkrun.runner.reports import reports_at  # brings pandas, which nothing else here waits for

    given = {word.partition("=")[0]: word.partition("=")[2] for word in before}
    results = Path(given.get("results_dir") or str(_composed([])["results_dir"])).expanduser()
    scales = [given["scale"]] if given.get("scale", "auto") != "auto" else choices_of(Scale)
    there = [one.called for scale in scales for one in reports_at(results / scale, [given.get("experiment", "")])]
    start = max(typed.rfind(","), typed.rfind("[")) + 1
    taken = typed[:start].strip("[").split(",")
    yield from ((typed[:start] or "[") + name for name in dict.fromkeys(there) if name not in taken)


def _files(typed: str) -> Iterator[str]:
    """Paths that begin as typed, folders with a slash."""
    above = typed[: typed.rfind("/") + 1]
    try:
        there = sorted(Path(above).expanduser().iterdir()) if UNQUOTED.fullmatch(above or ".") else []
    except (OSError, RuntimeError):  # no folder that can be read, nobody of that name
        return
    for path in there:
        if UNQUOTED.fullmatch(path.name) and path.name.startswith(".") == typed[len(above) :].startswith("."):
            yield f"{above}{path.name}{'/' if path.is_dir() else ''}"


def _composed(before: list[str]) -> dict[str, Any]:
    """The settings of the experiment and the groups that the line names; whatever else it sets has no part in it."""
    from ntkrun.cli.hydra.compose import compose  # Hydra takes half a second, which groups and stages need not wait for

    pairs = [word.partition(",")[0].partition("=") for word in before]  # of several the first
    chosen = {key: option for key, _, option in pairs if key in groups() and option in options(key)}
    return compose([f"{key}={option}" for key, option in chosen.items()]).settings
