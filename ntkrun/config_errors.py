"""Hydra's and OmegaConf's many-line complaints about a command line, said in one line with what to type instead."""

import difflib
import re
from collections.abc import Iterable


def one_line(error: Exception, known_keys: Iterable[str] = ()) -> str:
    """What is wrong, in the user's words; `known_keys` ("model.width", ...) feed the suggestion for a misspelt one."""
    text = str(error)
    if match := re.search(r"Could not find '([\w/]+)/([^'/]+)'", text):
        group, option = match.groups()
        choices = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
        return f"{group}={option} is not known; choose one of {', '.join(choices)}"
    if match := re.search(r"Could not override '([^']+)'", text):
        return f"{match[1]} is not a setting{_closest(match[1], known_keys)} (see --cfg job)"
    if match := re.search(r"Could not (?:append|delete)[^']*'?([\w.]+)", text):
        return f"cannot apply the override for {match[1]}: " + text.splitlines()[0]
    if match := re.search(
        r"(?:mismatched input|extraneous input|missing|no viable alternative|token recognition).*", text
    ):
        return f"cannot read the command line: {' '.join(text.split())[:200]} (quote values with special characters)"
    lines = [line.strip() for line in text.splitlines() if line.strip() and "HYDRA_FULL_ERROR" not in line]
    return " ".join(lines)[:300] or type(error).__name__


def _closest(key: str, known_keys: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(known_keys), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
