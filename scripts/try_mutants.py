"""Plausible bugs of a line or two, put into a copy of the project one at a time: do the tests notice?

    python scripts/try_mutants.py [ID ...]      all of tests/mutants/mutants.toml, or these

Every entry of the list has

    id          a name
    file        the file that is changed
    old, new    text that occurs once in it, and what stands in its place
    tests       the smallest set of tests that must fail, as pytest takes them
    equivalent  instead of tests: why no output can change

The tests are run once without any change, where they have to pass, and then once for every mutant.  The checkout is only
read: each worker has a copy of its own in a temporary folder.  Every run of pytest is forked off a process that has
imported the libraries once, which is most of what a short test takes.  Exit code 1 when a mutant survives, when its text is not
there, when it keeps the tests from running at all, and when a test fails without it.
"""

import argparse
import itertools
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parent.parent
LIST = "tests/mutants/mutants.toml"
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
LIBRARIES = [
    "pytest",
    "diffrax",
    "flax.linen",
    "jax",
    "matplotlib.pyplot",
    "optax",
    "pandas",
    "pydantic",
    "scipy.stats",
]
CHANGES = itertools.count(1)
SECONDS = 600  # for the tests of one mutant: one that never ends is noticed, too


@dataclass(frozen=True)
class Mutant:
    id: str
    file: str
    old: str
    new: str
    tests: list[str] = field(default_factory=list)
    equivalent: str = ""


@dataclass(frozen=True)
class Outcome:
    """killed | SURVIVED | not there | broken; `note`: the first test that failed, or what is wrong."""

    mutant: Mutant
    verdict: str
    seconds: float = 0.0
    note: str = ""


def read(root: Path) -> list[Mutant]:
    """The mutants of a project."""
    return [Mutant(**entry) for entry in tomllib.loads((root / LIST).read_text())["mutant"]]


def fault(mutant: Mutant, root: Path) -> str:
    """What is wrong with an entry of the list, "" if nothing is."""
    path = root / mutant.file
    if not path.is_file():
        return f"there is no {mutant.file}"
    count = path.read_text().count(mutant.old)
    if count != 1:
        return f"its text occurs {count} times in {mutant.file}"
    if bool(mutant.tests) == bool(mutant.equivalent):
        return "it names neither tests nor why it is equivalent, or both"
    return "" if mutant.old != mutant.new else "it changes nothing"


def pytest_here(folder: Path, arguments: list[str], output: Path) -> None:
    """In a process of its own: pytest on a copy of the project, which comes before the installed one."""
    import pytest

    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    sys.dont_write_bytecode = False  # of this copy, whatever the caller does with his
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)  # of what the tests start
    early = "ignore::pytest.PytestAssertRewriteWarning"  # of plugins that LIBRARIES import, too
    sys.exit(int(pytest.main(["-q", "-p", "no:cacheprovider", "--tb=no", "-W", early, "-m", "", *arguments])))


def pytest_on(folder: Path, arguments: list[str], seconds: float | None = None) -> tuple[int, str]:
    """(exit code, what it wrote) of pytest on a copy of the project."""
    output = folder.with_suffix(".txt")
    process = multiprocessing.get_context("forkserver").Process(target=pytest_here, args=(folder, arguments, output))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        return 1, f"FAILED no end within {seconds} s"
    return process.exitcode, output.read_text()


def failed(output: str) -> list[str]:
    """The tests that failed, by pytest's summary."""
    lines = [line.split(" - ")[0] for line in output.splitlines()]
    return [line.split(maxsplit=1)[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]


@contextmanager
def put_in(mutant: Mutant, folder: Path):
    """The copy with the change, for as long."""
    path = folder / mutant.file
    told, text = path.stat(), path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    # Python tells compiled bytecode apart by seconds and size: no two changes of a file are of one time
    os.utime(path, (told.st_atime, told.st_mtime + 2 * next(CHANGES)))
    try:
        yield
    finally:
        path.write_text(text)
        os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def tried(mutant: Mutant, folder: Path) -> Outcome:
    began = time.monotonic()
    with put_in(mutant, folder):
        code, output = pytest_on(folder, ["-x", *mutant.tests], SECONDS)
    seconds = time.monotonic() - began
    if code == 0:
        return Outcome(mutant, "SURVIVED", seconds, "all of its tests pass")
    names = failed(output)
    if code == 1 and names:
        return Outcome(mutant, "killed", seconds, names[0])
    return Outcome(mutant, "broken", seconds, f"pytest ends with code {code}: {' '.join(output.split())[-160:]}")


def run(root: Path, ids: list[str], jobs: int = 1) -> int:
    """Try the mutants of a project and print a table; the exit code."""
    mutants = [one for one in read(root) if not ids or one.id in ids]
    if unknown := set(ids) - {one.id for one in mutants}:
        print(f"error: there is no mutant {', '.join(sorted(unknown))} in {LIST}", file=sys.stderr)
        return 2
    outcomes = [Outcome(one, "not there", note=wrong) for one in mutants if (wrong := fault(one, root))]
    faulty = {outcome.mutant.id for outcome in outcomes}
    sound = [one for one in mutants if one.tests and one.id not in faulty]
    with tempfile.TemporaryDirectory(prefix="ntkrun-mutants-") as temporary:
        copies = [Path(temporary, str(number)) for number in range(jobs)]
        shutil.copytree(root, copies[0], ignore=LEFT_OUT)
        code, output = pytest_on(copies[0], sorted({test for one in sound for test in one.tests})) if sound else (0, "")
        if code:
            print(f"without any mutant pytest ends with code {code}: {', '.join(failed(output)) or output}")
            return 1
        for copy in copies[1:]:
            shutil.copytree(copies[0], copy)
        outcomes += all_tried(sound, copies)
    show(mutants, outcomes)
    return int(any(outcome.verdict != "killed" for outcome in outcomes))


def all_tried(mutants: list[Mutant], copies: list[Path]) -> list[Outcome]:
    """One after the other in every copy; each is told as it ends."""
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def one(mutant: Mutant) -> Outcome:
        copy = free.get()
        try:
            outcome = tried(mutant, copy)
        finally:
            free.put(copy)
        print(f"  {outcome.verdict:9} {mutant.id} ({outcome.seconds:.0f} s)", flush=True)
        return outcome

    with ThreadPoolExecutor(len(copies)) as workers:
        return list(workers.map(one, mutants))


def show(mutants: list[Mutant], outcomes: list[Outcome]) -> None:
    by_id = {outcome.mutant.id: outcome for outcome in outcomes}
    print(f"\n{'verdict':10} {'mutant':34} {'file':48} noticed by")
    for mutant in mutants:
        outcome = by_id.get(mutant.id)
        verdict, note = (outcome.verdict, outcome.note) if outcome else ("equivalent", mutant.equivalent)
        print(f"{verdict:10} {mutant.id:34} {mutant.file:48} {note}")
    killed = sum(outcome.verdict == "killed" for outcome in outcomes)
    print(f"{killed} of {len(outcomes)} noticed, {len(mutants) - len(outcomes)} equivalent")


def main() -> int:
    parser = argparse.ArgumentParser(description="Put plausible bugs into a copy of the project: do the tests notice?")
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"of {LIST}; all of them if none is named")
    parser.add_argument("--jobs", type=int, default=1, help="at a time; each takes 1 GB")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ntkrun-programs-") as folder:
        # what all of them compile alike is compiled once
        os.environ |= {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": ".1"}
        multiprocessing.set_forkserver_preload(LIBRARIES)
        return run(ROOT, given.ids, given.jobs)


if __name__ == "__main__":
    sys.exit(main())
