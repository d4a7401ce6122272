"""Ratios of the core to its floor, each pair timed in turn in one run: times drift on a busy machine, ratios do not.

1. a lockstep step (network and f_lin in function space) over a step of the network alone; floor 1
2. the empirical kernel at theta_0 over the matrix products it cannot avoid: forward L + 1, backward L, and half of every
   Gram product of layer inputs and of back-propagated derivatives

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

from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.dynamics.network import Network
from ntkrun.dynamics.protocol import advance
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
        f"{what}: {statistics.median(ratios):.3f} (target <= {target}; {ratios[0]:.3f} to {ratios[-1]:.3f} "
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


if __name__ == "__main__":
    main()
