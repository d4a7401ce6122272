"""Analytic NNGP and NTK beside the authors' library, run in turn: seconds, their ratio, and whether the kernels agree.

The library is archived and imports on old versions of JAX only, so it lives in an environment of its own, made here on
first use, and its process answers one request at a time.  The images are MNIST (N, L = 3, sigma_w^2 = 2, sigma_b^2 = .1);
each side runs at the precision that is asked of both.

    python scripts/bench_peer.py [--images 3000] [--depth 3] [--repeats 7] [--venv .venv-peer]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ntkrun.data.dataset import load_dataset
from ntkrun.kernels.analytic import Kernels, analytic_kernels

PINNED = (
    "jax==0.4.30", "jaxlib==0.4.30", "numpy<2", "scipy<1.14", "tf2jax==0.3.6", "neural-tangents==0.6.5"
)  # fmt: skip
TARGET = 0.7
SIGMA_W2, SIGMA_B2 = 2.0, 0.1

# What the other process does: reads its inputs, then one "activation" a line, and answers with the seconds of one call.
WORKER = """
import sys, time
import jax
import numpy as np
from neural_tangents import stax

folder, depth, sigma_w, sigma_b = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
x = jax.numpy.asarray(np.load(folder + "/x.npy"))
dense = lambda: stax.Dense(1, W_std=sigma_w, b_std=sigma_b)

def kernel_function(activation):
    phi = {"relu": stax.Relu, "erf": stax.Erf}[activation]
    layers = [layer for _ in range(depth) for layer in (dense(), phi())] + [dense()]
    kernel_fn = stax.serial(*layers)[2]
    return jax.jit(lambda x: kernel_fn(x, None, ("nngp", "ntk")))

functions = {}
for line in sys.stdin:
    activation = line.strip()
    first = activation not in functions
    function = functions.setdefault(activation, kernel_function(activation) if first else None)
    began = time.perf_counter()
    kernels = jax.block_until_ready(function(x))
    seconds = time.perf_counter() - began
    if first:
        np.savez(folder + "/" + activation + ".npz", nngp=kernels.nngp, ntk=kernels.ntk)
    print(seconds, flush=True)
"""


def environment(folder: Path) -> Path:
    """The Python of the library's own environment, made if it is not there."""
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        print(f"making {folder} with {', '.join(PINNED)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([str(python), *quiet, *PINNED], check=True)
        (folder / ".ready").touch()
    return python


class Peer:
    """The authors' library at one precision, in its own process."""

    def __init__(self, python: Path, x: np.ndarray, depth: int, folder: str) -> None:
        self.folder = folder
        np.save(f"{folder}/x.npy", x)
        numbers = [str(depth), str(SIGMA_W2**0.5), str(SIGMA_B2**0.5)]
        surrounding = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        surrounding |= {"JAX_ENABLE_X64": "1" if x.dtype == np.float64 else "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", "-c", WORKER, folder, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=surrounding,
        )

    def seconds(self, activation: str) -> float:
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(activation + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit("error: the authors' library stopped; remove its environment and try again")
        return float(answer)

    def kernels(self, activation: str) -> Kernels:
        """What the first call computed."""
        stored = np.load(f"{self.folder}/{activation}.npz")
        return Kernels(stored["nngp"], stored["ntk"])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def compare(python: Path, x: np.ndarray, depth: int, repeats: int) -> None:
    """One precision, both activations: ours and theirs alternate."""
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(python, x, depth, folder)
        for activation in ("relu", "erf"):

            def ours(activation: str = activation) -> tuple[float, Kernels]:
                began = time.perf_counter()
                kernels = analytic_kernels(
                    x, depth=depth, activation=activation, sigma_w2=SIGMA_W2, sigma_b2=SIGMA_B2, dtype=x.dtype
                )
                return time.perf_counter() - began, kernels

            own, theirs = ours()[1], peer.seconds(activation) and peer.kernels(activation)
            apart = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(own, theirs, strict=True))
            pairs = [(ours()[0], peer.seconds(activation)) for _ in range(repeats)]
            mine, other = (statistics.median(times) for times in zip(*pairs, strict=True))
            ratios = sorted(a / b for a, b in pairs)
            print(
                f"{activation:5} {x.dtype}: ours {mine:.3f} s, theirs {other:.3f} s, ratio {statistics.median(ratios):.2f} "
                f"(target <= {TARGET}; {ratios[0]:.2f} to {ratios[-1]:.2f} over {len(pairs)} pairs); "
                f"largest difference {apart:.1e} of the largest entry"
            )
        peer.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--venv", type=Path, default=Path(".venv-peer"))
    options = parser.parse_args()
    images = load_dataset(
        name="mnist", source="auto", classes=None, n_train=options.images, n_test=1, preprocess="sphere",
        targets="one_hot", seed=0,
    )  # fmt: skip
    python = environment(options.venv)
    print(f"NNGP and NTK of {options.images} images ({images.name}), L = {options.depth}, {os.cpu_count()} cores")
    for dtype in (np.float32, np.float64):
        compare(python, images.x_train.reshape(options.images, -1).astype(dtype), options.depth, options.repeats)


if __name__ == "__main__":
    main()
