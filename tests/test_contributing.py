"""The walks of CONTRIBUTING.md, carried out as they are written there: what it adds is added to a copy of the package."""

import ast
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from processes import ran

from ntkrun.experiments import curves
from ntkrun.runner.store import read_table

INSERT = re.compile(
    r"^```(?:python|yaml|toml) insert\n# ([\w/.]+)(?:, (below|in) (\w+))?\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE
)


def last_line(source: str, name: str) -> int:
    """Where the import, class or assignment at the top level of a module ends that gives it this name."""
    for node in ast.parse(source).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else []
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.ClassDef):
            names |= {node.name}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        if name in names:
            return node.end_lineno or 0
    raise AssertionError(f"there is no {name}")


def insert(root: Path, file: str, where: str, name: str, text: str) -> None:
    """A new file, or lines below what has this name, or in it as its last items."""
    path = root / file
    if not where:
        assert not path.exists(), file
        path.write_text(text)
        return
    source = path.read_text()
    end = last_line(source, name) - (where == "in")
    lines = source.splitlines(keepends=True)
    spaces = "\n\n" if text.startswith("class") else ""
    path.write_text("".join([*lines[:end], spaces, text, *lines[end:]]))


@pytest.fixture(scope="module")
def enlarged(root, tmp_path_factory) -> Path:
    """The package with all that the guide adds to it."""
    copy = tmp_path_factory.mktemp("enlarged")
    for folder in ("ntkrun", "configs", "scripts"):
        shutil.copytree(root / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "docs").mkdir()
    found = INSERT.findall((root / "CONTRIBUTING.md").read_text())
    assert len(found) == (root / "CONTRIBUTING.md").read_text().count(" insert\n")
    for file, where, name, text in found:
        insert(copy, file, where, name, text)
    return copy


def test_both_walks_make_a_run_and_its_linearization(enlarged):
    words = ["experiment=lockstep", "scale=smoke", "data.source=stand_in", "stage=run"]
    chosen = ["model=residual_mlp", "model.width=8", "optimizer=rmsprop", "optimizer.steps=4"]
    done = ran(sys.executable, "-m", "ntkrun.cli", *words, *chosen, cwd=enlarged)
    assert done.returncode == 0, done.stderr
    (cell,) = (enlarged / "results/smoke/lockstep/cells").glob("*.parquet")
    table, facts = read_table(cell)
    assert facts["settings"]["model"]["name"] == "residual_mlp" and facts["settings"]["optimizer"]["decay"] == 0.9
    assert {"loss/network", "loss/linear"} <= set(table["curve"]) and not any(
        "flow" in curve for curve in table["curve"]
    )


def test_what_is_new_is_refused_where_it_does_not_hold_and_stands_on_the_page(enlarged):
    words = ["experiment=lockstep", "scale=smoke", "optimizer=rmsprop", "linear_route=function_space"]
    done = ran(sys.executable, "-m", "ntkrun.cli", *words, cwd=enlarged)
    assert done.returncode == 2 and "optimizer.name=rmsprop are not linear in the gradient" in done.stderr
    environment = os.environ | {"PYTHONPATH": str(enlarged)}
    written = ran(sys.executable, "scripts/settings_page.py", cwd=enlarged, env=environment)
    assert written.returncode == 0, written.stderr
    page = (enlarged / "docs" / "settings.md").read_text()
    assert "### `model.name=residual_mlp`" in page and "`optimizer.decay`" in page


def test_a_figure_is_one_file_and_its_settings(enlarged, root):
    (command,) = re.findall(r"`ntkrun (experiment=readout[^`]*)`", (root / "CONTRIBUTING.md").read_text())
    done = ran(sys.executable, "-m", "ntkrun.cli", *command.split(), "data.source=stand_in", cwd=enlarged)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "readout.is_linear" in done.stdout and "judged 1, fitted 0, failed 0" in done.stdout
    folder = enlarged / "results/smoke/readout/demo"
    table, _ = read_table(folder / "table.parquet")
    assert set(table["trained"]) == {"all", "readout"} and (folder / "figure.png").is_file()


def test_a_number_is_found_in_three_searches(root):
    section = (root / "CONTRIBUTING.md").read_text().partition("## Where a number of a figure comes from")[2]
    commands = re.findall(r"^    (grep .*)$", section.partition("\n## ")[0], flags=re.MULTILINE)
    claim, declared, written = (ran("bash", "-c", command, cwd=root).stdout for command in commands)
    assert "curves.RMSE.of(curves.FLOW_EMPIRICAL)" in claim
    assert 'FLOW_EMPIRICAL = "flow_empirical"  #' in declared
    assert "runs/trajectories.py" in written and "found[curves.RMSE.of(rival), split]" in written


def named(folder: Path) -> set[str]:
    """X of every `curves.X` in the modules of a folder."""
    nodes = (node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    attributes = (node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name))
    return {node.attr for node in attributes if getattr(node.value, "id", "") == "curves"}


def test_every_curve_has_a_writer_and_a_reader(root):
    constants = {name for name in vars(curves) if name.isupper() and isinstance(getattr(curves, name), str)}
    at = root / "ntkrun/experiments"
    read = named(at / "analysis") | named(at / "figures")
    observed = {"WEIGHT_CHANGE", "NTK_CHANGE", "NNGP_CHANGE", "ACCURACY", "FINITE"}  # written as observers name them
    observers = (root / "ntkrun/dynamics/observers.py").read_text()
    assert all(f'"{getattr(curves, name)}"' in observers for name in observed)
    assert constants - read == set(), "nobody reads them"
    assert constants - named(at / "runs") - observed == set(), "nobody writes them"
