"""How fast steps are on this machine's accelerator, in about a minute: a table, and a line of JSON for each case.

1. microseconds of a step of the network, of the lockstep (network and f_lin), and their ratio
2. FLOP/s of these steps beside those of the case's own matrix product, at the same precision of the factors
3. the loop of Figure 1 under other flags of XLA, each in a process of its own: a flag counts from the start

Times are medians of calls of so many steps that a call takes a tenth of a second or more; FLOPs are those of the traced
steps' products.

    python scripts/bench_device.py [--seconds 1] [--small] [--flags]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from ntkrun.accelerators import GPU_FLAGS, tell_xla

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


def mover(rivals: tuple, batches: object) -> Callable[[int], object]:
    """A call that moves the rivals on by so many steps, as a run does; with mini-batches by those of its block in turn."""
    from ntkrun.dynamics.lanes import Lanes

    lanes = Lanes(rivals, None, 1)
    box = [lanes.init()]

    def run(steps: int) -> None:
        # a block of mini-batches has 32
        for count in [steps] if batches is None else [32] * (steps // 32):
            box[0] = lanes.advance(box[0], batches, count)

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

    from ntkrun.dynamics.ensemble import Ensemble
    from ntkrun.dynamics.network import Network
    from ntkrun.models import build_model

    model = build_model(
        "fc", depth=3, width=width, n_outputs=10, activation="relu", sigma_w2=1.0, sigma_b2=0.0, dtype="float32"
    )
    x = jax.random.normal(jax.random.key(0), (128, 128), jnp.float32)
    y = jax.nn.one_hot(jnp.arange(128) % 10, 10, dtype=jnp.float32)
    thetas = jax.jit(jax.vmap(lambda key: model.init(key, x[:1])["params"]))(jax.random.split(jax.random.key(1), count))
    network = Network(thetas, x, y, x[:1], model, optax.sgd(1.0), "mse", ())
    return (Ensemble(network, ("theta0",)),)


def cases(small: bool) -> Iterator[tuple[str, str, tuple, tuple, object, tuple[int, int, int]]]:
    """Name, precision of the factors, the network's rivals, those of the lockstep, mini-batches, the largest product."""
    from dataclasses import replace

    import jax
    from bench_core import MiniBatchSetting, Setting

    from ntkrun.dynamics.protocol import MiniBatches

    size = 8 if small else 1
    for width in (64 // size, 1024 // size):
        yield f"Figure 1, five networks of n = {width}", "highest", networks(5, width), (), None, (128, width, width)
    setting = Setting(2048 // size, 5, 256)
    network, linear = setting.rivals()
    rounded = replace(network, model=network.model.clone(matmul="tf32"))
    shape = (256, setting.width, setting.width)
    yield f"Figure 3, 5 x {setting.width}", "highest", (network,), (network, linear), None, shape
    yield f"Figure 3, 5 x {setting.width}", "tf32", (rounded,), (rounded, linear), None, shape
    for matmul, precision in (("as_dtype", "highest"), ("tf32", "tf32")):
        fc = MiniBatchSetting("", 64, (784,), (64, 1, 1), name="fc", width=2048 // size, depth=2, sigma_b2=0.1)
        net, lin = (replace(rival, model=rival.model.clone(matmul=matmul)) for rival in (fc.network, fc.linear))
        block = fc.batches.block(0, 32)
        shape = (64, 2048 // size, 2048 // size)
        yield f"Figure S3, 2 x {2048 // size}, batch 64", precision, (net,), (net, lin), block, shape
        width = 512 // size
        cnn = dict(name="cnn", width=width, depth=3, sigma_b2=0.1, pool="average", stride=1)
        conv = MiniBatchSetting("", 128, (32, 32, 3), (64, 1, 1), **cnn)
        net = replace(conv.network, model=conv.network.model.clone(matmul=matmul))
        block = MiniBatches(jax.random.key(2), conv.IMAGES, 128).block(0, 32)
        yield f"Figure S2, CNN of {width}, batch 128", precision, (net,), (), block, (131072, 9 * width, width)


PRECISIONS = {"highest": "highest", "tf32": "tensorfloat32"}


def measure(budget: float, small: bool, only_loops: bool) -> None:
    """A line of JSON for each case, as it is found."""
    import jax
    import jax.numpy as jnp

    from ntkrun.costs import Piece
    from ntkrun.data.batches import Batch

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    for name, precision, alone, both, block, shape in cases(small):
        if only_loops and not name.startswith("Figure 1"):
            return
        told: dict[str, object] = {"case": name, "factors": precision, "device": jax.devices()[0].device_kind}
        began = time.perf_counter()
        call = mover(alone, block)
        call(32)
        told["first_call_s"] = round(time.perf_counter() - began, 2)
        step = seconds_a_step(call, budget)
        rows = None if block is None else Batch(jnp.arange(64 if "S3" in name else 128))
        flops = sum(Piece("", lambda r, s: r.step(s, rows), (rival, rival.init())).flops for rival in alone)
        told |= {"us_network": round(1e6 * step, 1), "tflops_network": round(flops / step / 1e12, 2)}
        if both:
            together = seconds_a_step(mover(both, block), budget)
            told |= {"us_lockstep": round(1e6 * together, 1), "lockstep_over_network": round(together / step, 3)}
        run, of_one = product(*shape, PRECISIONS[precision])
        told["tflops_product"] = round(of_one / seconds_a_step(run, budget) / 1e12, 2)
        print(json.dumps(told), flush=True)


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
    parser.add_argument("--flags", action="store_true", help=f"Figure 1's loop without or with, beside {list(GPU_FLAGS)}")
    parser.add_argument("--loops", action="store_true", help="Figure 1's loop alone")
    options = parser.parse_args()
    if options.flags:
        under_flags(options.seconds, options.small)
        return
    tell_xla()
    measure(options.seconds, options.small, options.loops)


if __name__ == "__main__":
    main()
