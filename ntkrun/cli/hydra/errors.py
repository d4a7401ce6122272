"""Hydra's and OmegaConf's many-line complaints about a command line, said in one line with what to type instead.

They are recognised by the wording of these libraries: nothing else tells them apart.
"""

import difflib
import itertools
import re
from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType

from ntkrun.cli.configs import groups, options
from ntkrun.cli.hydra.compose import compose
from ntkrun.errors import CALLED_HERE, UserError, did_you_mean
from ntkrun.runner.other_settings import whose

MOST_LISTED = 20  # values that are written out


def is_about_input(error: Exception) -> bool:
    """Whether Hydra or OmegaConf raised it (they do not keep to exceptions of their own), or it was meant for the user.

    An interruption at a moment when they answer every exception by one of theirs is not about the input.
    """
    if _comes_of_an_interruption(error):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return isinstance(error, UserError) or module.split(".")[0] in ("hydra", "omegaconf", "antlr4")


def _comes_of_an_interruption(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def one_line(error: Exception, arguments: Iterable[str] = ()) -> str:
    """What is wrong, in the user's words.

    arguments  those of the command line, for complaints that do not say about which
    """
    text = str(error)
    if isinstance(error, UserError) or ("requires --multirun" in text and (text := _as_a_list(arguments) or text)):
        return text
    if match := re.search(r"Could not find '([\w/]+)/([^'/]*)'", text):
        group, option = match.groups()
        choices = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
        hint = did_you_mean(option, choices) or ";"
        other = f"; another set of TensorFlow Datasets is data.name={option}" if _may_be_a_set(group, option) else ""
        return f"{group}={option} is not known{hint if not other else ';'} choose one of {', '.join(choices)}{other}"
    if match := re.search(r"In '([^']+)': Could not load '([^']+)'", text):
        return f"{match[1]}: there is no {match[2]} for its defaults to name; --help lists what there is"
    if match := re.search(r"Ambiguous value for argument '([^'=]+)=([^']*)'", text):
        key, values = match.groups()
        return f"{key}={values}: several values are a list, '{key}=[{values}]'"
    if match := re.search(r"Could not override '([^']+)'", text):
        experiment = next((a.partition("=")[2] for a in arguments if a.startswith("experiment=")), None)
        meant = whose(match[1], experiment) or _closest(match[1])
        return f"{match[1]} is not a setting of this experiment{meant} (see --cfg job)"
    if match := re.search(r"Could not (?:append|delete)[^']*'?([\w.]+)", text):
        return f"cannot apply the override for {match[1]}: " + text.splitlines()[0]
    if "Config group override must be" in text:
        meant = [a for a in arguments if re.fullmatch(rf"({'|'.join(groups())})=[^a-z]*", a)]
        return f"{', '.join(meant) or 'data, model, optimizer, ...'}: a group takes the name of one of its choices; see --help"
    asked = [argument.partition("=")[0].lstrip("+") for argument in arguments if "${" in argument]
    if "nterpolation" in text and (name := getattr(error, "full_key", None) or ", ".join(asked)):
        what = " ".join(text.splitlines()[0].split())
        return (
            f"{name} refers to something that is not there ({what}): give it a value, or name one that --cfg job shows"
        )
    if match := re.search(
        r"(?:mismatched input|extraneous input|missing|no viable alternative|LexerNoViableAlt|token recognition).*",
        text,
    ):
        typed = getattr(error, "override", None) or " ".join(text.split())[:120]
        return (
            f"cannot read {typed!r:.120} on the command line: type NAME=VALUE, lists as NAME=[1,2], and put a value with "
            "special characters in quotes inside quotes, \"NAME='a b'\""
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and "HYDRA_FULL_ERROR" not in line]
    return " ".join(lines)[:300] or type(error).__name__


def _may_be_a_set(group: str, option: str) -> bool:
    """Whether it may name a data set, rather than be a slip in the name of one that is known here."""
    return group == "data" and option.islower() and not difflib.get_close_matches(option, options(group), cutoff=0.7)


def _as_a_list(arguments: Iterable[str]) -> str:
    """What to type for the first of Hydra's functions of sweeps, range(3), which are for --multirun; "" without one."""
    for argument in arguments:
        if argument.startswith("-"):
            continue
        sweep = OverridesParser.create().parse_override(argument)
        if not sweep.is_sweep_override():
            continue
        key = sweep.key_or_group
        listed = sweep.is_discrete_sweep() and sweep.value_type is not ValueType.GLOB_CHOICE_SWEEP
        values = list(itertools.islice(sweep.sweep_string_iterator(), MOST_LISTED + 1)) if listed else []
        if key in groups():
            instead = f"name one choice of {key} in each call, {key}={values[0] if values else 'NAME'}"
        elif 0 < len(values) <= MOST_LISTED:
            instead = f"a sweep is a list, '{key}=[{','.join(values)}]'"
        else:
            instead = f"a sweep is a list of its values, '{key}=[A,B,C]'"
        return f"{argument}: {instead} (functions of Hydra's sweeps go with --multirun)"
    return ""


def _closest(key: str) -> str:
    """Suggests the setting that the user may have meant: of the section that was named, if any, and not that section."""
    section, _, name = key.rpartition(".")
    known = [one for one in dotted(compose([]).settings) if one != key and not key.startswith(f"{one}.")]
    meant = [one for one in known if one.rpartition(".")[2] == CALLED_HERE.get(name, "")]
    meant.sort(key=lambda one: one.rpartition(".")[0] != section)
    close = meant[:1] or difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def dotted(settings: dict[str, Any], prefix: str = "") -> list[str]:
    """Names of all settings, sections included."""
    below = [dotted(value, f"{prefix}{name}.") for name, value in settings.items() if isinstance(value, dict)]
    return [prefix + name for name in settings] + [name for names in below for name in names]
