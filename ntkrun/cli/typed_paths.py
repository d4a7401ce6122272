"""Paths as a shell passes them: Hydra's grammar wants those with a letter beyond ASCII, a ~ or a bracket in quotes of their own."""

import re
from functools import cache

from ntkrun.cli.arguments import OF_A_PART
from ntkrun.settings.runs import KINDS
from ntkrun.settings.schema import described

AS_IT_IS = re.compile(r"[\w./:@%+$\\ *?|-]*", flags=re.ASCII)
# quoted already, a list, several values or a function of --multirun, an interpolation; a backslash means more than itself in quotes
MEANS_MORE = re.compile(r"""^['"\[{]|^\w+\(|,|\$\{|\\""")


def with_paths_quoted(arguments: list[str]) -> list[str]:
    """The same for Hydra: data.path=~/Maße.npz becomes data.path='~/Maße.npz'."""
    return [_quoted(argument) for argument in arguments]


def _quoted(argument: str) -> str:
    key, _, value = argument.partition("=")
    if AS_IT_IS.fullmatch(value) or MEANS_MORE.search(value) or not (key in _paths() or OF_A_PART.fullmatch(key)):
        return argument
    escaped = value.replace("'", "\\'")
    return f"{key}='{escaped}'"


@cache
def _paths() -> frozenset[str]:
    """The settings that name a file or a folder, by their dotted names."""
    return frozenset(".".join(one.path) for kind in KINDS for one in described(kind) if one.is_path)
