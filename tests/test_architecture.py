"""Imports run one way, modules stay short: read from the source, not from what happens to be imported."""

import ast
import re
import sys
from pathlib import Path

import pytest
from processes import ran

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ntkrun"
FIGURES = PACKAGE / "experiments" / "figures"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """First parts of the names that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def calls(path: Path) -> set[str]:
    """Names of the functions that a module calls by their name alone."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def test_imports_run_one_way():
    """The contracts stand in pyproject.toml."""
    command = Path(sys.executable).with_name("lint-imports")
    done = ran(str(command), "--config", str(ROOT / "pyproject.toml"), "--no-cache", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_lies_beside_the_folders_but_what_all_of_them_share():
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__", "types", "errors", "tables", "nonlinearities"}


def test_hydra_lives_only_in_the_command_line():
    users = {path.relative_to(PACKAGE) for path in MODULES if imports(path) & {"hydra", "omegaconf"}}
    assert {path.parent for path in users} == {Path("cli/hydra")}


@pytest.mark.parametrize("path", sorted(FIGURES.parent.rglob("*.py")), ids=lambda path: path.name)
def test_an_experiment_opens_no_file(path):
    assert not calls(path) & {"open"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_unpickles_or_evaluates(path):
    assert not imports(path) & {"pickle", "cloudpickle", "dill", "joblib"}
    assert not calls(path) & {"eval", "exec"}


# Raise a limit only with a reason.
LIMITS = {
    "main.py": 100,  # the entry point is thin
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_stay_short(path):
    source = path.read_text()
    assert len(source.splitlines()) <= LIMITS.get(path.name, 150 if path.parent == FIGURES else 300)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            length = (node.end_lineno or 0) - node.lineno + 1 - (len(docstring.splitlines()) + 1 if docstring else 0)
            assert length <= 40, f"{path.name}:{node.name} has {length} lines"


NAMED_TUPLES = {"_asdict", "_fields", "_replace"}  # public, whatever they look like
BY_NAME = {"setattr", "delattr", "getattr", "hasattr"}


def is_private(name: object) -> bool:
    """Whether a name, or a part of a dotted one, is meant for its module or class alone."""
    parts = str(name).split(".")
    return any(part.startswith("_") and not part.endswith("__") and part not in NAMED_TUPLES for part in parts)


def private_uses(source: str) -> list[int]:
    """Lines in which a test imports, calls or patches what ntkrun keeps for itself.

    Of an object whose origin is not seen here it is taken to be ntkrun's; `self` and modules of others are not.
    """
    nodes = list(ast.walk(ast.parse(source)))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = [node for node in imports if str(getattr(node, "module", node.names[0].name)).startswith("ntkrun")]
    foreign = {a.asname or a.name.partition(".")[0] for node in imports if node not in ours for a in node.names}

    def of_others(node: ast.AST) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in foreign | {"self"}

    found: list[ast.stmt | ast.expr] = [
        node for node in ours if is_private(f"{getattr(node, 'module', '')}.{'.'.join(a.name for a in node.names)}")
    ]
    for node in nodes:
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not of_others(node.value):
            found.append(node)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in BY_NAME:
            words = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
            if any(map(is_private, words)) and not of_others(node.args[0]):
                found.append(node)
    return sorted(node.lineno for node in found)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_tests_leave_private_names_alone(path):
    lines = path.read_text().splitlines()
    assert [lines[number - 1] for number in private_uses(path.read_text())] == []


@pytest.mark.parametrize(
    "line",
    [
        "from ntkrun.runner.checkpoint import _spec",
        "import ntkrun._inner.part",
        "store._spec([])",
        "made()._note(1)",
        "monkeypatch.setattr(store, '_spec', None)",
        "monkeypatch.setattr('ntkrun.runner.store._spec', None)",
        "getattr(made, '_note')",
    ],
)
def test_a_private_name_is_found_however_it_is_reached(line):
    others = "import os\nfrom ntkrun.runner import store\nos._exit(0)\nsetattr(os, '_exit', store.x._replace())\n"
    assert private_uses(others) == [] and private_uses(others + line) == [5]


def told(tree: ast.AST) -> set[str]:
    """The texts of a module but for docstrings."""
    named = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, named)]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {str(node.value) for node in texts if id(node) not in docstrings}


def test_messages_name_commands_that_an_installed_package_has():
    targets = "|".join(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    of_a_checkout = re.compile(rf"\bmake ({targets})\b|python scripts/")
    found = {text for path in MODULES for text in told(ast.parse(path.read_text())) if of_a_checkout.search(text)}
    assert not found
