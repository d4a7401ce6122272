"""What the infinite-width side costs: many times of eqs (14), (15) beside one, and memory of large analytic kernels.

1. `ntk_gp` at 100 times over one time, run in turn: N = 1,000 training images, 20, 50 and 100 test images, whole
   covariance
2. peak resident memory of a process that builds NNGP and NTK of N = 10,000 images, L = 3, beside the 2 N^2 numbers of
   the result; and seconds

    python scripts/bench_theory.py [--images 10000] [--repeats 5] [--skip-memory] [--skip-times]
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from ntkrun.data.dataset import load_dataset
from ntkrun.kernels.analytic import TILE_BYTES, Kernels, analytic_kernels
from ntkrun.theory.output_distribution import ntk_gp

RECURSION = dict(depth=3, sigma_w2=2.0, sigma_b2=0.1)
TARGET_TIMES, TARGET_GB = 1.5, 3.0


def images(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n train and m test images and one-hot targets, MNIST where it is prepared (its stand-in has 5,000)."""
    data = load_dataset(
        name="mnist", source="auto", classes=None, n_train=n, n_test=m, preprocess="sphere", targets="one_hot", seed=0
    )
    print(f"{n} images of {data.name}")
    return data.x_train.reshape(n, -1), data.x_test.reshape(m, -1), data.y_train


def bench_times(n: int, repeats: int) -> None:
    """1: the ratio for each number of test images."""
    x, x_test, y = images(n, 100)
    for m in (20, 50, 100):
        line = x_test[:m]
        pairs = ((x, None), (line, x), (line, None))
        kernels = [analytic_kernels(a, b, activation="erf", **RECURSION) for a, b in pairs]
        times = np.geomspace(1.0, 1e6, 100)

        def seconds(ts: np.ndarray, kernels: list[Kernels] = kernels) -> float:
            began = time.perf_counter()
            ntk_gp(*kernels, y, ts)
            return time.perf_counter() - began

        seconds(times)
        found = [(seconds(times), seconds(times[50:51])) for _ in range(repeats)]
        many, one = (statistics.median(column) for column in zip(*found, strict=True))
        ratios = sorted(a / b for a, b in found)
        print(
            f"eqs (14), (15), N = {n}, {m} test images: 100 times {many:.3f} s, one {one:.3f} s, ratio "
            f"{statistics.median(ratios):.2f} (target <= {TARGET_TIMES}; {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def measure_memory(n: int, activation: str, dtype: str) -> None:
    """In this process: build the kernels and say what it took."""
    x, _, _ = images(n, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    began = time.perf_counter()
    kernels = analytic_kernels(x, activation=activation, **RECURSION, dtype=np.dtype(dtype), tile_bytes=TILE_BYTES)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    result = sum(kernel.nbytes for kernel in kernels) / 2**30
    print(
        f"{activation} {dtype}: {seconds:.1f} s, peak resident memory {peak:.2f} GiB (target < {TARGET_GB}), "
        f"of which the result {result:.2f}, and {before:.2f} before it began"
    )
    if peak >= TARGET_GB:
        sys.exit(1)


def bench_memory(n: int) -> None:
    """2, each in a process of its own: a peak is never given back."""
    for activation, dtype in (("relu", "float64"), ("erf", "float32")):
        child = [sys.executable, __file__, "--measure", activation, dtype, "--images", str(n)]
        subprocess.run(child, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--skip-times", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("ACTIVATION", "DTYPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_memory(options.images, *options.measure)
        return
    if not options.skip_times:
        bench_times(min(1000, options.images), options.repeats)
    if not options.skip_memory:
        bench_memory(options.images)


if __name__ == "__main__":
    main()
