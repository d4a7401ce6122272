"""Imports run one way, modules stay short: read from the source, not from what happens to be imported."""

import ast
import sys
from pathlib import Path

import pytest
from processes import ran

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ntkrun"
FIGURES = PACKAGE / "experiments" / "figures"
MODULES = sorted(PACKAGE.rglob("*.py"))


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
LIMITS = {"main.py": 100}  # the entry point is thin


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_stay_short(path):
    source = path.read_text()
    assert len(source.splitlines()) <= LIMITS.get(path.name, 150 if path.parent == FIGURES else 300)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            length = (node.end_lineno or 0) - node.lineno + 1 - (len(docstring.splitlines()) + 1 if docstring else 0)
            assert length <= 40, f"{path.name}:{node.name} has {length} lines"
