"""Hydra's and OmegaConf's many-line complaints about a command line, said in one line with what to type instead."""

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ntkrun.cli.configs import groups
from ntkrun.errors import UserError
from ntkrun.settings.runs import FreeSettings
from ntkrun.settings.schema import described


def debugging() -> bool:
    """Whether errors are to be shown with their traceback."""
    return os.environ.get("NTKRUN_DEBUG", "") not in ("", "0")


def complain(error: Exception | str) -> int:
    """Say it in one line; the exit code of bad input."""
    print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)  # what was typed may hold a "\r"
    return 2


def is_about_input(error: Exception) -> bool:
    """Whether Hydra or OmegaConf raised it (they do not keep to exceptions of their own), or it was meant for the user."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return isinstance(error, UserError) or module.split(".")[0] in ("hydra", "omegaconf", "antlr4")


def one_line(error: Exception, known_keys: Callable[[], Iterable[str]] = tuple, arguments: Iterable[str] = ()) -> str:
    """What is wrong, in the user's words; `known_keys()` ("model.width", ...) feed the suggestion for a misspelt one.

    arguments  those of the command line, for complaints that do not say about which
    """
    text = str(error)
    if isinstance(error, UserError):
        return text
    if match := re.search(r"Could not find '([\w/]+)/([^'/]*)'", text):
        group, option = match.groups()
        choices = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
        return f"{group}={option} is not known; choose one of {', '.join(choices)}"
    if match := re.search(r"In '([^']+)': Could not load '([^']+)'", text):
        return f"{match[1]}: there is no {match[2]} for its defaults to name; --help lists what there is"
    if match := re.search(r"Could not override '([^']+)'", text):
        return f"{match[1]} is not a setting of this experiment{_closest(match[1], known_keys())} (see --cfg job)"
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


def closed_lists() -> str:
    """Every setting that may be one of a few words, with these words, a line each; groups are listed by Hydra."""
    words: dict[str, dict[str, None]] = {}
    for one in described(FreeSettings):
        group = one.path[0] in groups() and one.path[1:] in ((), ("name",))
        if one.is_closed and not group:
            words.setdefault(".".join(one.path), {}).update(dict.fromkeys(one.choices))
    return "\n".join(f"{name}: {', '.join(choices)}" for name, choices in words.items())


def _closest(key: str, known_keys: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, set(known_keys) - {key}, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def dotted(settings: dict[str, Any], prefix: str = "") -> list[str]:
    """Names of all settings, sections included."""
    below = [dotted(value, f"{prefix}{name}.") for name, value in settings.items() if isinstance(value, dict)]
    return [prefix + name for name in settings] + [name for names in below for name in names]
