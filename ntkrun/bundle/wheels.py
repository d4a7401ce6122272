"""The wheels that are missing on a machine: the closure of what a run requires, less what is there.

Versions are chosen package by package: the newest that fulfils all that is asked of it so far, and of a package that
is not there a version, at most `TRIES` back, that takes what is there as it is (a flax that wants another JAX would
bring one along, and the accelerator's plugin would not fit).  What is found to ask more is chosen again, until nothing
changes.  pip fetches; what has no wheel on the index is built, and must be free of machine code.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PathDistribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from ntkrun.bundle.target import Target
from ntkrun.errors import UserError

TRIES = 12  # versions of one package
ROUNDS = 40  # of choosing again; the closure of ntkrun takes six
UNREACHED = ("Retrying (", "Could not fetch URL", "ConnectionError", "connection error", "Max retries exceeded")


@dataclass(frozen=True)
class Wheel:
    path: Path
    name: NormalizedName
    version: Version
    requires: tuple[Requirement, ...]


@dataclass(frozen=True)
class Asked:
    """What others require of one package."""

    requirements: tuple[tuple[Requirement, str], ...]  # with the name of who requires it

    @property
    def specifier(self) -> SpecifierSet:
        found = SpecifierSet()
        for requirement, _ in self.requirements:
            found &= requirement.specifier
        return found

    def refusal(self, target: Target) -> str:
        """By which requirement what is there will not do."""
        refused = [(r, by) for r, by in self.requirements if not target.accepts(r)]
        return ", ".join(dict.fromkeys(f"{by} needs {str(r).partition(';')[0].strip()}" for r, by in refused))


@dataclass(frozen=True)
class Closure:
    """wheels  to be carried; replaced  in words: what is there in a version that will not do; there  names that will do."""

    wheels: list[Wheel]
    replaced: list[str]
    there: list[str]


def missing_wheels(roots: Sequence[Requirement], target: Target, folder: Path) -> Closure:
    """Fetch into `folder` the wheels of what `roots` require on `target` and is not there.

    Raises:
        UserError: no package index is reached, or it has nothing that fits.
    """
    if find_spec("pip") is None:
        raise UserError("stage=bundle fetches wheels with pip, which is not here: python -m ensurepip")
    with tempfile.TemporaryDirectory() as aside:
        wanted, chosen, there = _settled(roots, target, Path(aside))
        found = [replace(wheel, path=Path(shutil.copy(wheel.path, folder))) for wheel in chosen]
    replaced = [_in_words(name, asked, target) for name, asked in sorted(wanted.items()) if name in target.packages]
    return Closure(found, replaced, there)


def _settled(
    roots: Sequence[Requirement], target: Target, aside: Path
) -> tuple[dict[NormalizedName, Asked], list[Wheel], list[str]]:
    """(what is asked of the packages that are to be brought, their wheels, those that are there)."""
    chosen: dict[NormalizedName, Wheel] = {}
    for _ in range(ROUNDS):
        asked = _asked(roots, target, chosen)
        wanted = {name: a for name, a in asked.items() if not all(target.accepts(r) for r, _ in a.requirements)}
        stale = {
            name: a.specifier for name, a in sorted(wanted.items())
            if name not in chosen or not a.specifier.contains(chosen[name].version, prereleases=True)
        }  # fmt: skip
        if not stale:
            return wanted, [chosen[name] for name in sorted(wanted)], sorted(asked.keys() - wanted.keys())
        for newest in _fetched(stale, target, aside):
            chosen[newest.name] = _content_with(target, newest, stale[newest.name], aside)
    raise UserError("the packages that ntkrun needs ask for one another's versions in circles: list more in target=...")


def _asked(
    roots: Sequence[Requirement], target: Target, chosen: Mapping[NormalizedName, Wheel]
) -> dict[NormalizedName, Asked]:
    """All that is required of a package by `roots` and the wheels that are reached from them."""
    found: dict[NormalizedName, Asked] = {}
    waiting = [(requirement, "ntkrun") for requirement in roots if target.applies(requirement, frozenset())]
    done: set[tuple[NormalizedName, frozenset[str]]] = set()
    while waiting:
        requirement, by = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        before = found.get(name, Asked(()))
        found[name] = Asked((*before.requirements, (requirement, by)))
        # what is there has there what it needs
        if name not in chosen or (name, extras) in done or target.accepts(requirement):
            continue
        done.add((name, extras))
        waiting += [(r, str(name)) for r in chosen[name].requires if target.applies(r, extras)]
    return found


def _in_words(name: NormalizedName, asked: Asked, target: Target) -> str:
    version = target.packages[name]
    return f"{name} {'of unknown version' if version is None else version}: {asked.refusal(target)}"


def _content_with(target: Target, newest: Wheel, specifier: SpecifierSet, aside: Path) -> Wheel:
    """The newest version that takes what is there as it is; `newest` if none of the last does."""

    def content(requirement: Requirement) -> bool:
        there = canonicalize_name(requirement.name) in target.packages
        return not there or not target.applies(requirement, frozenset()) or target.fits(requirement)

    wheel = newest
    for _ in range(TRIES):
        if all(content(requirement) for requirement in wheel.requires):
            return wheel
        specifier &= SpecifierSet(f"<{wheel.version}")
        older = Path(tempfile.mkdtemp(dir=aside))
        if newest.name in target.packages or _download({newest.name: specifier}, target, older) is not None:
            break
        (wheel,) = _read(older)
    return newest


def _fetched(wanted: Mapping[NormalizedName, SpecifierSet], target: Target, aside: Path) -> list[Wheel]:
    """The newest wheels that fit; what has none on the index is built."""
    left, folder = dict(wanted), Path(tempfile.mkdtemp(dir=aside))
    while left and (complaint := _download(left, target, folder)) is not None:
        nowhere = re.search(r"No matching distribution found for ([\w.-]+)", complaint)
        name = canonicalize_name(nowhere[1]) if nowhere else None
        if name is None or name not in left:
            raise UserError(f"pip cannot fetch the wheels ({_last_line(complaint)})")
        _build(name, left.pop(name), target, folder)
    return list(_read(folder))


def _download(wanted: Mapping[NormalizedName, SpecifierSet], target: Target, into: Path) -> str | None:
    """What pip has to complain about, None when all wheels are there.  UserError when it reaches no index."""
    version = target.python.replace(".", "")
    where = ["--python-version", target.python, "--implementation", "cp", "--abi", f"cp{version}"]
    platforms = [word for name in target.platforms() for word in ("--platform", name)]
    named = [f"{name}{specifier}" for name, specifier in wanted.items()]
    return _pip("download", "--no-deps", "--only-binary=:all:", *where, *platforms, "--dest", str(into), *named)


def _build(name: str, specifier: SpecifierSet, target: Target, into: Path) -> None:
    """A wheel of what is on the index as source alone."""
    made = Path(tempfile.mkdtemp(dir=into))
    complaint = _pip("wheel", "--no-deps", "--wheel-dir", str(made), f"{name}{specifier}")
    for path in made.glob("*.whl"):
        if parse_wheel_filename(path.name)[3] & target.tags():
            path.replace(into / path.name)
            return
    why = f" ({_last_line(complaint)})" if complaint else ", and what is built here does not run there"
    raise UserError(
        f"there is no wheel of {name}{specifier} for Python {target.python} on {target.platform}{why}: choose another "
        "target_python or target_platform, or install it there and name it in target=..."
    )


def _pip(*arguments: str) -> str | None:
    """What pip complains about; None when it was content."""
    plain = ("--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=2")
    command = [sys.executable, "-m", "pip", arguments[0], *plain, *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    if any(text in done.stderr for text in UNREACHED):
        raise UserError(
            "no package index is reached from here, and wheels are missing: connect to the network, set PIP_FIND_LINKS to "
            "a folder of wheels, or name in target=... what the machine has"
        )
    return done.stderr or f"it ended with exit code {done.returncode}"


def _last_line(complaint: str) -> str:
    lines = [line.removeprefix("ERROR: ").strip() for line in complaint.splitlines() if line.startswith("ERROR")]
    return (lines or complaint.split("\n"))[-1][:160]


def _read(folder: Path) -> Iterator[Wheel]:
    for path in sorted(folder.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            record = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1)
            requires = PathDistribution(zipfile.Path(archive, record.partition("/")[0] + "/")).requires or []  # type: ignore[arg-type]
        yield Wheel(path, name, version, tuple(Requirement(text) for text in requires))
