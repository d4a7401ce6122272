"""The files of --config-dir: settings alone, and nothing that Hydra would import or call.

Only the files that a command line selects, and those that these name in their defaults, are read: a folder may hold other
YAML.  This gives the answers in one line; what is composed in the end is checked as well (`ntkrun.cli.hydra.as_shipped`).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ntkrun.cli.configs import CONFIGS
from ntkrun.errors import UserError

MOST_NODES = 100_000  # of a file with its aliases written out: nine levels of nine aliases would be 4e8
RESOLVERS = {"oc.env"}  # of OmegaConf's: the others make text into settings


def check_files(folder: Path, arguments: list[str]) -> None:
    """UserError for a file of --config-dir that the arguments select and that is no YAML, or speaks of Hydra or of
    something to import."""
    if not folder.is_dir():
        raise UserError(f"--config-dir={folder} is not a folder")
    names = {word for argument in arguments for word in _words(argument)} | _globbed(folder, arguments)
    judged: set[Path] = set()
    while waiting := _selected(folder, names) - judged:
        for path in sorted(waiting):
            content = _content(path)
            _check_words(path, content)
            defaults = content.get("defaults") if content else None
            names |= {word for text in _texts(defaults) for word in _words(text)}
        judged |= waiting


def _words(text: str) -> list[str]:
    """The names that a default or an argument consists of: "override /data: mnist" has data and mnist."""
    return [
        word.strip("/").removesuffix(".yaml") for word in re.split(r"[\s,:=@+~()\[\]{}'\"]+", text) if word.strip("/")
    ]


def _globbed(folder: Path, arguments: list[str]) -> set[str]:
    """What `experiment=glob(*)` may stand for."""
    groups = [argument.partition("=")[0].lstrip("+") for argument in arguments if "glob(" in argument]
    return {path.stem for group in groups for path in folder.joinpath(group).glob("*.yaml")}


def _selected(folder: Path, names: set[str]) -> set[Path]:
    """The files that Hydra may take these names for: options of our groups, of their own, and of groups inside those."""
    shipped = {str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*") if path.is_dir()}
    groups = [group for group in ("", *sorted(shipped | names)) if _exists(folder / group)]
    inner = [f"{group}/{name}" for group in groups for name in names if _exists(folder / group / name)]
    files = {folder / group / f"{name}.yaml" for group in {*groups, *inner} for name in names}
    return {path for path in files if _exists(path) and path.is_file()}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, a zero byte
        return False


def _content(path: Path) -> dict[Any, Any] | None:
    """What the file says; nothing is made of its aliases before it is known how much that is."""
    try:
        text = path.read_text()
        nodes = _nodes(yaml.compose(text, Loader=yaml.SafeLoader), {})
        if nodes > MOST_NODES:
            raise UserError(f"{path} is too large with its aliases (&x, *x) written out: write the settings themselves")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is not readable YAML ({_problem(error)}): write NAME: VALUE, one a line") from error
    if not isinstance(content, dict | None):
        raise UserError(f"{path} must be a mapping from settings to values: write NAME: VALUE, one a line")
    return content


def _nodes(node: Any, known: dict[int, float]) -> float:
    """How many nodes a tree has with its aliases written out, infinitely many where one contains itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for item in below for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1.0 + sum(_nodes(part, known) for part in parts)
    return known[id(node)]


def _check_words(path: Path, content: dict[Any, Any] | None) -> None:
    headers = [line for line in path.read_text().splitlines() if "@package" in line]
    for word in [*headers, *_texts(content)]:
        if "hydra" in word.lower() or word == "_target_" or ("@" in word and "$" in word):
            raise UserError(
                f"{path}: {word!r:.60} has no place in a file of settings, which import and call nothing: "
                "name those that --cfg job shows"
            )
        if word == "allow_custom":
            raise UserError(f"{path}: allow_custom is for the command line only, where you see what is imported")
        for resolver in re.findall(r"\$\{\s*([^:}]*):", word):
            if resolver.strip() not in RESOLVERS:
                raise UserError(
                    f"{path}: {word!r:.60} makes settings out of text: write the value itself, ${{name.of.a.setting}} "
                    "or ${oc.env:VARIABLE}"
                )


def _problem(error: Exception) -> str:
    """What the parser stumbled over and in which line, without its excerpt of the file."""
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return where + " ".join(str(getattr(error, "problem", None) or error).split())[:160]


def _texts(node: Any) -> Iterator[str]:
    """All keys and strings."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for item in [*node, *node.values()] if isinstance(node, dict) else node:
            yield from _texts(item)
