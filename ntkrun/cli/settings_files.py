"""The files of --config-dir: settings alone, and nothing that Hydra would import or call."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ntkrun.errors import UserError


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
