"""Compiles what every figure runs for a GPU that need not be there, and tells what became of it.

    python scripts/compile_for.py                              smallest and largest cell of every figure at scale=paper
    python scripts/compile_for.py fig1 figs5 --all             all cells of these
    python scripts/compile_for.py --check FILE | --renew FILE  kernels a step against FILE | into it
    python scripts/compile_for.py --table docs/gpu.md          the page's table anew

It needs JAX's plugin for CUDA, of JAX's own version and without the libraries that it would run with:
make test-gpu-compile installs one beside the environment.  Nothing is run, so that there are no GPU seconds here but
those that `stage=plan device=h100` estimates.  The compiler times no candidates (autotuning), which takes a device, and
products are calls of the library: of its own (Triton) it would have to try which work, those of x with itself do not.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = " ".join(
    ["--xla_gpu_autotune_level=0", "--xla_gpu_enable_triton_gemm=false", os.environ.get("XLA_FLAGS", "")]
)

import jax
import jax.numpy as jnp
from hlo import Module
from jax.experimental import topologies

from ntkrun.cli.hydra.compose import compose
from ntkrun.costs import Piece
from ntkrun.devices.platform import traced_for
from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.figures import computing, figure_names, load_experiment
from ntkrun.experiments.runs.planned_work import PlannedWork
from ntkrun.lockstep import executor
from ntkrun.lockstep.loop import steps_at_once
from ntkrun.runner.machines import KNOWN, Machine
from ntkrun.runner.plan import Cell, make_cells

jax.config.update("jax_enable_x64", True)
HERE = Path(__file__).parent
GIB = 2.0**30


@dataclass
class Compiled:
    """One program of one cell.

    kernels         of a step, or of one call; `wide_kernels`, `wide_products` those that write float64
    expected        kernels by `ntkrun.costs.traffic`, which knows the trace only
    function_space  rivals that are float64 by design
    loop            turns of the loop of steps that the device knows; None: the host reads a number every turn
    callbacks       calls of the host
    memory          GiB: arguments and what lies between
    seconds         of CPU time to compile
    estimate        microseconds of a step, or of one call, by the plan
    """

    figure: str
    cell: str
    program: str
    kernels: int
    expected: int
    wide_kernels: int
    wide_products: int
    function_space: int
    loop: int | None
    callbacks: list[str]
    memory: float
    seconds: float
    estimate: float

    @property
    def name(self) -> str:
        return f"{self.figure} {self.cell} {self.program}"


class Target:
    """A device by its description."""

    def __init__(self, device: str) -> None:
        description = re.sub(r"#.*", "", (HERE / "devices" / f"{device}.txtpb").read_text())
        try:
            found = topologies.get_topology_desc(platform="cuda", topology="1x1x1", target_config=description)
        except (NotImplementedError, RuntimeError) as error:
            sys.exit(f"no compiler for CUDA here ({str(error)[:100]}): make test-gpu-compile installs JAX's plugin")
        self.machine: Machine = KNOWN[device]
        self.sharding = jax.sharding.SingleDeviceSharding(found.devices[0])

    def there(self, tree: Any, leading: tuple[int, ...] = ()) -> Any:
        """Shapes on the device, with axes in front."""

        def placed(leaf: Any) -> Any:
            return jax.ShapeDtypeStruct((*leading, *leaf.shape), leaf.dtype, sharding=self.sharding)

        return jax.tree.map(placed, tree)


def programs(work: PlannedWork, target: Target) -> Iterator[tuple[Piece, Callable[[], Any], int]]:
    """(the piece that plans it, what lowers it, rivals in function space)."""
    if work.lockstep is not None:
        lockstep = work.lockstep
        rivals, states = lockstep.rivals(target.there(lockstep.leaves)), target.there(lockstep.states)
        block = target.there(lockstep.batch, (steps_at_once(),))
        count = target.there(jax.ShapeDtypeStruct((), jnp.int32))
        step, observation = lockstep.pieces
        wide = sum(isinstance(rival, LinearFunctionSpace) for rival in rivals)
        yield step, lambda: executor.advance.lower(rivals, states, block, count, executor.IN_A_ROW), wide
        for rival, state in zip(rivals, states, strict=True):
            yield observation, lambda pair=(rival, state): executor.observed.lower(*pair), wide
    for piece in work.programs:
        yield piece, lambda piece=piece: jax.jit(piece.function).lower(*target.there(piece.arguments)), 0


def compiled(
    figure: str, cell: Cell, piece: Piece, lower: Callable[[], Any], function_space: int, target: Target
) -> Compiled:
    lowered = lower()
    began = time.process_time()
    program = lowered.compile()
    seconds = time.process_time() - began
    module, memory = Module(program.as_text()), program.memory_analysis()
    steps, known = 1, 1
    counts = [module.kernels(module.entry), module.kernels(module.entry, wide=True), module.wide_products()]
    if piece.what == "step":
        inner = [loop for loop in module.loops() if loop.inner]
        loop = max(inner, key=lambda loop: (loop.turns is not None, loop.products))
        planned = sum(kernel.turns for kernel in piece.kernels if kernel.kind == "product")
        steps, known = max(1, round(loop.products / planned)), loop.turns  # a loop may be unrolled
        counts = [loop.kernels, loop.wide_kernels, loop.wide_products]
    kernels, wide_kernels, wide_products = (round(count / steps) for count in counts)
    return Compiled(
        figure, cell.name, piece.what, kernels, piece.launches, wide_kernels, wide_products, function_space, known,
        module.callbacks(),
        (memory.argument_size_in_bytes + memory.temp_size_in_bytes) / GIB, seconds,
        1e6 * target.machine.seconds(piece.kernels),
    )  # fmt: skip


def cells_of(figure: str, scale: str) -> tuple[Experiment, list[Cell]]:
    settings = compose([f"experiment={figure}", f"scale={scale}"]).settings
    experiment = computing(load_experiment(figure))
    return experiment, make_cells(experiment, settings | {"experiment": experiment.name})


def representative(cells: list[Cell]) -> list[Cell]:
    """Of every kind of network in every part the smallest and the largest, of cells that differ in seed one."""

    def kind(cell: Cell) -> str:
        model, trained = getattr(cell.settings, "model", None), getattr(cell.settings, "trained", "")
        part = cell.part if getattr(cell.settings, "networks", 1) > 1 else cell.part.rstrip("0123456789")
        return f"{part} {getattr(model, 'name', '')} {trained}"

    def size(cell: Cell) -> tuple[int, int, int]:
        model: Any = getattr(cell.settings, "model", None)
        return model.width, model.depth, getattr(cell.settings.images, "n_train", 0) or 0

    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(kind(cell), []).append(cell)
    ends = [end for group in groups.values() for end in (min(group, key=size), max(group, key=size))]
    return list({id(cell): cell for cell in ends}.values())


def run(names: list[str], scale: str, every: bool, steps_only: bool, target: Target) -> Iterator[Compiled]:
    for figure in names:
        experiment, cells = cells_of(figure, scale)
        if experiment.name != figure:
            continue  # another figure's cells
        for cell in cells if every else representative(cells):
            with traced_for("gpu"):
                work = experiment.run.planned_work(cell.settings, target.machine.block_bytes)
                for piece, lower, wide in programs(work, target):
                    if steps_only and piece.what != "step":
                        continue
                    found = compiled(figure, cell, piece, lower, wide, target)
                    print(line(found), flush=True)
                    yield found


def line(one: Compiled) -> str:
    loop = "loop read by the host" if one.loop is None else "loop of known length" if one.program == "step" else ""
    return (
        f"{one.name}: {one.kernels} kernels ({one.expected} expected), {one.wide_kernels} in float64, "
        f"{one.memory:.3g} GiB, {one.seconds:.1f} s to compile {loop}{' '.join(one.callbacks)}"
    )


def table(found: list[Compiled]) -> str:
    """One row a cell."""
    rows = [
        "| figure | cell | kernels a step (planned) | float64 | loop of steps | GiB | us a step | s to compile |",
        "|---|---|---|---|---|---|---|---|",
    ]
    cells: dict[tuple[str, str], list[Compiled]] = {}
    for one in found:
        cells.setdefault((one.figure, one.cell), []).append(one)
    for (figure, cell), own in cells.items():
        first = own[0]
        loop = (
            "none" if first.program != "step" else "read by the host" if first.loop is None else f"{first.loop} in turn"
        )
        memory, seconds = max(one.memory for one in own), sum(one.seconds for one in own)
        counted = f"{first.kernels} ({first.expected})"
        rows.append(
            f"| {figure} | {cell} | {counted} | {first.wide_kernels} | {loop} | {memory:.2g} | {first.estimate:,.0f} | "
            f"{seconds:.1f} |"
        )
    return "\n".join(rows)


BEGIN, END = "<!-- compiled: scripts/compile_for.py --table -->", "<!-- end of compiled -->"


def write_table(page: Path, found: list[Compiled]) -> None:
    """Between the page's marks."""
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    made = f"{BEGIN}\njax {jax.__version__}, {len(found)} programs:\n\n{table(found)}\n{END}"
    page.write_text(f"{before}{made}{after}")


