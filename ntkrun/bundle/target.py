"""The machine that a bundle is for: its Python, its kind, and a plain list of its packages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ntkrun.errors import UserError

PLATFORM = "manylinux_2_28_x86_64"
# A line of `pip list`, `pip freeze` or a list by hand: NAME, NAME==VERSION, NAME VERSION ..., NAME @ address
LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*?)(?:(?:\s*={2,3}\s*|\s+)(?P<version>v?\d[\w.!+-]*)(?:\s.*)?)?(?:\s*[;@#].*)?"
)
EDITABLE = re.compile(r"# Editable .*\((?P<name>[\w.-]+)==(?P<version>[\w.!+-]+)\)")  # pip freeze, before a line -e ...


@dataclass(frozen=True)
class Target:
    """python    "3.12"
    platform  "manylinux_2_28_x86_64": wheels for this or an older glibc run there
    packages  name -> version, None where the list names none; nothing is there when there is no list
    """

    python: str
    platform: str
    packages: dict[str, Version | None]

    def environment(self) -> dict[str, str]:
        """What the markers of requirements are evaluated with."""
        there = {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }
        return {**{key: str(value) for key, value in default_environment().items()}, **there}

    @property
    def machine(self) -> str:
        return re.sub(r"^manylinux_2_\d+_", "", self.platform)

    def platforms(self) -> list[str]:
        """Names of platforms whose wheels run there, the newest first."""
        newest = int(self.platform.split("_")[2])
        old = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        oldest = 5 if self.machine in ("x86_64", "i686") else 17
        names: list[str] = []
        for minor in range(newest, oldest - 1, -1):
            names.append(f"manylinux_2_{minor}_{self.machine}")
            names += [f"{old[minor]}_{self.machine}"] if minor in old else []
        return [*names, f"linux_{self.machine}"]

    def tags(self) -> set[Tag]:
        """Those of the wheels that run there."""
        version = tuple(int(part) for part in self.python.split("."))
        interpreter = f"cp{self.python.replace('.', '')}"
        platforms = self.platforms()
        return {*cpython_tags(version, [interpreter], platforms), *compatible_tags(version, interpreter, platforms)}

    def applies(self, requirement: Requirement, extras: frozenset[str]) -> bool:
        """Whether the requirement of a package, asked for with `extras`, counts there."""
        marker = requirement.marker
        return marker is None or any(marker.evaluate(self.environment() | {"extra": extra}) for extra in extras | {""})

    def accepts(self, requirement: Requirement) -> bool:
        """Whether the package need not be brought along.  Whether its extras are there too, no list says."""
        return self.fits(requirement) and not requirement.extras

    def fits(self, requirement: Requirement) -> bool:
        """Whether the package is there in a version that will do.

        A version that the list does not tell is taken for a new one: it will do unless something bounds it above.
        """
        name = canonicalize_name(requirement.name)
        version = self.packages.get(name)
        if version is not None:
            return requirement.specifier.contains(version, prereleases=True)
        bounds = {specifier.operator for specifier in requirement.specifier}
        return name in self.packages and bounds <= {">", ">=", "!="}


def read_packages(path: Path) -> dict[str, Version | None]:
    """The packages that a file lists, one a line.  Raises UserError for a line that names none."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(
            f"cannot read target={path} ({reason}): write pip list > packages.txt on the machine"
        ) from error
    return dict(_packages(path, lines))


def _packages(path: Path, lines: list[str]) -> Iterator[tuple[str, Version | None]]:
    for number, line in enumerate(map(str.strip, lines), start=1):
        match = EDITABLE.match(line) or LINE.fullmatch(line)
        if match is None:
            if not line or line.startswith(("#", "-")) or line.split()[:2] == ["Package", "Version"]:
                continue
            raise UserError(f"target={path}, line {number}: {line!r:.60} is no package: write NAME or NAME==VERSION")
        try:
            version = Version(match["version"]) if match["version"] else None
        except InvalidVersion:
            version = None
        yield canonicalize_name(match["name"]), version
