"""What packing saves: cells of 3 networks of n = 64 against cells of one, each pair timed in turn in one run.

1. the whole cell (images, theta0, kernels at every record point, compilation) for 2^13 steps of Figure 1; target 1.5
2. a step alone; no target: one network of n = 64 keeps one core busy, so three of them take 3/2 of its time at best on
   two cores, and 2 where a thread takes whole networks.  The speed of a step is printed beside that of a product of two
   1024 x 1024 matrices, which has all cores.

    python scripts/bench_sweeps.py [--pairs 3]
"""

import argparse
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

from ntkrun.cli.hydra.compose import compose
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs import width_changes
from ntkrun.experiments.runs.prepare import load
from ntkrun.lockstep.executor import Executor
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells

jax.config.update("jax_enable_x64", True)
STEPS = 256


def settings_of(networks: int) -> Any:
    overrides = ["experiment=fig1", "scale=paper", "model.width=64", "optimizer.steps=8192", f"networks={networks}"]
    (cell,) = make_cells(load_experiment("fig1"), compose(overrides).settings)
    return cell.settings


def whole_cell(settings: Any) -> float:
    """Seconds, compilation included: what a user waits for."""
    jax.clear_caches()
    began = time.perf_counter()
    width_changes.compute(settings, "bench", Silent())
    return time.perf_counter() - began


def stepper(settings: Any) -> Any:
    """A call that takes STEPS steps and returns the seconds of one."""
    executor = Executor(
        (width_changes.build_ensemble(settings, load(settings.data, settings.loss, Silent())),), None, 1
    )
    states = executor.init()

    def timed() -> float:
        nonlocal states
        began = time.perf_counter()
        states = executor.advance(states, None, STEPS)
        return (time.perf_counter() - began) / STEPS

    timed()
    return timed


def product_speed() -> float:
    """GFLOP/s of a float32 product of two 1024 x 1024 matrices."""
    a, product = jnp.ones((1024, 1024), jnp.float32), jax.jit(jnp.matmul)
    jax.block_until_ready(product(a, a))
    began = time.perf_counter()
    for _ in range(5):
        jax.block_until_ready(product(a, a))
    return 5 * 2 * 1024**3 / (time.perf_counter() - began) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    pairs = parser.parse_args().pairs
    one, three = settings_of(1), settings_of(3)
    whole_cell(one)  # what is loaded or read once is not the first pair's
    cells = [(whole_cell(one), whole_cell(three)) for _ in range(pairs)]
    ratios = sorted(b / a for a, b in cells)
    print(
        f"whole cell, 3 networks over 1: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, {pairs} pairs; "
        f"target <= 1.5); seconds {cells[-1][0]:.1f}, {cells[-1][1]:.1f}"
    )
    first, second = stepper(one), stepper(three)
    steps = [(first(), second()) for _ in range(4 * pairs)]
    single = statistics.median(a for a, _ in steps)
    # forward, gradient of the weights, gradient of the inputs (not of the first layer's), N = 128 and 128 inputs
    flops = 2 * 128 * (2 * 128 * 64 + 3 * (2 * 64 * 64 + 64 * 10))
    print(f"a step, 3 networks over 1: {statistics.median(b / a for a, b in steps):.2f}")
    print(f"a step of one: {flops / single / 1e9:.0f} GFLOP/s; 1024 x 1024 products: {product_speed():.0f} GFLOP/s")


if __name__ == "__main__":
    main()
