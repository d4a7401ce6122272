"""How fast steps are on this machine's accelerator, in about a minute: a table, and a line of JSON for each case.

1. microseconds of a step of the network, of the lockstep (network and f_lin), and their ratio
2. FLOP/s of these steps beside those of the case's own matrix product, at the same precision of the factors
3. --flags: the loop of Figure 1 under other flags of XLA, each in a process of its own, since a flag counts from the start
4. --kernels: Theta_hat of 16 x 2,048 units forty times: whether it is the same to the bit and symmetric each time

Times are medians of calls of so many steps that a call takes a tenth of a second or more; FLOPs are those of the traced
steps' products.

    python scripts/bench_device.py [--seconds 1] [--small] [--flags | --kernels]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ntkrun.devices.platform import GPU_FLAGS, tell_xla

VARIANTS = {
    "as ntkrun runs": "",
    "Triton products": "--xla_gpu_enable_triton_gemm=true",
    "loop as one graph": "--xla_gpu_enable_command_buffer=+WHILE --xla_gpu_graph_min_graph_size=1",
    "any order of sums": "--xla_gpu_exclude_nondeterministic_ops=false",
}
LONG_ENOUGH = 0.1  # seconds of a call that is timed: a thousand times what calling it takes


def seconds_a_step(call: Callable[[int], object], budget: float) -> float:
    """Median seconds of a step; call(n) runs n of them and waits."""
    import numpy as np

    steps, took = 32, 0.0
    call(steps)
    while took < LONG_ENOUGH:
        began = time.perf_counter()
        call(steps)
        took = time.perf_counter() - began
        steps = steps if took >= LONG_ENOUGH else 32 * max(1, round(steps / 32 * min(8.0, 1.5 * LONG_ENOUGH / took)))
    found = [took]
    began = time.perf_counter()
    while time.perf_counter() - began < budget:
        once = time.perf_counter()
        call(steps)
        found.append(time.perf_counter() - once)
    return float(np.median(found)) / steps


def mover(rivals: tuple, batches: Any) -> Callable[[int], object]:
    """A call that moves the rivals on by so many steps; with mini-batches by those of its block of 32 in turn."""
    from bench_core import moving

    move = moving(rivals, batches, 32)

    def run(steps: int) -> None:
        for count in [steps] if batches is None else [32] * (steps // 32):
            move(count)

    return run


def product(m: int, k: int, n: int, precision: str) -> tuple[Callable[[int], object], float]:
    """A call that forms m x k times k x n so many times, and its FLOPs each time."""
    import jax
    import jax.numpy as jnp

    left, right = (jax.random.normal(jax.random.key(3), shape, jnp.float32) for shape in ((m, k), (k, n)))

    @jax.jit
    def products(left, right, turns):
        # each turn needs the one before, or the compiler would form one product alone
        def body(_, x):
            return x + 1e-6 * jnp.matmul(x, right, precision=precision)[:, :1]

        return jax.lax.fori_loop(0, turns // 32, lambda _, x: jax.lax.fori_loop(0, 32, body, x), left)

    return lambda turns: jax.block_until_ready(products(left, right, turns)), 2.0 * m * k * n


def networks(count: int, width: int) -> tuple:
    """Figure 1's loop: `count` networks of 3 hidden layers on 128 inputs in their span."""
    import jax
    import jax.numpy as jnp
    import optax

    from ntkrun.dynamics.network import Network
    from ntkrun.lockstep.ensemble import Ensemble
    from ntkrun.models import build_model

    model = build_model(
        "fc", depth=3, width=width, n_outputs=10, activation="relu", sigma_w2=1.0, sigma_b2=0.0, dtype="float32"
    )
    x = jax.random.normal(jax.random.key(0), (128, 128), jnp.float32)
    y = jax.nn.one_hot(jnp.arange(128) % 10, 10, dtype=jnp.float32)
    thetas = jax.jit(jax.vmap(lambda key: model.init(key, x[:1])["params"]))(jax.random.split(jax.random.key(1), count))
    network = Network(thetas, x, y, x[:1], model, optax.sgd(1.0), "mse", ())
    return (Ensemble(network, ("theta0",)),)


@dataclass
class Case:
    """factors: their precision; shape: m, k, n of the step's largest product; block: 32 mini-batches of `batch` rows."""

    name: str
    factors: str
    network: tuple
    lockstep: tuple
    shape: tuple[int, int, int]
    block: Any = None
    batch: int = 0

    def flops(self) -> float:
        """Of one step of the network, from its trace."""
        import jax.numpy as jnp

        from ntkrun.costs import Piece
        from ntkrun.data.batches import Batch

        rows = Batch(jnp.arange(self.batch)) if self.batch else None
        return sum(Piece("", lambda r, s: r.step(s, rows), (rival, rival.init())).flops for rival in self.network)