def steps_of(found: list[Compiled]) -> dict[str, int]:
    return {f"{one.figure} {one.cell}": one.kernels for one in found if one.program == "step"}


def complaints(found: list[Compiled], golden: dict[str, dict[str, int]]) -> list[str]:
    """What a compiled loop must not do: products in float64, calls of the host, more kernels than before."""
    lines = []
    for one in found:
        if one.program == "step" and one.wide_products > 2 * one.function_space:
            lines.append(f"{one.name}: {one.wide_products} products in float64, {one.function_space} rivals that are")
        if one.program == "step" and one.wide_kernels and not one.function_space:
            lines.append(f"{one.name}: {one.wide_kernels} kernels in float64, and no rival that is")
        if one.callbacks:
            lines.append(f"{one.name}: calls the host ({', '.join(one.callbacks)})")
    known = golden.get(jax.__version__)
    if known is None:
        print(f"kernels a step are not compared: jax {jax.__version__} has none on record ({', '.join(golden)})")
        return lines
    for name, kernels in steps_of(found).items():
        if name not in known:
            lines.append(f"{name}: {kernels} kernels a step, none on record: --renew")
        elif kernels > known[name]:
            lines.append(f"{name}: {kernels} kernels a step, {known[name]} before")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", default=figure_names())
    parser.add_argument("--scale", default="paper")
    parser.add_argument("--device", default="h100")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--steps", action="store_true", help="the loops of steps only")
    parser.add_argument("--check", type=Path, metavar="FILE")
    parser.add_argument("--renew", type=Path, metavar="FILE")
    parser.add_argument("--table", type=Path, metavar="PAGE")
    options = parser.parse_args()
    found = list(run(options.figures, options.scale, options.all, options.steps, Target(options.device)))
    print(
        f"{len(found)} programs, {sum(one.seconds for one in found):.0f} s of CPU time to compile, jax {jax.__version__}"
    )
    golden = {}
    if path := options.check or options.renew:
        golden = json.loads(path.read_text()) if path.exists() else {}
    if options.table:
        write_table(options.table, found)
    if options.renew:
        golden[jax.__version__] = golden.get(jax.__version__, {}) | steps_of(found)
        options.renew.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    if wrong := complaints(found, golden) if options.check else []:
        sys.exit("\n".join(["", *wrong]))


if __name__ == "__main__":
    main()
