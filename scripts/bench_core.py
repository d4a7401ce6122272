"""Ratios of the core to its floor, each pair timed in turn in one run: times drift on a busy machine, ratios do not.

1. a lockstep step (network and f_lin in function space) over a step of the network alone; floor 1
2. the empirical kernel at theta_0 over the matrix products it cannot avoid: forward L + 1, backward L, and half of every
   Gram product of layer inputs and of back-propagated derivatives
3. a mini-batch step of network and f_lin in parameter space over a step of the network alone, for a fully-connected
   network and for a wide ResNet; floor (3 + 5)/3: 3 products a layer for the network, 1 primal, 2 tangent and 2 transposed
   for f_lin; and what the network's step reaches of the speed of a matrix product

    python scripts/bench_core.py [--width 2048] [--depth 5] [--examples 256] [--repeats 9]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntkrun.costs import Piece
from ntkrun.data.batches import Batch
from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.linear_parameter_space import LinearParameterSpace
from ntkrun.dynamics.network import Network
from ntkrun.dynamics.protocol import MiniBatches, advance
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.models import build_model

INPUTS = 3072


def ratio(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float, list[float]]:
    """Median seconds of both and the ratios first / second, run in turn after a warm-up each."""

    def seconds(call: Callable[[], object]) -> float:
        began = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - began

    seconds(first), seconds(second)
    pairs = [(seconds(first), seconds(second)) for _ in range(repeats)]
    one, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    return one, other, sorted(a / b for a, b in pairs)


def report(what: str, target: float, found: tuple[float, float, list[float]]) -> None:
    one, other, ratios = found
    print(
        f"{what}: {statistics.median(ratios):.3f} (target <= {target:.3g}; {ratios[0]:.3f} to {ratios[-1]:.3f} "
        f"over {len(ratios)} pairs; medians {one * 1e3:.1f} ms and {other * 1e3:.1f} ms)"
    )


class Setting:
    """FC 3072 - depth x width - 1 in float32 on random inputs; only shapes matter to the time."""

    def __init__(self, width: int, depth: int, examples: int) -> None:
        self.width, self.depth, self.n = width, depth, examples
        self.model = build_model(
            "fc",
            width=width,
            depth=depth,
            n_outputs=1,
            activation="relu",
            sigma_w2=2.0,
            sigma_b2=0.1,
            parameterization="ntk",
            dtype="float32",
        )
        self.x = jax.random.normal(jax.random.key(0), (examples, INPUTS), jnp.float32)
        self.y = jnp.sign(jax.random.normal(jax.random.key(1), (examples, 1), jnp.float32))
        self.theta0 = jax.jit(self.model.init)(jax.random.key(2), self.x[:1])["params"]
        self.tx = optax.sgd(0.02)

    def rivals(self) -> tuple[Network, LinearFunctionSpace]:
        kernel = np.asarray(empirical_ntk(self.model, self.theta0, self.x), np.float64)
        network = Network(self.theta0, self.x, self.y, self.x[:1], self.model, self.tx, "mse", ())
        linear = LinearFunctionSpace.build(
            f0_train=jnp.zeros_like(self.y),
            f0_test=jnp.zeros((1, 1)),
            y_train=self.y,
            ntk_train=jnp.asarray(kernel),
            ntk_test=jnp.asarray(kernel[:1]),
            jacobian=jnp.zeros((0, self.n, 1)),
            tx=self.tx,
            loss="mse",
        )
        return network, linear

    def unavoidable_products(self) -> Callable[[], object]:
        """The matrix products of the structured kernel and nothing else."""
        key = jax.random.key(3)
        hidden = jax.random.normal(key, (self.n, self.width), jnp.float32)
        first = jax.random.normal(key, (INPUTS, self.width), jnp.float32)
        inner = jax.random.normal(key, (self.width, self.width), jnp.float32)
        half = self.n // 2

        @jax.jit
        def products(x, hidden, first, inner):
            forward, backward = x @ first, hidden
            for _ in range(self.depth - 1):
                forward = forward @ inner
                backward = backward @ inner.T
            grams = x[:half] @ x.T
            for _ in range(self.depth):
                grams += hidden[:half] @ forward.T + forward[:half] @ backward.T
            return forward, backward, grams

        return lambda: products(self.x, hidden, first, inner)


def lockstep_ratio(setting: Setting, repeats: int, steps: int = 4) -> tuple[float, float, list[float]]:
    network, linear = setting.rivals()

    def call(rivals: tuple) -> Callable[[], object]:
        box = [jax.tree.map(jnp.copy, tuple(rival.init() for rival in rivals))]

        def run() -> object:
            box[0] = advance(rivals, box[0], None, jnp.asarray(steps, jnp.int32))
            return box[0]

        return run

    return ratio(call((network, linear)), call((network,)), repeats)


MINI_BATCHES: dict[str, tuple[dict, tuple[int, ...], int]] = {  # model, shape of an input, batch size
    "FC 784-2x2048-10, batch 64": (dict(name="fc", width=2048, depth=2, sigma_b2=0.1), (784,), 64),
    "WRN 64 channels, batch 8": (
        dict(name="wide_resnet", width=64, depth=10, sigma_b2=0.0, norm="batch"),
        (32, 32, 3),
        8,
    ),
}


def mini_batch_ratio(name: str, repeats: int, steps: int = 4) -> tuple[float, float, list[float]]:
    fields, image, size = MINI_BATCHES[name]
    model = build_model(**fields, n_outputs=10, activation="relu", sigma_w2=2.0, dtype="float32")
    x = jax.random.normal(jax.random.key(0), (4 * size, *image), jnp.float32)
    y = jax.nn.one_hot(jnp.arange(4 * size) % 10, 10, dtype=jnp.float32)
    arrays = (jax.jit(model.init)(jax.random.key(1), x[:1])["params"], x, y, x[:1])
    rest = (model, optax.sgd(0.01, momentum=0.9), "mse", ())
    batches = MiniBatches(jax.random.key(2), len(x), size).block(0, steps)

    def call(rivals: tuple) -> Callable[[], object]:
        box = [jax.tree.map(jnp.copy, tuple(rival.init() for rival in rivals))]

        def run() -> object:
            box[0] = advance(rivals, box[0], batches, jnp.asarray(steps, jnp.int32))
            return box[0]

        return run

    network = Network(*arrays, *rest)
    found = ratio(call((network, LinearParameterSpace(*arrays, *rest))), call((network,)), repeats)
    work = Piece("step", lambda state, rows: network.step(state, Batch(rows)), (network.init(), batches.rows[0]))
    square = jax.random.normal(jax.random.key(3), (2048, 2048), jnp.float32)
    product = jax.jit(jnp.matmul)
    seconds, _, _ = ratio(lambda: product(square, square), lambda: product(square, square), repeats)
    fastest, reached = 2 * 2048**3 / seconds / 1e9, steps * work.flops_once / found[1] / 1e9
    print(f"{name}: the network's step runs at {reached:.0f} GFLOP/s, a matrix product at {fastest:.0f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    setting = Setting(options.width, options.depth, options.examples)
    print(
        f"FC {INPUTS}-{options.depth}x{options.width}-1, N={options.examples}, float32, {jax.devices()[0].device_kind}"
    )
    report("lockstep step / network step", 1.05, lockstep_ratio(setting, options.repeats))
    kernel = ratio(
        lambda: empirical_ntk(setting.model, setting.theta0, setting.x), setting.unavoidable_products(), options.repeats
    )
    report("empirical kernel / unavoidable products", 1.3, kernel)
    for name in MINI_BATCHES:
        report(f"{name}: parameter-space lockstep / network", 1.1 * 8 / 3, mini_batch_ratio(name, options.repeats))


if __name__ == "__main__":
    main()
