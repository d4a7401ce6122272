"""The folder itself, there whole or not at all.

wheels/*.whl     what is missing on the machine, and ntkrun itself, stamped with its commit
images/*.npz     of every image set the rows that the cells use (`ntkrun.data.sources.carried`)
own/             modules of the user's that the cells name
run.sh           checks, installs, runs, packs
manifest.json    command, target, cells to expect, packages; size and sha256 of every file
"""

import platform
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ntkrun.bundle.images import Used, images_used
from ntkrun.bundle.manifest import Sizes, manifest
from ntkrun.bundle.needs import requirements
from ntkrun.bundle.own_wheel import own_wheel
from ntkrun.bundle.target import PLATFORM, Target, read_packages
from ntkrun.bundle.wheels import Closure, missing_wheels
from ntkrun.data.sources.carried import expected_bytes, write_carried, write_list
from ntkrun.errors import UserError
from ntkrun.runner.plan import Cell
from ntkrun.runner.provenance import code_version
from ntkrun.settings.custom_source import is_path, sources
from ntkrun.settings.models import UserModuleSettings


@dataclass
class Bundle:
    """What goes into one.

    cells    with the experiment that computes each
    command  the arguments of `ntkrun` that it runs
    """

    cells: Sequence[tuple[str, Cell]]
    command: Sequence[str]
    target: Target = field(init=False)
    used: list[Used] = field(init=False)
    closure: Closure = field(init=False)
    sizes: Sizes = field(init=False)
    code: dict[str, Any] = field(init=False)

    def write(self) -> Path:
        """Make the folder `into`.

        Raises:
            UserError: it is there already, or would be larger than its limit, or something cannot be had.
        """
        first = self.cells[0][1].settings
        into = Path(str(first.into)).expanduser().absolute()
        if into.exists() or not into.parent.is_dir():
            what = (
                "is there already: name a new folder" if into.exists() else f"needs a folder to lie in: {into.parent}"
            )
            raise UserError(f"into={first.into} {what}")
        self.target, self.sizes, self.code = target_of(first), Sizes(first.limit_mb), code_version()
        self.used = images_used(cell for _, cell in self.cells)
        aside = None
        try:
            aside = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
            self._fill(aside)
            aside.chmod(0o755)
            aside.rename(into)
        except OSError as error:
            raise UserError(f"into={first.into} cannot be written ({error.strerror}): choose another folder") from error
        finally:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)
        return into

    def _fill(self, folder: Path) -> None:
        wheels, images = folder / "wheels", folder / "images"
        wheels.mkdir()
        images.mkdir()
        self.sizes.add("ntkrun", own_wheel(wheels, self.code).stat().st_size)
        self.sizes.add("modules of yours", self._own_modules(folder / "own"))
        # known by a sample of the images: what is far too large is not begun
        self.sizes.expect(
            {f"images of {used.images.label}": 0.8 * expected_bytes(used.images, used.rows) for used in self.used}
        )
        self.closure = missing_wheels(requirements(), self.target, wheels)
        self.sizes.add("other wheels", sum(wheel.path.stat().st_size for wheel in self.closure.wheels))
        typed = [cell.settings.images.path for _, cell in self.cells if cell.settings.images is not None]
        self.sizes.add("names of your files", write_list(images, filter(None, typed)))
        for used in self.used:
            size = write_carried(images, used.images, used.rows).stat().st_size
            self.sizes.add(f"images of {used.images.label}", size)
        script, text = folder / "run.sh", files("ntkrun.bundle").joinpath("run.sh").read_text()
        script.write_text(text.replace("@PYTHON@", self.target.python).replace("@COMMAND@", shlex.join(self.command)))
        script.chmod(0o755)
        told = manifest(folder, self.cells, self.command, self.target, self.used, self.closure, self.code)
        (folder / "manifest.json").write_text(told)
        self.sizes.add("run.sh, manifest.json", script.stat().st_size + len(told.encode()))

    def summary(self) -> str:
        """What is in it, once it is written."""
        commit, there = self.code["commit"], self.closure.there
        at = (
            f", commit {commit[:12]}{' with changes' if self.code['dirty'] else ''}" if commit else ", commit not known"
        )
        brought = ", ".join(f"{wheel.name} {wheel.version}" for wheel in self.closure.wheels)
        lines = [
            f"for Python {self.target.python} on {self.target.platform}, ntkrun {self.code['ntkrun']}{at}",
            f"cells: {len(self.cells)} of {', '.join(dict.fromkeys(name for name, _ in self.cells))}",
            *(f"images: {used}" for used in self.used),
            f"wheels: {brought or 'none'}",
            *([f"there already: {', '.join(there)}"] if there else []),
            *(f"brought although it is there: {words}" for words in self.closure.replaced),
            str(self.sizes),
        ]
        if not self.target.packages:
            lines.insert(
                1, "no target=... lists what is there: every package is brought, JAX without an accelerator's plugin"
            )
        return "\n".join(lines)

    def _own_modules(self, folder: Path) -> int:
        """The user's modules that cells name, with all that enters their hash; the bytes of them."""
        models = [getattr(cell.settings, "model", None) for _, cell in self.cells]
        total = 0
        if stored := [m.parameters for m in models if isinstance(m, UserModuleSettings) and m.parameters]:
            raise UserError(
                f"model.parameters={stored[0]} is a file that a bundle does not carry: run it without a bundle"
            )
        for path in dict.fromkeys(str(model.path) for model in models if isinstance(model, UserModuleSettings)):
            if not is_path(path):
                raise UserError(
                    f"model.path={path} is of an installed package, which a bundle does not carry: name its module, "
                    "model.path=module:Class allow_custom=true"
                )
            for module, file in sources(path).items():
                place = folder.joinpath(*module.split("."))
                place = place / "__init__.py" if file.name == "__init__.py" else place.with_suffix(".py")
                place.parent.mkdir(parents=True, exist_ok=True)
                total += place.write_bytes(file.read_bytes())
        return total


def target_of(settings: Any) -> Target:
    """The machine that the settings of a cell describe."""
    python = settings.target_python or ".".join(platform.python_version_tuple()[:2])
    packages = {} if settings.target is None else read_packages(Path(settings.target).expanduser())
    return Target(python, settings.target_platform or PLATFORM, packages)
