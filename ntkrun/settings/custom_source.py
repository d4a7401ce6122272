"""A user's own networks by name: where their source lies, what identifies it, and the one place that imports it.

A name is "module:Class", or that of an entry point which an installed package registers under the group `ntkrun.models`.
"""

import ast
import hashlib
import importlib
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from ntkrun.errors import UserError, did_you_mean

GROUP = "ntkrun.models"
SHOWN = 8  # of the names that a file has

_imported: dict[str, str] = {}  # module -> hash of its source when this process imported it


def registered() -> dict[str, str]:
    """Name -> "module:Class" of every entry point of the group; nothing is imported."""
    return {entry.name: entry.value for entry in entry_points(group=GROUP)}


def is_path(name: str) -> bool:
    """Whether it is "module:Class", which only `allow_custom=true` may import; else it has to be registered."""
    return ":" in name


def located(name: str) -> tuple[str, str]:
    """(module, class).  Raises `UserError` for a name that is neither a path nor registered."""
    if not is_path(name):
        known = registered()
        if name not in known:
            module = name.removesuffix(".py").replace("/", ".").strip(".") if _is_file(name) else "my_module"
            raise UserError(
                f"model.path={name}: no package registers it under {GROUP}"
                f"{' (there are ' + ', '.join(sorted(known)) + ')' if known else ''}; "
                f"a module of yours is model.path={module}:MyNet allow_custom=true"
            )
        name = known[name].partition("[")[0].strip()
    module, _, attribute = name.partition(":")
    return module, attribute


def _is_file(name: str) -> bool:
    """Whether it is a file here, with .py or without."""
    return Path(f"{name.removesuffix('.py').replace('.', '/')}.py").is_file()


def source_hash(name: str) -> str:
    """16 hex digits over the file of the module and over all that it imports from its package or, if it is a file by
    itself, from its folder; found without running any of them.

    Raises `UserError` when there is no such module.
    """
    digest = hashlib.sha256()
    for module, file in sorted(sources(name).items()):
        content = file.read_bytes()
        digest.update(f"{module} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def content_hash(path: str, setting: str) -> str:
    """16 hex digits over a file, or over all files of a folder and their names in it.

    Raises `UserError`, naming the setting, where there is nothing to read.
    """
    found = Path(path).expanduser()
    files = sorted(file for file in found.rglob("*") if file.is_file()) if found.is_dir() else [found]
    digest = hashlib.sha256()
    try:
        for file in files:
            digest.update(f"{file.relative_to(found)} {file.stat().st_size}\n".encode())
            with file.open("rb") as content:
                for part in iter(lambda: content.read(2**20), b""):
                    digest.update(part)
    except OSError as error:
        raise UserError(f"{setting}={path} cannot be read ({error.strerror}): name a file that is there") from error
    return digest.hexdigest()[:16]


def sources(name: str) -> dict[str, Path]:
    """Module -> file of all that `source_hash` takes in."""
    module, _ = located(name)
    if is_path(name):
        _look_here()
    importlib.invalidate_caches()
    return _sources(module)


def load(name: str, source: str) -> Any:
    """The class.  Raises `UserError` when its source is no longer that of the hash, and when importing it fails."""
    module, attribute = located(name)
    now = source_hash(name)
    if now != source or _imported.get(module, now) != now:
        raise UserError(f"model.path={name}: the source has changed since this run began; run the command again")
    # Compiled files are told apart by the second of the change and the size, which an edit may leave as they are.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"model.path={name}: importing {module} fails with {what}") from error
    finally:
        sys.dont_write_bytecode = writes
    _imported[module] = now
    if not hasattr(found, attribute):
        own = [
            key for key, thing in vars(found).items() if getattr(thing, "__module__", None) == module and key[0] != "_"
        ]
        hint = did_you_mean(attribute, own) or ":"
        there = f"{hint} it has {', '.join(own[:SHOWN])}{', ...' if len(own) > SHOWN else ''}" if own else ""
        raise UserError(f"model.path={name}: {found.__file__} has no {attribute}{there}")
    return getattr(found, attribute)


def _look_here() -> None:
    """The current directory comes last: a file in it hides no installed module."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _sources(module: str) -> dict[str, Path]:
    file = _file(_spec(module))
    if file is None and module.endswith(".py"):
        raise UserError(
            f"model.path={module}:...: name the module without .py, model.path={module.removesuffix('.py')}:MyNet"
        )
    if file is None:
        place = module.replace(".", "/")
        raise UserError(
            f"model.path: there is no module {module}, neither {place}.py here nor on PYTHONPATH nor installed"
        )
    top = _spec(module.partition(".")[0])
    folders = top.submodule_search_locations if top else None
    home = Path(next(iter(folders))) if folders else file.parent
    installed = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")]
    if not folders and home in installed:
        return {module: file}
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file(_spec(name))
        # an environment may lie inside the user's folder
        foreign = (
            file is None
            or home not in file.parents
            or any(place in file.parents and place not in home.parents for place in installed)
        )
        if name in found or file is None or foreign or name.partition(".")[0] == "ntkrun":
            continue
        found[name] = file
        waiting += _names(name, file)
    return found


def _spec(name: str) -> ModuleSpec | None:
    """As importlib finds it, but without importing the packages around it."""
    package, _, _ = name.rpartition(".")
    around = _spec(package) if package else None
    folders = around.submodule_search_locations if around else None
    if package and folders is None:
        return None
    finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
    try:
        return next((found for finder in finders if (found := finder.find_spec(name, folders))), None)
    except KeyError:  # importlib asks the imported package for the folders of a package without __init__.py inside it
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(Path(folder, name.rpartition(".")[2])) for folder in folders or ()]
        return spec


def _file(spec: ModuleSpec | None) -> Path | None:
    return Path(spec.origin) if spec and spec.origin and spec.has_location and spec.origin.endswith(".py") else None


def _names(module: str, file: Path) -> Iterator[str]:
    """Modules, and what may be modules, that a file imports, and the packages around them."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # importing it says so
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else str(node.module)
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in (*names, module):
            parts = name.split(".")
            yield from (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