def cases(small: bool) -> Iterator[Case]:
    import jax
    from bench_core import MiniBatchSetting, Setting

    from ntkrun.lockstep.loop import MiniBatches

    size = 8 if small else 1
    for width in (64 // size, 1024 // size):
        name = f"Figure 1, five networks of n = {width}"
        yield Case(name, "highest", networks(5, width), (), (128, width, width))
    width = 2048 // size
    setting = Setting(width, 5, 256)
    network, linear = setting.rivals()
    rounded = replace(network, model=network.model.clone(matmul="tf32"))
    for net, factors in ((network, "highest"), (rounded, "tf32")):
        yield Case(f"Figure 3, 5 x {width}", factors, (net,), (net, linear), (256, width, width))
    for matmul, factors in (("as_dtype", "highest"), ("tf32", "tf32")):
        fc = MiniBatchSetting("", 64, (784,), (64, 1, 1), name="fc", width=width, depth=2, sigma_b2=0.1)
        net, lin = (replace(rival, model=rival.model.clone(matmul=matmul)) for rival in (fc.network, fc.linear))
        name, block = f"Figure S3, 2 x {width}, batch 64", fc.batches.block(0, 32)
        yield Case(name, factors, (net,), (net, lin), (64, width, width), block, 64)
        channels = 512 // size
        cnn = dict(name="cnn", width=channels, depth=3, sigma_b2=0.1, pool="average", stride=1)
        conv = MiniBatchSetting("", 128, (32, 32, 3), (64, 1, 1), **cnn)
        net = replace(conv.network, model=conv.network.model.clone(matmul=matmul))
        block = MiniBatches(jax.random.key(2), conv.IMAGES, 128).block(0, 32)
        name, shape = f"Figure S2, CNN of {channels}, batch 128", (131072, 9 * channels, channels)
        yield Case(name, factors, (net,), (), shape, block, 128)


PRECISIONS = {"highest": "highest", "tf32": "tensorfloat32"}


def measure(budget: float, small: bool, only_loops: bool) -> None:
    """A line of JSON for each case, as it is found."""
    import jax

    for case in cases(small):
        if only_loops and not case.name.startswith("Figure 1"):
            return
        told: dict[str, object] = {"case": case.name, "factors": case.factors, "device": jax.devices()[0].device_kind}
        began = time.perf_counter()
        call = mover(case.network, case.block)
        call(32)
        told["first_call_s"] = round(time.perf_counter() - began, 2)
        step = seconds_a_step(call, budget)
        told |= {"us_network": round(1e6 * step, 1), "tflops_network": round(case.flops() / step / 1e12, 2)}
        if case.lockstep:
            together = seconds_a_step(mover(case.lockstep, case.block), budget)
            told |= {"us_lockstep": round(1e6 * together, 1), "lockstep_over_network": round(together / step, 3)}
        run, of_one = product(*case.shape, PRECISIONS[case.factors])
        told["tflops_product"] = round(of_one / seconds_a_step(run, budget) / 1e12, 2)
        print(json.dumps(told), flush=True)


def repeated_kernels(small: bool, times: int = 40) -> None:
    """Theta_hat(all images, training images) as Figure S5 takes it, again and again on the same arrays.

    Its training rows come from one forward and backward pass of 640 images, its columns from one of 128: that the square
    block is symmetric to rounding holds these two against each other.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from ntkrun.kernels.empirical import empirical_ntk
    from ntkrun.models import build_model

    fields = dict(depth=16, width=2048 // (8 if small else 1), n_outputs=1, activation="relu", dtype="float32")
    model = build_model("fc", sigma_w2=2.0, sigma_b2=0.1, **fields)
    x = jax.random.normal(jax.random.key(0), (640, 640), jnp.float32)
    theta0 = jax.jit(model.init)(jax.random.key(1), x[:1])["params"]
    first, other, apart = None, 0, []
    for _ in range(times):
        kernel = np.asarray(empirical_ntk(model, theta0, x, x[:128]))[..., 0, 0]
        square = kernel[:128]
        apart.append(float(np.abs(square - square.T).max() / np.abs(square).max()))
        first = kernel if first is None else first
        other += not np.array_equal(first, kernel)
    told = {"device": jax.devices()[0].device_kind, "kernels": times, "of_other_bits": other}
    print(json.dumps(told | {"asymmetry": [min(apart), max(apart)]}), flush=True)


def under_flags(budget: float, small: bool) -> None:
    """Figure 1's loops under every variant of the flags."""
    for name, flags in VARIANTS.items():
        command = [sys.executable, __file__, "--loops", f"--seconds={budget}", *(["--small"] if small else [])]
        try:
            done = subprocess.run(
                command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, timeout=60
            )
        except subprocess.TimeoutExpired:
            print(json.dumps({"flags": name, "failed": "60 s were not enough"}), flush=True)
            continue
        for line in done.stdout.splitlines() if done.returncode == 0 else []:
            print(json.dumps({"flags": name} | json.loads(line)), flush=True)
        if done.returncode:
            print(json.dumps({"flags": name, "failed": done.stderr.strip().splitlines()[-1:]}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each time")
    parser.add_argument("--small", action="store_true", help="an eighth of every width: whether it runs, not how fast")
    parser.add_argument(
        "--flags", action="store_true", help=f"Figure 1's loop without or with, beside {list(GPU_FLAGS)}"
    )
    parser.add_argument("--kernels", action="store_true", help="whether a kernel is the same each time")
    parser.add_argument("--loops", action="store_true", help="Figure 1's loop alone")
    options = parser.parse_args()
    if options.flags:
        under_flags(options.seconds, options.small)
        return
    tell_xla()
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    if options.kernels:
        repeated_kernels(options.small)
        return
    measure(options.seconds, options.small, options.loops)


if __name__ == "__main__":
    main()
