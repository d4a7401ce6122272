"""The list of plausible bugs stays true to the code, and the script that tries them tells what it finds."""

import ast
import importlib
import multiprocessing
from pathlib import Path

import pytest


@pytest.fixture
def script(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "scripts")  # its processes import it by name
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    multiprocessing.set_forkserver_preload(["pytest"])
    return importlib.import_module("try_mutants")


def test_every_mutant_is_still_a_change_of_the_code(script, root):
    mutants = script.read(root)
    assert len({one.id for one in mutants}) == len(mutants)
    for one in mutants:
        assert script.fault(one, root) == "", one.id
        ast.parse((root / one.file).read_text().replace(one.old, one.new))


def test_the_tests_that_must_notice_it_are_there(script, root):
    for one in script.read(root):
        for test in one.tests:
            assert "[" not in test, f"{one.id}: names of parameters change unnoticed, name the whole test"
            path, _, name = test.partition("::")
            assert (root / path).is_file(), one.id
            assert not name or f"def {name}(" in (root / path).read_text(), f"{one.id}: {test}"


ENTRY = '[[mutant]]\nid = "{0}"\nfile = "module.py"\nold = "{1}"\nnew = "{2}"\n{3}\n'
TESTS = 'tests = ["test_module.py"]'


@pytest.fixture
def project(tmp_path):
    """A project of one function, its test, and a list of mutants."""

    def made(*entries: tuple[str, str, str, str]) -> Path:
        (tmp_path / "tests/mutants").mkdir(parents=True)
        (tmp_path / "module.py").write_text("def double(x):\n    return 2 * x\n\n\ndef unused(x):\n    return x\n")
        (tmp_path / "test_module.py").write_text(
            "import module\n\n\ndef test_it():\n    assert module.double(2) == 4\n"
        )
        text = "".join(ENTRY.format(*entry) for entry in entries)
        (tmp_path / "tests/mutants/mutants.toml").write_text(text)
        return tmp_path

    return made


NOTICED = ("noticed", "2 * x", "3 * x", TESTS)


def test_what_the_tests_notice_is_fine_and_the_project_stays_as_it_is(script, project, capsys):
    root = project(NOTICED, ("same", "return x", "return +x", 'equivalent = "+x is x"'))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert script.run(root, []) == 0
    out = capsys.readouterr().out
    assert "1 of 1 noticed, 1 equivalent" in out and "test_module.py::test_it" in out and "+x is x" in out
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_what_they_do_not_notice_ends_with_1(script, project, capsys):
    wrong = {
        "SURVIVED": ("quiet", "return x", "return -x", TESTS),
        "not there": ("gone", "4 * x", "3 * x", TESTS),
        "broken": ("cut", "def double(x)", "def double(", TESTS),
    }
    root = project(NOTICED, *wrong.values(), ("twice", "return", "yield", TESTS), ("bare", "2 * x", "3 * x", ""))
    assert script.run(root, []) == 1
    verdicts = {
        line[11:].split()[0]: line[:10].strip() for line in capsys.readouterr().out.splitlines() if len(line) > 11
    }
    for verdict, (name, *_) in wrong.items():
        assert verdicts[name] == verdict
    assert (verdicts["noticed"], verdicts["twice"], verdicts["bare"]) == ("killed", "not there", "not there")


def test_tests_that_fail_anyway_show_nothing(script, project, capsys):
    root = project(NOTICED)
    (root / "module.py").write_text("def double(x):\n    return 2 * x + 1\n")
    assert script.run(root, []) == 1 and "without any mutant" in capsys.readouterr().out


def test_an_unknown_name_is_refused(script, project, capsys):
    assert script.run(project(NOTICED), ["nothing"]) == 2 and "nothing" in capsys.readouterr().err
