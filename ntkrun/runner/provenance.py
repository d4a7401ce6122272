"""Where a number came from: code, settings, versions, device, images, time."""

import importlib.metadata
import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import ntkrun
from ntkrun.runner.plan import Cell
from ntkrun.settings.base import CommonSettings
from ntkrun.settings.schema import local_fields

# Beside the package in a bundle's wheel: what `code_version` said where the bundle was made.
STAMP = "stamp.json"

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "pandas", "pyarrow", "hydra-core")


def code_version() -> dict[str, Any]:
    """Version, and commit and dirty flag when the package runs from its own git checkout or was bundled there."""
    package = Path(ntkrun.__file__).parent
    root, stamp = package.parent, package / STAMP
    version: dict[str, Any] = {"ntkrun": ntkrun.__version__, "commit": None, "dirty": None}
    if stamp.is_file():
        return version | json.loads(stamp.read_text())
    if not (root / ".git").exists():
        return version
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=10)
        # a run's own tables, which may be committed, are not what it was run with
        changed = ["git", "status", "--porcelain", "--", ".", ":!results"]
        status = subprocess.run(changed, cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return version
    if commit.returncode == 0:
        version |= {"commit": commit.stdout.strip(), "dirty": bool(status.stdout.strip())}
    return version


def versions_and_device(devices: int | Literal["all"]) -> dict[str, Any]:
    """What rounding may depend on besides the settings that identify a cell; `devices` as in the settings."""
    # JAX, which a report, whose code version stands above, does without
    from ntkrun.devices.numerics import random_numbers
    from ntkrun.lockstep.mesh import count_devices
    from ntkrun.runner.device import described

    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"packages": packages, "device": described(count_devices(devices)), "random_numbers": random_numbers()}


def precision_of(settings: CommonSettings) -> dict[str, str]:
    """In what the products of training steps are computed, and those of everything else."""
    dtype = getattr(getattr(settings, "model", None), "dtype", "float64")
    steps = getattr(settings, "matmul", "as_dtype")
    return {"steps": dtype if steps == "as_dtype" else f"{steps} factors, {dtype} results", "else": dtype}


def cell_provenance(
    cell: Cell, fingerprint: str, started: datetime, preparation: dict[str, Any], facts: dict[str, Any]
) -> dict[str, Any]:
    """What is stored beside a cell's table; `preparation`: what its programs took before they ran."""
    finished = datetime.now(UTC)
    # results_dir is a path of the machine and nobody else's business
    local = {name for name, how in local_fields(type(cell.settings)).items() if how is True}
    return {
        "cell": cell.name,
        "config_hash": cell.config_hash,
        "data_fingerprint": fingerprint,
        "data_source": facts.get("data", {}).get("source", "none"),
        "settings": cell.settings.model_dump(mode="json", exclude=local - {"scale"}),
        "code": code_version(),
        "python": platform.python_version(),
        **versions_and_device(cell.settings.devices),
        "precision": precision_of(cell.settings),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="milliseconds"),
        "wall_seconds": round((finished - started).total_seconds(), 2),
        "preparation": preparation,
        "facts": facts,
    }
