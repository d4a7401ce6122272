"""The walks of CONTRIBUTING.md, carried out as they are written there."""

import ast
import re
import shutil
import sys
from pathlib import Path

import pytest
from processes import ran

from ntkrun.experiments import curves
from ntkrun.runner.store import read_table

BLOCK = re.compile(r"```\w+\n(# (?P<path>[\w/.]+)\n.*?)```", re.DOTALL)


@pytest.fixture
def copied(root: Path, tmp_path: Path) -> Path:
    """The package and its configurations, without results."""
    for name in ("ntkrun", "configs", "hydra_plugins"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def files_of(text: str) -> dict[str, str]:
    """Path -> content of the blocks that begin with the path of a file."""
    return {match["path"]: match[1].partition("\n")[2] for match in BLOCK.finditer(text)}


def test_a_figure_is_one_file_and_its_settings(root, copied):
    section = (root / "CONTRIBUTING.md").read_text().partition("## A figure is one file")[2].partition("\n## ")[0]
    files = files_of(section)
    assert len(files) == 3
    for path, content in files.items():
        (copied / path).write_text(content)
    (command,) = re.findall(r"^    ntkrun (.*)$", section, flags=re.MULTILINE)
    done = ran(sys.executable, "-m", "ntkrun.cli", *command.split(), "data.source=stand_in", cwd=copied)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "readout.is_linear" in done.stdout and "1 passed, 0 failed" in done.stdout
    folder = copied / "results/smoke/readout"
    table, _ = read_table(folder / "table.parquet")
    assert set(table["trained"]) == {"all", "readout"} and (folder / "figure.png").is_file()


def test_a_number_is_found_in_three_searches(root):
    section = (root / "CONTRIBUTING.md").read_text().partition("## Where a number of a figure comes from")[2]
    commands = re.findall(r"^    (grep .*)$", section.partition("\n## ")[0], flags=re.MULTILINE)
    claim, declared, written = (ran("bash", "-c", command, cwd=root).stdout for command in commands)
    assert "curves.RMSE.of(curves.FLOW_EMPIRICAL)" in claim
    assert 'FLOW_EMPIRICAL = "flow_empirical"  #' in declared
    assert "runs/trajectories.py" in written and "add(curves.RMSE" in written


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
