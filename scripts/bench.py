"""All ratios in one run, within ten minutes, written as a table into docs/speed.md (make bench).

Every ratio is of a pair timed in turn: times drift on a busy machine, ratios do not.  A pair is repeated until its share of
the time is spent, five times at least; the table has the median ratio and its quartiles.  Shapes are those of the paper's
networks or, where these take minutes, a quarter of their width.  `bench_core.py` says what each floor consists of.

    python scripts/bench.py [--seconds 40] [--small] [--print-only]
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from bench_core import INPUTS, MiniBatchSetting, Setting, moving

from ntkrun.dynamics.network import Network
from ntkrun.experiments.analysis.power_law import power_law
from ntkrun.kernels.analytic import analytic_kernels
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.lockstep.ensemble import Ensemble

jax.config.update("jax_enable_x64", True)
PAGE = Path(__file__).parent.parent / "docs" / "speed.md"
BEGIN, END = "<!-- ratios: make bench -->", "<!-- end of ratios -->"
FEWEST = 5
Call = Callable[[], object]


def seconds(call: Call) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def pairs(first: Call, second: Call, budget: float) -> list[tuple[float, float]]:
    """Seconds of both, in turn, after a warm-up each, until the budget (s) is spent."""
    seconds(first), seconds(second)
    began, found = time.perf_counter(), []
    while len(found) < FEWEST or time.perf_counter() - began < budget:
        found.append((seconds(first), seconds(second)))
    return found


def line(what: str, shape: str, target: str, ratios: Sequence[float], note: str = "") -> str:
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return f"| {what} | {shape} | {middle:.2f} | {low:.2f} to {high:.2f} | {len(ratios)} | {target} | {note} |"


def step_rows(size: float, budget: float) -> Iterator[str]:
    """Full batch: lockstep over network, a step over its own products; the empirical kernel over its."""
    setting = Setting(int(2048 * size), 5, 256)
    shape = f"FC {INPUTS}-5x{setting.width}-1, N = 256"
    network, linear = setting.rivals()
    both, alone = moving((network, linear), None, 4), moving((network,), None, 4)
    found = pairs(both, alone, budget)
    yield line("lockstep step / network step, full batch", shape, "1.05", [a / b for a, b in found])
    found = pairs(moving((network,), None, 1), step_products(setting), budget)
    # forward, gradient by the weights, gradient by the inputs but for the first layer's
    flops = 2 * 256 * setting.width * (2 * INPUTS + 3 * 4 * setting.width)
    speeds = [flops / np.median(times) / 1e9 for times in zip(*found, strict=True)]
    note = f"{speeds[0]:.0f} and {speeds[1]:.0f} GFLOP/s"
    yield line("time of a network step / of its matrix products", shape, "", [a / b for a, b in found], note)
    kernel = pairs(
        lambda: empirical_ntk(setting.model, setting.theta0, setting.x), setting.unavoidable_products(), budget
    )
    yield line("empirical kernel / unavoidable products", shape, "1.3", [a / b for a, b in kernel])


def step_products(setting: Setting) -> Call:
    """The products of one full-batch step and nothing else: forward, by the inputs, by the weights."""
    key = jax.random.key(3)
    hidden = jax.random.normal(key, (setting.n, setting.width), jnp.float32)
    first = jax.random.normal(key, (INPUTS, setting.width), jnp.float32)
    inner = jax.random.normal(key, (setting.width, setting.width), jnp.float32)

    @jax.jit
    def products(x, hidden, first, inner):
        forward, backward = x @ first, hidden
        gradients = [x.T @ hidden]
        for _ in range(setting.depth - 1):
            # each needs the one before, or the compiler would form one of them alone
            gradients.append(forward.T @ backward)
            forward, backward = forward @ inner, backward @ inner.T
        return forward, backward, gradients

    return lambda: products(setting.x, hidden, first, inner)


def mini_batch_rows(size: float, budget: float) -> Iterator[str]:
    fc = dict(name="fc", width=int(2048 * size), depth=2, sigma_b2=0.1)
    wrn = dict(name="wide_resnet", width=int(64 * size), depth=10, sigma_b2=0.0, norm="batch")
    width, channels = fc["width"], wrn["width"]
    settings = (
        MiniBatchSetting(f"FC 784-2x{width}-10, batch 64", 64, (784,), (64, width, width), **fc),
        MiniBatchSetting(
            f"WRN {channels} channels, batch 8", 8, (32, 32, 3), (8192, 9 * channels, channels), **wrn
        ),
    )  # fmt: skip
    for setting, steps in zip(settings, (8, 2), strict=True):
        block, both = setting.batches.block(0, steps), (setting.network, setting.linear)
        network, all_flops = setting.flops(setting.network), setting.flops(*both)
        alone = moving((setting.network,), block, steps)
        found = pairs(moving(both, block, steps), alone, budget)
        floor, ratios = all_flops / network, [a / b for a, b in found]
        note, target = f"{np.median(ratios) / floor:.2f} of the floor {floor:.2f}", f"{1.1 * floor:.2f}"
        yield line("lockstep step / network step, mini-batch", setting.what, target, ratios, note)
        product, product_flops = plain_product(setting.product)
        found = pairs(alone, product, budget)
        work = steps * network / product_flops
        speeds = [
            f / np.median(t) / 1e9
            for f, t in zip((steps * network, product_flops), zip(*found, strict=True), strict=True)
        ]
        note = f"{speeds[0]:.0f} and {speeds[1]:.0f} GFLOP/s"
        what = "time of a network step / of as many FLOPs in one product"
        yield line(what, setting.what, "", [a / b / work for a, b in found], note)


def plain_product(shape: tuple[int, int, int], turns: int = 20) -> tuple[Call, float]:
    """A call that forms m x k times k x n `turns` times, and its FLOPs."""
    m, k, n = shape
    left, right = (jax.random.normal(jax.random.key(3), s, jnp.float32) for s in ((m, k), (k, n)))

    @jax.jit
    def products(left, right):
        return jax.lax.fori_loop(0, turns, lambda _, x: x + 1e-6 * (x @ right)[:, :1], left)

    return lambda: products(left, right), 2.0 * m * k * n * turns


def analytic_row(size: float, budget: float) -> Iterator[str]:
    n = int(2000 * size)
    x = np.random.default_rng(0).normal(size=(n, INPUTS))
    for activation, target in (("relu", ""), ("erf", "")):
        setting = dict(depth=3, activation=activation, sigma_w2=2.0, sigma_b2=0.1)
        found = pairs(lambda setting=setting: analytic_kernels(x, **setting), lambda: x @ x.T, budget / 2)
        shape = f"{activation}, L = 3, N = {n}, n_0 = {INPUTS}, float64"
        yield line("analytic kernels (NNGP and NTK) / Gram product", shape, target, [a / b for a, b in found])


def ensemble_row(size: float, budget: float) -> Iterator[str]:
    """100 networks of n = 64, as those of Figures 2 and S1."""
    count, steps, n, width = max(int(100 * size), 2), 4, 128, 64
    setting = Setting(width, 3, n)
    init = jax.jit(setting.model.init)
    thetas = [init(jax.random.key(i), setting.x[:1])["params"] for i in range(count)]
    networks = [Network(t, setting.x, setting.y, setting.x[:1], setting.model, setting.tx, "mse", ()) for t in thetas]
    together, each = moving((Ensemble.of(networks),), None, steps), [moving((net,), None, steps) for net in networks]
    found = pairs(together, lambda: [call() for call in each], budget)
    shape = f"FC {INPUTS}-3x{width}-1, N = {n}"
    yield line(f"{count} networks as one ensemble / one by one", shape, "1", [a / b for a, b in found])


def growth_rows(size: float, budget: float) -> Iterator[str]:
    """Exponents of the seconds of a lockstep step, and of the kernel, in n, N and L."""
    grids = {
        "n": [(int(w * size), 5, 256) for w in (512, 1024, 2048, 4096)],
        "N": [(int(1024 * size), 5, n) for n in (128, 256, 512, 1024)],
        "L": [(int(1024 * size), depth, 256) for depth in (2, 4, 8, 16)],
    }
    expected = {"n": "1 to 2", "N": "1 (step), 1 to 2 (kernel)", "L": "1"}
    for name, grid in grids.items():
        medians: dict[str, list[float]] = {"step": [], "kernel": []}
        for width, depth, n in grid:
            setting = Setting(width, depth, n)
            step = moving((setting.rivals()), None, 2)
            share = budget / len(grid) / 2
            found = pairs(step, lambda s=setting: empirical_ntk(s.model, s.theta0, s.x), share)
            for what, times in zip(medians, zip(*found, strict=True), strict=True):
                medians[what].append(float(np.median(times)))
        values = [{"n": w, "N": n, "L": d}[name] for w, d, n in grid]
        slopes = [power_law(values, times).slope for times in medians.values()]
        shown = ", ".join(map(str, values))
        yield f"| {name} = {shown} | {slopes[0]:.2f} | {slopes[1]:.2f} | {expected[name]} |"


HEAD = ["| ratio | of | median | quartiles | pairs | target | |", "|---|---|---|---|---|---|---|"]
GROWTH = ["| in | lockstep step | empirical kernel | expected |", "|---|---|---|---|"]


def table(size: float, budget: float) -> str:
    lines = [
        f"On {jax.devices()[0].device_kind}, {jax.device_count()} device(s), jax {jax.__version__}, float32:",
        "",
        *HEAD,
    ]
    for rows in (step_rows, mini_batch_rows, analytic_row, ensemble_row):
        for row in rows(size, budget):
            print(row, flush=True)
            lines.append(row)
    lines += [
        "",
        "Exponents, fitted to medians of four sizes (fewer FLOPs per byte make the small ones slower):",
        "",
        *GROWTH,
    ]
    for row in growth_rows(size, budget):
        print(row, flush=True)
        lines.append(row)
    return "\n".join(lines)


def rewritten(page: str, new: str) -> str:
    """The page with the table between its markers; ValueError when they are not there once each."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"docs/speed.md must hold {BEGIN} and {END} once each")
    return f"{page.split(BEGIN)[0]}{BEGIN}\n{new}\n{END}{page.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="for each pair")
    parser.add_argument("--small", action="store_true", help="an eighth of every width: whether it runs, not how fast")
    parser.add_argument("--print-only", action="store_true", help="leave docs/speed.md as it is")
    options = parser.parse_args()
    began = time.monotonic()
    new = table(1 / 8 if options.small else 1.0, options.seconds)
    print(f"{math.ceil((time.monotonic() - began) / 60)} minutes")
    if not (options.small or options.print_only):
        PAGE.write_text(rewritten(PAGE.read_text(), new))


if __name__ == "__main__":
    main()
