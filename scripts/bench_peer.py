"""Analytic NNGP and NTK beside the authors' library, run in turn: seconds, their ratio, and whether the kernels agree.

The library is archived and imports on old versions of JAX only, so it lives in an environment of its own, made here on
first use, and its process answers one request at a time.  The images are MNIST (N, L = 3, sigma_w^2 = 2, sigma_b^2 = .1);
each side runs at the precision that is asked of both.  --cnn: L convolutions 3 x 3 and ReLU instead, with every position by
itself (flatten) and with an average over all of them (gap), in float64 on images of CIFAR-10 averaged to 16 x 16, an eighth
as many for the average; and the largest memory that each process has held.

    python scripts/bench_peer.py [--images 3000] [--depth 3] [--repeats 7] [--venv .venv-peer]
    python scripts/bench_peer.py --cnn [--images 200]
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

# What the other process does: reads its inputs, then one "activation" a line, or the end of a convolutional network, and
# answers with the seconds of one call and the MB that it has held at most.
WORKER = """
import resource, sys, time
import jax
import numpy as np
from neural_tangents import stax

folder, depth, sigma_w, sigma_b = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
x = jax.numpy.asarray(np.load(folder + "/x.npy"))
dense = lambda: stax.Dense(1, W_std=sigma_w, b_std=sigma_b)

conv = lambda: stax.Conv(1, (3, 3), padding="SAME", W_std=sigma_w, b_std=sigma_b)
heads = {"flatten": stax.Flatten, "gap": stax.GlobalAvgPool}

def kernel_function(activation):
    if activation in heads:
        layers = [layer for _ in range(depth) for layer in (conv(), stax.Relu())] + [heads[activation](), dense()]
        kernel_fn = stax.serial(*layers)[2]
        return jax.jit(lambda x: kernel_fn(x, None, ("nngp", "ntk")))
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
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
"""

# The same here, in a process of its own, whose memory is its own, too.
OWN_WORKER = """
import resource, sys, time
import numpy as np
from ntkrun import infinite_width_kernels, networks

folder, depth, sigma_w2, sigma_b2 = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) ** 2, float(sys.argv[4]) ** 2
x = np.load(folder + "/x.npy")
affine = dict(sigma_w2=sigma_w2, sigma_b2=sigma_b2)
heads = {"flatten": networks.Flatten(), "gap": networks.GlobalAveragePool()}
for line in sys.stdin:
    hidden = [layer for _ in range(depth) for layer in (networks.Conv(1, **affine), networks.Activation("relu"))]
    network = networks.Sequential(*hidden, heads[line.strip()], networks.Dense(1, **affine))
    began = time.perf_counter()
    kernels = infinite_width_kernels(network, x)
    seconds = time.perf_counter() - began
    np.savez(folder + "/own_" + line.strip() + ".npz", nngp=kernels.nngp, ntk=kernels.ntk)
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
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
    """The authors' library at one precision, in its own process; or another worker."""

    def __init__(self, python: Path, x: np.ndarray, depth: int, folder: str, worker: str = WORKER) -> None:
        self.folder, self.megabytes = folder, 0
        np.save(f"{folder}/x.npy", x)
        numbers = [str(depth), str(SIGMA_W2**0.5), str(SIGMA_B2**0.5)]
        surrounding = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        surrounding |= {"JAX_ENABLE_X64": "1" if x.dtype == np.float64 else "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", "-c", worker, folder, *numbers],
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
        seconds, megabytes = answer.split()
        self.megabytes = int(megabytes)
        return float(seconds)

    def kernels(self, name: str) -> Kernels:
        """What the first call computed, ours under own_..."""
        stored = np.load(f"{self.folder}/{name}.npz")
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


def compare_convolutions(python: Path, x: np.ndarray, depth: int, head: str, repeats: int) -> None:
    """Both sides in processes of their own, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        sides = [Peer(Path(sys.executable), x, depth, folder, OWN_WORKER), Peer(python, x, depth, folder)]
        for side in sides:
            side.seconds(head)  # compiles
        pairs = [[side.seconds(head) for side in sides] for _ in range(repeats)]
        (mine, other), ratios = np.median(pairs, axis=0), sorted(a / b for a, b in pairs)
        kernels = sides[0].kernels(f"own_{head}"), sides[1].kernels(head)
        apart = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(*kernels, strict=True))
        held = [side.megabytes for side in sides]
        print(
            f"{head:7} {len(x)} images {x.shape[1]} x {x.shape[2]}: ours {mine:.2f} s, theirs {other:.2f} s, ratio "
            f"{np.median(ratios):.2f} (target <= {TARGET}; {ratios[0]:.2f} to {ratios[-1]:.2f} over {repeats} pairs); memory "
            f"{held[0]} MB, theirs {held[1]} MB; largest difference {apart:.1e} of the largest entry"
        )
        for side in sides:
            side.stop()


def convolutions(options: argparse.Namespace) -> None:
    data = load_dataset(
        name="cifar10", source="auto", classes=None, n_train=options.images, n_test=1, preprocess="sphere",
        targets="one_hot", seed=0, averaged=2,
    )  # fmt: skip
    python, x = environment(options.venv), np.asarray(data.x_train, np.float64)
    print(f"NNGP and NTK of {data.name}, L = {options.depth} convolutions, float64, {os.cpu_count()} cores")
    compare_convolutions(python, x, options.depth, "flatten", options.repeats)
    compare_convolutions(python, x[: max(1, len(x) // 8)], options.depth, "gap", options.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=None, help="default: 3000, with --cnn 200")
    parser.add_argument("--cnn", action="store_true", help="convolutional networks")
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--venv", type=Path, default=Path(".venv-peer"))
    options = parser.parse_args()
    options.images = options.images or (200 if options.cnn else 3000)
    if options.cnn:
        return convolutions(options)
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
