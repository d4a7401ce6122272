"""The device of a run: how products are computed on it, what it is, and what its programs took to compile."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from ntkrun.devices.platform import GPU_FLAGS
from ntkrun.lockstep.mesh import count_devices
from ntkrun.runner.compiled import cache_in_use, keep_compiled_programs, programs_of
from ntkrun.settings.base import CommonSettings

DRIVER = Path("/proc/driver/nvidia/version")
# JAX's names for the time that a program takes before it runs
COMPILING = {"/jax/core/compile/backend_compile_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration"}
TRACING = {"/jax/core/compile/jaxpr_trace_duration"}


def ready(settings: CommonSettings) -> list[str]:
    """Make JAX compute as runs do; what to warn of.  UserError for devices that are not there."""
    used = count_devices(settings.devices)
    if settings.compilation_cache:
        keep_compiled_programs()
    # products that state no precision, as in a module of the user's own; those of ours state theirs
    jax.config.update("jax_default_matmul_precision", "highest")
    return warnings(used)


def described(used: int) -> dict[str, Any]:
    """What rounding may depend on besides the program: device, driver and what XLA was told; `used` devices."""
    device, flags = jax.devices()[0], os.environ.get("XLA_FLAGS", "")
    told: dict[str, Any] = {"platform": device.platform, "kind": device.device_kind, "used": used}
    told |= {"xla_flags": flags} if flags else {}
    if device.platform == "cpu":
        return told
    told |= {"backend": " ".join(str(device.client.platform_version).split()), "driver": driver()}
    told |= {"programs": programs_of(cache_in_use())}
    return told | ({"deterministic": is_deterministic(flags)} if device.platform == "gpu" else {})


def warnings(used: int) -> list[str]:
    """What is not as reproducible as on a CPU, a line each."""
    told, found = described(used), []
    if told.get("deterministic") is False:
        found.append(
            f"XLA_FLAGS allow sums in an order that changes from run to run: two runs will not agree to the bit "
            f"(without them ntkrun sets {next(iter(GPU_FLAGS))}=true)"
        )
    if told["platform"] != "cpu" and told["programs"] is None:
        found.append(
            "compiled programs are not kept: a run that goes on after an interruption compiles them anew, and they may "
            "round differently (compilation_cache=true keeps them)"
        )
    return found


def is_deterministic(flags: str) -> bool:
    """Whether a program gives the same bits each time it runs on a GPU; of several values of a flag the last one counts."""
    flag = next(iter(GPU_FLAGS))
    told = [item.partition("=")[2] for item in flags.split() if item.partition("=")[0] == flag]
    return bool(told) and told[-1].lower() in ("true", "1", "")


def driver() -> str | None:
    """The version of NVIDIA's driver, None where there is none."""
    try:
        found = re.search(r"\d+\.\d+(\.\d+)?", DRIVER.read_text())
    except OSError:
        return None
    return found[0] if found else None


def peak_bytes() -> int | None:
    """The most that this process has held on its device so far; None where the device does not say."""
    told = jax.local_devices()[0].memory_stats() or {}
    return told.get("peak_bytes_in_use")


@dataclass
class Preparation:
    """Seconds of this process that went into programs before they ran, and how many were compiled."""

    tracing: float = 0.0
    compiling: float = 0.0
    programs: int = 0

    def heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        """What JAX calls, under the names that it gives."""
        self.tracing += duration_secs if event in TRACING else 0.0
        self.compiling += duration_secs if event in COMPILING else 0.0
        self.programs += event.endswith("backend_compile_duration")

    def since(self, before: "Preparation") -> dict[str, Any]:
        """What has been added since the copy `before`, for the provenance."""
        return {
            "tracing_seconds": round(self.tracing - before.tracing, 2),
            "compile_seconds": round(self.compiling - before.compiling, 2),
            "programs": self.programs - before.programs,
        }


prepared = Preparation()  # of this process: JAX tells a listener once and for all
jax.monitoring.register_event_duration_secs_listener(prepared.heard)
