"""All figures at smoke scale and the suite, under other versions of Python, JAX and the rest; `make test-versions` runs it.

python scripts/try_versions.py [device] [newest] [lowest] [--only smoke|suite] [--figures A,B] [--if-there]
                                                                                                 all three unless named

device   what an accelerator's machine has: Python 3.12 and the pins of constraints-3.12.txt
newest   the newest Python that is here, and whatever pip finds newest for it
lowest   the oldest Python and the lowest version of everything that pyproject.toml allows

Each is installed anew into an environment of its own, .venv-versions/NAME, where the logs lie, too; results and caches go to a
temporary folder.  The exit code is 1 when an installation, a figure or a test fails, when a Python is missing that was asked
for by its combination's name (unless --if-there says that it may), and when nothing ran.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv-versions"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMES = ("device", "newest", "lowest")
SHOWN = ("jax", "flax", "optax", "numpy")
# what the caller's own environment would put in place of what is tried
FOREIGN = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_CONSTRAINT", "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"}


def oldest_python(project: dict) -> str:
    """3.11 where `requires-python` is ">=3.11"."""
    return project["requires-python"].removeprefix(">=")


def lower_bounds(project: dict) -> list[str]:
    """`name==version` of the lowest versions that pyproject.toml allows: to use ntkrun, its launchers, and to test it.

    Raises ValueError for a requirement that has no lower bound, or more than that.
    """
    extras, found = project["optional-dependencies"], []
    for requirement in (*project["dependencies"], *extras["cluster"], *extras["dev"]):
        bound = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
        if bound:
            found.append(f"{bound[1]}=={bound[2]}")
        elif not requirement.startswith(f"{project['name']}["):
            raise ValueError(f"pyproject.toml: {requirement!r} is not of the form name>=version")
    return found


def plan(name: str) -> tuple[tuple[str, ...], str]:
    """Pythons of a combination, the first that is here is taken, and its constraints as pip reads them."""
    if name == "device":
        return ("3.12",), (ROOT / "constraints-3.12.txt").read_text()
    if name == "newest":
        return ("3.13", "3.12"), ""
    return (oldest_python(PROJECT),), "\n".join(lower_bounds(PROJECT)) + "\n"


def find_python(version: str) -> str | None:
    """A Python of this version that can make environments: on PATH, or one that pyenv holds and does not select."""
    held = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(
        f"{version}.*/bin/python{version}"
    )
    newest_first = sorted(held, key=lambda path: [int(n) for n in re.findall(r"\d+", path.parts[-3])], reverse=True)
    program = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for candidate in (shutil.which(f"python{version}"), *map(str, newest_first)):
        if candidate is not None:
            said = subprocess.run([candidate, "-c", program], capture_output=True, text=True).stdout
            if said.strip() == version:
                return candidate
    return None


@dataclass
class Row:
    """What became of a combination; `smoke` and `tests` are "" where they were not run."""

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    smoke: str = ""
    tests: str = ""
    faults: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        return [self.name, *(self.versions.get(what, "") for what in ("Python", *SHOWN)), self.smoke, self.tests]


def table(rows: list[Row]) -> str:
    """In Markdown, as docs/versions.md has it."""
    lines = [["combination", "Python", *SHOWN, "all figures at smoke scale", "tests"], *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(word.ljust(width) for word, width in zip(line, widths, strict=True))} |" for line in lines
    )


class Trial:
    """One combination in its environment; every method adds to `row`."""

    def __init__(self, name: str, python: str, constraints: str, scratch: Path, figures: str = "all") -> None:
        self.row, self.home, self.python, self.scratch = Row(name), FOLDER / name, python, scratch
        self.constraints, self.figures = constraints, figures
        self.environment = {key: value for key, value in os.environ.items() if key not in FOREIGN}
        self.environment["XDG_CACHE_HOME"] = str(scratch / "cache")

    def _call(self, what: str, *command: str) -> tuple[bool, float]:
        """Whether a command of the environment ended well, and its seconds; what it says goes into a log."""
        print(f"{self.row.name}: {what} ...", flush=True)
        log, began = self.home / f"{what}.log", time.monotonic()
        with log.open("w") as out:
            done = subprocess.run(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        if done.returncode:
            self.row.faults.append(f"{what} ended with exit code {done.returncode}, see {log.relative_to(ROOT)}")
        return done.returncode == 0, time.monotonic() - began

    def install(self) -> bool:
        subprocess.run([self.python, "-m", "venv", "--clear", str(self.home)], check=True)
        (self.home / "constraints.txt").write_text(self.constraints)
        pip = (str(self.home / "bin/python"), "-m", "pip")
        wanted = ("-c", str(self.home / "constraints.txt"), "-e", ".[dev]")
        if not self._call("install", *pip, "install", "--disable-pip-version-check", *wanted)[0]:
            return False
        listed = subprocess.run([*pip, "list", "--format=json"], capture_output=True, text=True, check=True)
        self.row.versions |= {entry["name"]: entry["version"] for entry in json.loads(listed.stdout)}
        version = subprocess.run([str(self.home / "bin/python"), "-V"], capture_output=True, text=True, check=True)
        self.row.versions["Python"] = version.stdout.split()[1]
        return True

    def smoke(self) -> None:
        results = f"results_dir={self.scratch / 'results'}"
        figures = [] if "," not in self.figures else ["--multirun"]
        typed = (*figures, f"experiment={self.figures}", "scale=smoke", results)
        well, seconds = self._call("smoke", str(self.home / "bin/ntkrun"), *typed)
        self.row.smoke = f"{'ok' if well else 'failed'}, {seconds:.0f} s"

    def suite(self) -> None:
        report = self.scratch / "suite.xml"
        # a flag that XLA does not know ends every process that starts, those that replace the first ones, too
        tests = ("-m", "not faults and not slurm and not gpu_compile and not settings")  # wheel and bundle, too
        how = ("-n", "auto", "--dist=worksteal", "--max-worker-restart=4", f"--junitxml={report}")
        pytest = ("-m", "pytest", *tests, *how)
        well, seconds = self._call("suite", str(self.home / "bin/python"), *pytest)
        counted, failed = read_report(report) if report.exists() else ("none ran", [])
        self.row.tests = f"{counted}, {seconds:.0f} s"
        self.row.faults += [f"failed: {test}" for test in failed]
        if well and not report.exists():
            self.row.faults.append("the suite left no report")


def read_report(report: Path) -> tuple[str, list[str]]:
    """("7 passed, 1 failed, 2 skipped", names of what failed) of pytest's report in JUnit's form."""
    failed, skipped, cases = [], 0, list(ElementTree.parse(report).iter("testcase"))
    for case in cases:
        ends = {child.tag for child in case}
        if ends & {"failure", "error"}:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        skipped += "skipped" in ends
    return f"{len(cases) - len(failed) - skipped} passed, {len(failed)} failed, {skipped} skipped", failed


def tried(name: str, only: str | None, figures: str = "all") -> Row | None:
    """None where the Python is missing."""
    pythons, constraints = plan(name)
    python = next(filter(None, map(find_python, pythons)), None)
    if python is None:
        print(f"{name}: there is no Python {' or '.join(pythons)} here", flush=True)
        return None
    with tempfile.TemporaryDirectory(prefix="ntkrun-versions-") as scratch:
        trial = Trial(name, python, constraints, Path(scratch), figures)
        if trial.install():
            for stage in (trial.smoke, trial.suite):
                if only in (None, stage.__name__):
                    stage()
    return trial.row


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="ntkrun's figures and tests under other versions.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--only", choices=("smoke", "suite"), help="one of the two stages (default: both)")
    parser.add_argument("--figures", default="all", help="of the first stage, as fig1,fig3 (default: all)")
    parser.add_argument("--if-there", action="store_true", help="a Python that is missing is no fault")
    chosen = parser.parse_args(arguments)
    for name in chosen.names:
        if name not in NAMES:
            parser.error(f"{name!r} is no combination; choose from {', '.join(NAMES)}")
    found = {name: tried(name, chosen.only, chosen.figures) for name in chosen.names or NAMES}
    rows = [row or Row(name, {"Python": "missing"}) for name, row in found.items()]
    print(f"\n{table(rows)}")
    for row in rows:
        for fault in row.faults:
            print(f"{row.name}: {fault}")
    missing = [name for name, row in found.items() if row is None]
    if chosen.if_there:
        return int(any(row.faults for row in rows))
    return int(any(row.faults for row in rows) or len(missing) == len(found) or bool(missing and chosen.names))


if __name__ == "__main__":
    sys.exit(main())
