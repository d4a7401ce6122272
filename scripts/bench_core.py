"""Ratios of the core to its floor, each pair timed in turn in one run: times drift on a busy machine, ratios do not.

1. a lockstep step (network and f_lin in function space) over a step of the network alone; floor 1
2. the empirical kernel at theta_0 over the matrix products it cannot avoid: forward L + 1, backward L, and half of every
   Gram product of layer inputs and of back-propagated derivatives
3. a mini-batch step of network and f_lin in parameter space over a step of the network alone, for FC 784-2x2048-10 at
   batch 64 and the wide ResNet of 64 channels at batch 8; floor (3 + 5)/3 for square layers (3 products for the network, 1
   primal, 2 tangent and 2 transposed for f_lin), less where no derivative by the images is formed: counted from the trace
4. the speed of these steps beside that of a product of the shape of the network's largest one
5. drawing a batch (order, gather, flips and crops) over a step of network and f_lin

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
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.lockstep.executor import Executor
from ntkrun.lockstep.loop import MiniBatches
from ntkrun.models import build_model

jax.config.update("jax_enable_x64", True)
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


def moving(rivals: tuple, batches: Batch | None, steps: int) -> Callable[..., object]:
    """A call that moves the rivals on by `steps` steps, or as many as it is told, as a run does."""
    executor = Executor(rivals, None, 1)
    box = [executor.init()]

    def run(count: int = steps) -> object:
        box[0] = executor.advance(box[0], batches, count)
        return box[0]

    return run


def lockstep_ratio(setting: Setting, repeats: int, steps: int = 4) -> tuple[float, float, list[float]]:
    network, linear = setting.rivals()
    return ratio(moving((network, linear), None, steps), moving((network,), None, steps), repeats)


class MiniBatchSetting:
    """Network and f_lin in parameter space on random images under heavy ball."""

    IMAGES = 10_000  # far more than any cache holds

    def __init__(self, what: str, size: int, image: tuple[int, ...], product: tuple[int, int, int], **fields) -> None:
        self.what, self.size, self.product = what, size, product
        model = build_model(**fields, n_outputs=10, activation="relu", sigma_w2=2.0, dtype="float32")
        x = jax.random.normal(jax.random.key(0), (self.IMAGES, *image), jnp.float32)
        y = jax.nn.one_hot(jnp.arange(self.IMAGES) % 10, 10, dtype=jnp.float32)
        theta0 = jax.jit(model.init)(jax.random.key(1), x[:1])["params"]
        arguments = (theta0, x, y, x[:1], model, optax.sgd(1e-3, momentum=0.9), "mse", ())
        self.network, self.linear = Network(*arguments), LinearParameterSpace(*arguments)
        augmented = len(image) == 3
        self.batches = MiniBatches(jax.random.key(2), len(x), size, flip=augmented, crop=4 * augmented)

    def flops(self, *rivals: Network | LinearParameterSpace) -> float:
        """Of one step, from its trace."""
        rows = Batch(jnp.arange(self.size))
        return sum(Piece("", lambda r, s: r.step(s, rows), (rival, rival.init())).flops for rival in rivals)

    def compare(self, repeats: int, steps: int) -> None:
        block, both = self.batches.block(0, steps), (self.network, self.linear)
        network, all_flops = self.flops(self.network), self.flops(*both)
        found = ratio(moving(both, block, steps), moving((self.network,), block, steps), repeats)
        floor = all_flops / network
        report(f"{self.what}: step of both / of the network (floor {floor:.2f})", 1.1 * floor, found)
        print(f"  over the floor: {statistics.median(found[2]) / floor:.3f}")
        speeds = [steps * flops / seconds / 1e9 for flops, seconds in zip((all_flops, network), found[:2], strict=True)]
        m, k, n = self.product
        seconds = self.one_product(repeats) / (2 * m * k * n / 1e9)
        print(
            f"  {speeds[0]:.0f} GFLOP/s in both, {speeds[1]:.0f} in the network, {1 / seconds:.0f} in a product of "
            f"{m} x {k} with {k} x {n}"
        )
        drawing = self.drawing(repeats)
        print(f"  drawing a batch: {drawing * 1e6:.0f} us, {drawing / (found[0] / steps):.4f} of a step of both")

    def one_product(self, repeats: int, turns: int = 20) -> float:
        """Seconds."""
        m, k, n = self.product
        left, right = (jax.random.normal(jax.random.key(3), shape, jnp.float32) for shape in ((m, k), (k, n)))

        @jax.jit
        def products(left, right):
            # each turn needs the one before, or the compiler would form one product alone
            return jax.lax.fori_loop(0, turns, lambda _, x: x + 1e-6 * (x @ right)[:, :1], left)

        def call() -> object:
            return products(left, right)

        return ratio(call, call, repeats)[0] / turns

    def drawing(self, repeats: int) -> float:
        """Seconds a batch: the block of the host and what the compiled loop gathers and changes."""
        block, images = self.batches.at_once, (self.network.x_train, self.network.y_train)

        @jax.jit
        def gathered(batches, x, y):
            def body(i, total):
                one_x, one_y = jax.tree.map(lambda steps: steps[i], batches).of(x, y)
                return total[0] + one_x, total[1] + one_y

            start = jax.tree.map(lambda a: jnp.zeros((self.size, *a.shape[1:]), a.dtype), (x, y))
            return jax.lax.fori_loop(0, block, body, start)

        def call() -> object:
            return gathered(self.batches.block(0, block), *images)

        return ratio(call, call, repeats)[0] / block


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
    fc = dict(name="fc", width=2048, depth=2, sigma_b2=0.1)
    MiniBatchSetting("FC 784-2x2048-10, batch 64", 64, (784,), (64, 2048, 2048), **fc).compare(options.repeats, 8)
    wrn = dict(name="wide_resnet", width=64, depth=10, sigma_b2=0.0, norm="batch")
    # 32 x 32 positions of 8 images, and 3 x 3 neighbours of 64 channels
    MiniBatchSetting("WRN 64 channels, batch 8", 8, (32, 32, 3), (8192, 576, 64), **wrn).compare(options.repeats, 2)


if __name__ == "__main__":
    main()
