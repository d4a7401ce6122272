"""ntkrun as a wheel: built from the checkout that is running, or packed again from the installed package."""

import base64
import hashlib
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ntkrun
from ntkrun.bundle.needs import PACKAGE, checkout
from ntkrun.errors import UserError
from ntkrun.runner.provenance import STAMP

# Files of an installed package that the installer wrote: they are no part of its wheel.
NOT_PACKED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def own_wheel(folder: Path, stamp: dict[str, Any]) -> Path:
    """Write the wheel into `folder`, with `stamp` (which code it is, for provenance) inside; returns its path."""
    root = checkout()
    members = _installed() if root is None else _built(root)
    members[f"ntkrun/{STAMP}"] = json.dumps(stamp).encode()
    path = folder / f"ntkrun-{ntkrun.__version__}-py3-none-any.whl"
    _write(path, members)
    return path


def _built(root: Path) -> dict[str, bytes]:
    """{name: content} of the files in a wheel that hatchling builds from the checkout."""
    if find_spec("hatchling") is None:
        raise UserError("a bundle of a checkout needs hatchling, which builds ntkrun's wheel: pip install hatchling")
    with tempfile.TemporaryDirectory() as aside:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", aside]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        made = list(Path(aside).glob("*.whl"))
        if done.returncode or not made:
            reason = " ".join((done.stderr or done.stdout).split())[-160:]
            raise UserError(f"hatchling cannot build ntkrun's wheel from {root} ({reason})")
        with zipfile.ZipFile(made[0]) as archive:
            return {name: archive.read(name) for name in archive.namelist() if Path(name).name not in NOT_PACKED}


def _installed() -> dict[str, bytes]:
    """{name: content} of the installed package's files, as the installer recorded them."""
    try:
        found = importlib.metadata.distribution("ntkrun")
    except importlib.metadata.PackageNotFoundError:
        found = None
    files = [] if found is None else found.files or []
    if found is None or Path(str(found.locate_file("ntkrun"))).resolve() != PACKAGE.resolve() or not files:
        raise UserError(f"{PACKAGE} is neither a checkout nor installed: pip install ntkrun, or run from a checkout")
    # without scripts, which lie outside of the package, and without .pyc files, which depend on the Python
    packed = [
        file for file in files if ".." not in file.parts and file.suffix != ".pyc" and file.name not in NOT_PACKED
    ]
    return {file.as_posix(): Path(str(found.locate_file(file))).read_bytes() for file in packed}


def _write(path: Path, members: dict[str, bytes]) -> None:
    """Write these files and their RECORD as a zip; equal files give equal bytes."""
    record = next(name for name in members if name.endswith(".dist-info/WHEEL")).replace("WHEEL", "RECORD")
    lines = []
    for name, content in sorted(members.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    whole = {**dict(sorted(members.items())), record: "".join([*lines, f"{record},,\n"]).encode()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in whole.items():
            entry = zipfile.ZipInfo(name)  # with zip's earliest date instead of today's
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
