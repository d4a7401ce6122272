"""scripts/try_versions.py: what is installed is what pyproject.toml says, and what fails or is missing shows."""

import os
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from processes import ran
from test_readme import script_of


@pytest.fixture(scope="module")
def script(root):
    return script_of(root, "try_versions")


@pytest.fixture(scope="module")
def requirements(root) -> dict[str, Requirement]:
    """Of ntkrun, its launchers and its tests, as the packagers' own parser reads them."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    read = map(Requirement, (*project["dependencies"], *extras["cluster"], *extras["dev"]))
    return {canonicalize_name(each.name): each for each in read if each.name != "ntkrun"}


def pins(lines: list[str]) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_the_lowest_versions_are_those_that_pyproject_allows_and_no_lower(script, requirements):
    lowest = pins(script.lower_bounds(script.PROJECT))
    assert lowest.keys() == requirements.keys()
    for name, version in lowest.items():
        (bound,) = requirements[name].specifier
        assert (bound.operator, bound.version) == (">=", version)
    assert script.plan("lowest")[0] == (script.oldest_python(script.PROJECT),) == ("3.11",)


@pytest.mark.parametrize("other", ["b", "b>=1,<2", "b==1", "b>1", "b[c]>=1"])
def test_what_has_no_plain_lower_bound_is_refused(script, other):
    project = {"name": "a", "dependencies": [other], "optional-dependencies": {"cluster": [], "dev": ["a[cluster]"]}}
    with pytest.raises(ValueError, match=re.escape(other)):
        script.lower_bounds(project)


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-3.12.txt"])
def test_all_that_is_required_is_pinned_to_what_is_allowed(root, requirements, file):
    pinned = pins((root / file).read_text().split())
    for name, requirement in requirements.items():
        assert requirement.specifier.contains(pinned[name]), name


def executable(path: Path, answer: str) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)
    return path


def test_a_python_that_pyenv_does_not_select_is_found_and_a_shim_is_none(script, tmp_path, monkeypatch):
    shim = executable(tmp_path / "shims/python9.8", "echo 'command not found' >&2; exit 127")
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert script.find_python("9.8") is None
    for release in ("9.8.2", "9.8.10", "9.8.9"):
        newest = executable(tmp_path / f"versions/{release}/bin/python9.8", "echo 9.8")
        assert release != "9.8.10" or script.find_python("9.8") == str(newest)
    assert script.find_python("9.8") == str(tmp_path / "versions/9.8.10/bin/python9.8")
    executable(tmp_path / "first/python9.8", "echo 9.8")
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{os.environ['PATH']}")
    assert script.find_python("9.8") == str(tmp_path / "first/python9.8")


OUTCOMES = """
import pytest
def test_good(): pass
def test_bad(): assert 0
@pytest.mark.skip
def test_left_out(): pass
@pytest.fixture
def broken(): raise OSError
@pytest.fixture
def broken_later():
    yield
    raise OSError
def test_not_reached(broken): pass
def test_good_until_its_end(broken_later): pass
"""


def test_tests_are_counted_as_pytest_counts_them(script, tmp_path):
    (tmp_path / "test_outcomes.py").write_text(OUTCOMES)
    report = tmp_path / "report.xml"
    done = ran(sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", f"--junitxml={report}", cwd=tmp_path)
    assert "1 failed, 2 passed, 1 skipped, 2 errors" in done.stdout
    counted, failed = script.read_report(report)
    # a test that passed and could not clean up counts as failed, once
    assert counted == "1 passed, 3 failed, 1 skipped"
    assert {name.split("::")[1] for name in failed} == {"test_bad", "test_not_reached", "test_good_until_its_end"}


@pytest.mark.parametrize(
    ("missing", "faulty", "arguments", "code"),
    [
        ("", "", [], 0),
        ("", "", ["device"], 0),
        ("", "newest", [], 1),
        ("", "newest", ["newest", "--if-there"], 1),
        ("device", "", [], 0),
        ("device", "", ["device", "lowest"], 1),
        ("device", "", ["device", "--if-there"], 0),
        ("device newest lowest", "", [], 1),
    ],
)
def test_what_fails_fails_and_what_is_missing_is_said(script, monkeypatch, capsys, missing, faulty, arguments, code):
    def tried(name: str, only: str | None, figures: str):
        faults = ["smoke ended with exit code 1"] if name == faulty else []
        return None if name in missing.split() else script.Row(name, {"jax": "7.7"}, "ok, 1 s", "3 passed", faults)

    monkeypatch.setattr(script, "tried", tried)
    assert script.main(arguments) == code
    out = capsys.readouterr().out
    assert out.count("missing") == len([name for name in missing.split() if not arguments or name in arguments])
    assert ("newest: smoke ended with exit code 1" in out) == bool(faulty)
    widths = {len(line) for line in out.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_a_python_that_is_nowhere_is_said(script, monkeypatch, capsys):
    monkeypatch.setattr(script, "find_python", lambda version: None)
    assert script.main(["newest"]) == 1
    assert "newest: there is no Python 3.13 or 3.12 here" in capsys.readouterr().out


def test_an_unknown_combination_is_one_line(script, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(["lowset"])
    assert stop.value.code == 2 and "choose from device, newest, lowest" in capsys.readouterr().err


def test_an_installation_that_fails_is_a_fault_with_its_log(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "FOLDER", tmp_path / ".venv-versions")
    trial = script.Trial("newest", sys.executable, "numpy==0.0.1\n", tmp_path / "scratch")  # and no pyproject.toml
    assert not trial.install()
    (fault,) = trial.row.faults
    assert fault == "install ended with exit code 1, see .venv-versions/newest/install.log"
    assert "ERROR" in (tmp_path / ".venv-versions/newest/install.log").read_text()
