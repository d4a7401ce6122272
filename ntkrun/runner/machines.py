"""What machines do in a second: the one table that `stage=plan` and the time left rest on.

Figures of the H100 (SXM) and the H200, the same chip with 4.8 TB/s in place of 3.35, are what `scripts/bench_device.py` found on
one H200 where it looked: float32 products at 37 (256 rows) to 45 TFLOP/s (131,072 rows), TF32 at 106 to 270, and 2.7 us for each
kernel of a compiled step of small arrays, which has one and a half times as many kernels as a plan counts: 4 us for each of those.
The rest are estimates, fractions of the data sheets: 30 TFLOP/s in float64, 400 in bfloat16, four fifths of the bandwidth.  The
A100 (SXM, 80 GB) has by its data sheet 19.5 TFLOP/s in float32 and float64, 156 in TF32, 312 in bfloat16 and 2.0 TB/s: similar
fractions of them, nothing measured.  A machine that is not in the table is measured.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ntkrun.costs import Kernel
from ntkrun.devices.placement import ON_A_CPU, SHARE
from ntkrun.errors import UserError

TAKEN = 0.75  # of an accelerator's memory, by JAX unless it is told otherwise
LAUNCH = 4e-6  # seconds that a planned kernel takes on a GPU at least
# Seconds of a program, and of each of its kernels: two cores that compile for themselves; one core that compiles for an H100
# without timing candidates (docs/gpu.md).
COMPILING = {"cpu": (0.15, 0.01), "gpu": (0.3, 0.006)}


@dataclass(frozen=True)
class Machine:
    """rates: FLOP/s by the precision of the factors; "default" is what a float32 product gets that asks for nothing.

    platform       what programs are traced for
    bandwidth      bytes/s
    memory         bytes that a program may take
    launch         seconds that a kernel takes at least
    compile_start  seconds that a program takes to compile, and `compile_kernel` for each of its kernels
    source         where the figures come from, for the reader of a plan
    """

    name: str
    platform: str
    rates: Mapping[str, float]
    bandwidth: float
    memory: float
    launch: float
    compile_start: float
    compile_kernel: float
    source: str

    def seconds(self, kernels: list[Kernel]) -> float:
        """Of one turn of a program: each kernel takes as long as its launch, its bytes or its FLOPs, whichever is most."""
        return sum(kernel.turns * self._of_one(kernel) for kernel in kernels)

    def _of_one(self, kernel: Kernel) -> float:
        computing = sum(count / self.rate(precision) for precision, count in kernel.flops.items())
        return max(self.launch, kernel.bytes / self.bandwidth, computing)

    def rate(self, precision: str) -> float:
        """FLOP/s; of what the table does not have, whole numbers say, as of float32."""
        return self.rates.get(precision, self.rates["float32"])

    def compile_seconds(self, kernels: list[Kernel]) -> float:
        return self.compile_start + self.compile_kernel * len(kernels)

    @property
    def block_bytes(self) -> int:
        """Memory of a block of examples of a convolutional kernel."""
        return ON_A_CPU if self.platform == "cpu" else int(SHARE * self.memory)

    def at(self, flop_rate: float) -> "Machine":
        """The same with one rate for all products."""
        return replace(self, rates=dict.fromkeys(self.rates, flop_rate), source=f"{self.source}; flop_rate as asked")


def _gpu(name: str, bandwidth: float, memory: float, *tera: float) -> Machine:
    rates = dict(zip(("float64", "float32", "tf32", "bfloat16"), (1e12 * rate for rate in tera), strict=True))
    rates |= {"default": rates["tf32"], "float16": rates["bfloat16"]}
    return Machine(
        name, "gpu", rates, bandwidth, TAKEN * memory, LAUNCH, *COMPILING["gpu"], "estimates, see docs/gpu.md"
    )


KNOWN = {
    "a100": _gpu("a100", 1.6e12, 80e9, 9.0, 15.0, 63.0, 126.0),
    # float32 and TF32 as scripts/bench_device.py found them on an H200, whose multiprocessors are those of an H100
    "h100": _gpu("h100", 2.7e12, 80e9, 30.0, 40.0, 200.0, 400.0),
    "h200": _gpu("h200", 3.9e12, 141e9, 30.0, 40.0, 200.0, 400.0),
}


def machine_of(device: str, flop_rate: float | str) -> Machine:
    """The machine that the settings `device` and `flop_rate` mean; "auto" and "cpu" are measured in a second or two."""
    found = KNOWN[device] if device in KNOWN else at_hand("cpu" if device == "cpu" else None)
    return found if isinstance(flop_rate, str) else found.at(flop_rate)


@cache
def at_hand(platform: str | None = None) -> Machine:
    """The first device that JAX has, by its name where the table has it, else measured.

    Raises: UserError where it has none, or none of that platform.
    """
    import jax

    from ntkrun.lockstep.mesh import count_devices

    count_devices("all")
    try:
        device = jax.local_devices(backend=platform)[0]
    except RuntimeError as error:
        raise UserError(
            f"device={platform}: JAX runs on {jax.default_backend()} only here (JAX_PLATFORMS); use device=auto or one "
            f"of {', '.join(KNOWN)}"
        ) from error
    words = device.device_kind.lower().replace("-", " ").split()
    listed = [machine for name, machine in KNOWN.items() if name in words]
    return listed[0] if listed else measured(device)


def measured(device: Any) -> Machine:
    import jax
    import jax.numpy as jnp

    on_cpu = device.platform == "cpu"
    n = 2048 if on_cpu else 8192
    with jax.default_device(device):
        rates = {}
        for name, dtype, precision in (
            ("float32", jnp.float32, "highest"),
            ("float64", jnp.float64, "highest"),
            *([] if on_cpu else [("tf32", jnp.float32, "high"), ("bfloat16", jnp.bfloat16, None)]),
            *([] if on_cpu else [("default", jnp.float32, None)]),
        ):
            a = jnp.ones((n, n), dtype)
            product = jax.jit(lambda a, precision=precision: jnp.matmul(a, a, precision=precision))
            rates[name] = 2.0 * n**3 / _shortest(product, a)
        # a CPU rounds factors to fewer digits and then multiplies as ever
        rates = {name: rates.get(name, rates["float32"]) for name in ("tf32", "bfloat16", "float16", "default")} | rates
        many = jnp.ones(2**25 if on_cpu else 2**28, jnp.float32)
        bandwidth = 2.0 * many.nbytes / _shortest(jax.jit(lambda x: x + 1.0), many)
        turns = 1000
        loop = jax.jit(lambda x: jax.lax.fori_loop(0, turns, lambda _, x: jnp.sin(x @ x), x))
        launch = _shortest(loop, jnp.ones((8, 8), jnp.float32)) / turns / 2
    compiling = COMPILING["cpu" if on_cpu else "gpu"]
    kind = f"{os.cpu_count()} cores" if on_cpu else device.device_kind
    return Machine(
        device.platform, device.platform, rates, bandwidth, _memory(device), launch, *compiling, f"{kind}, measured now"
    )


def _shortest(function: Callable[[Any], Any], argument: Any) -> float:
    """Seconds of the best of three calls after the one that compiles."""
    function(argument).block_until_ready()
    found = []
    for _ in range(3):
        began = time.perf_counter()
        function(argument).block_until_ready()
        found.append(time.perf_counter() - began)
    return min(found)


def memory_at_hand() -> float:
    """Bytes of the first device that JAX has, of which all processes on it have to make do."""
    import jax

    device = jax.local_devices()[0]
    known = at_hand().memory / TAKEN if device.platform != "cpu" and at_hand().name in KNOWN else None
    return known or _memory(device)


def _memory(device: Any) -> float:
    stats = None if device.platform == "cpu" else device.memory_stats()
    if stats:
        return float(stats["bytes_limit"])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
