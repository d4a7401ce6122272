"""The kernels that a program becomes: their FLOPs, the bytes that they read and write, and what is held between them.

A compiler fuses what is elementwise into its neighbours.  So an array is written to memory if a product, a convolution,
a sum or whatever else is a kernel by itself makes it or takes it, or if the program returns it; everything between is
formed on the way.  This is the model:

- a product or a convolution reads its factors and writes its result, a sum reads what its addends are formed of;
- elementwise work that ends in an array to be written is one kernel, which reads the arrays it is formed of.  Where it
  is all that becomes of one product's result, it belongs to that product's kernel and the result itself is not written;
- of slices and gathered rows only what is taken counts, of updates in place only what is new;
- a loop's body is a program of its own: what it carries is read and written at every turn.

The dearest branch of a choice counts, and one turn of a loop of unknown length.  Bytes are a lower bound: caches aside, a
compiler that fuses less moves more.  FLOPs count matrix products and convolutions, 2 per multiplication and addition; the
rest is of lower order in the width.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ntkrun.costs.program import LOOPS, Flat, Line, Program, flat

PRODUCTS = ("dot_general", "conv_general_dilated")
SAME = {
    "reshape", "squeeze", "expand_dims", "transpose", "copy", "copy_p", "stop_gradient", "optimization_barrier",
    "sharding_constraint", "bitcast_convert_type", "rev", "name", "pvary",
}  # fmt: skip
STAYS_ZERO = SAME | {"broadcast_in_dim", "convert_element_type", "neg"}
TAKEN = {"slice", "dynamic_slice", "gather"}
SUMS = {
    "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin",
}  # fmt: skip
UPDATES = {"dynamic_update_slice": 1, "scatter": 2, "scatter-add": 2, "scatter_add": 2}  # which input is new
ALONE = {
    "sort", "top_k", "eigh", "cholesky", "triangular_solve", "lu", "qr", "svd", "fft", "cumsum", "cumprod", "cummax",
    "cumlogsumexp", "random_bits", "threefry2x32", "rng_bit_generator", "custom_call", "ffi_call",
}  # fmt: skip


Flops = dict[str, float]  # by the precision of the factors


@dataclass(eq=False)
class Kernel:
    """One kernel, launched `turns` times: of one launch FLOPs by the precision of their factors, bytes by array."""

    kind: str  # "product", "sum", "elementwise", "other"; "loop": what a loop holds, no kernel
    reads: dict[int, float]
    writes: dict[int, float]
    flops: Flops = field(default_factory=dict)
    turns: int = 1
    inside: int = 0  # bytes that a loop holds beside what it is given and returns

    @property
    def bytes(self) -> float:
        return sum(self.reads.values()) + sum(self.writes.values())


def added(counted: Iterable[tuple[float, Flops]]) -> Flops:
    """The sum of so many times these FLOPs."""
    total: Flops = {}
    for times, flops in counted:
        for precision, count in flops.items():
            total[precision] = total.get(precision, 0.0) + times * count
    return total


def product_flops(line: Line, shapes: dict[int, tuple[int, ...]]) -> float:
    out, first, second = (shapes[number] for number in (line.outputs[0], *line.inputs[:2]))
    if line.kind == "dot_general":
        return 2.0 * math.prod(out) * math.prod(first[axis] for axis in line.axes)
    return 2.0 * math.prod(out) * math.prod(second) / second[line.axes[0]]


class Divided:
    """A program divided into kernels.

    kernels  all of them; those of a loop with as many turns as it has
    """

    def __init__(self, program: Program) -> None:
        self.program = flat(program)
        self.size = self.program.bytes
        self.same: dict[int, int] = {}  # number -> that of the array it is another view of
        self.formed: dict[int, dict[int, float]] = {}  # of what is not written: array -> bytes of it that it takes
        self.zeros: set[int] = set()
        self._found: list[Kernel] = []
        for line in _needed(self.program):
            self._place(line)
        self._write(self.program.results)
        self.results = {self._view(number) for number in self.program.results}
        self._join_siblings()
        self._join_products()

    def _view(self, number: int) -> int:
        return self.same.get(number, number)

    def _merged(self, numbers: Iterable[int], most: float = math.inf) -> dict[int, float]:
        """The arrays in memory that these are formed of, and how many bytes of each, at most `most`."""
        reads: dict[int, float] = defaultdict(float)
        for number in map(self._view, numbers):
            for source, count in self.formed.get(number, {number: float(self.size[number])}).items():
                reads[source] = max(reads[source], min(count, most))
        return {source: count for source, count in reads.items() if count}  # numbers of the program are no arrays

    def _vanishes(self, line: Line) -> bool:
        """Zeros stay zeros, and what they are added to stays what it is: no compiler computes that."""
        zero = [number in self.zeros for number in line.inputs]
        if line.kind == "zeros" or (any(zero) and (line.kind == "mul" or (len(zero) == 1 and line.kind in STAYS_ZERO))):
            self.zeros |= {*line.outputs}
            self.formed |= {number: {} for number in line.outputs}
            return True
        added = (line.kind in ("add", "add_any") and any(zero)) or (line.kind == "sub" and zero[1:] == [True])
        if not added:
            return False
        other = line.inputs[0] if zero[1] else line.inputs[1]
        if self.program.shapes[other] != self.program.shapes[line.outputs[0]]:
            return False
        self.same[line.outputs[0]] = self._view(other)
        return True

    def _place(self, line: Line) -> None:
        if self._vanishes(line):
            return
        if line.kind in SAME and len(line.outputs) == len(line.inputs):
            self.same |= {view: self._view(of) for view, of in zip(line.outputs, line.inputs, strict=True)}
        elif line.kind in LOOPS:
            self._loop(line)
        elif line.kind in PRODUCTS:
            count = {line.precision: product_flops(line, self.program.shapes)}
            self._write(line.inputs)
            self._add("product", self._merged(line.inputs), line.outputs, count)
        elif line.kind in UPDATES:
            self._write(line.inputs)
            new = float(self.size[line.inputs[UPDATES[line.kind]]])
            self._add("other", self._merged(line.inputs, new), line.outputs)
            self._found[-1].writes = dict.fromkeys(line.outputs, new)
        elif line.kind in ALONE or line.inner:
            self._write(line.inputs)
            self._add("other", self._merged(line.inputs), line.outputs)
        elif line.kind in SUMS:
            self._add("sum", self._merged(line.inputs), line.outputs)
        elif line.kind in TAKEN:
            taken = self._merged(line.inputs[:1], float(self.size[line.outputs[0]]))
            self.formed |= {number: self._merged(line.inputs[1:]) | taken for number in line.outputs}
        else:
            self.formed |= {number: self._merged(line.inputs) for number in line.outputs}

    def _add(self, kind: str, reads: dict[int, float], outputs: Iterable[int], count: Flops | None = None) -> None:
        writes = {number: float(self.size[number]) for number in outputs}
        self._found.append(Kernel(kind, reads, writes, count or {}))

    def _write(self, numbers: Iterable[int]) -> None:
        """A kernel for each of them that is not in memory yet."""
        for number in map(self._view, numbers):
            if number in self.formed:
                reads = self.formed.pop(number)
                if max((self.size[array] for array in (number, *reads)), default=0) > 8:  # no counter of a loop
                    self._add("elementwise", reads, (number,))

    def _loop(self, line: Line) -> None:
        self._write(line.inputs)
        bodies = [Divided(body) for body in line.inner]
        if line.kind == "cond":
            bodies = [max(bodies, key=lambda body: sum(k.turns * k.bytes for k in body._found))]
        self._add("loop", self._merged(line.inputs), line.outputs)
        self._found[-1].inside = max(body.peak_bytes() - body.given() for body in bodies)
        for body in bodies:
            for kernel in body._found:
                if kernel.kind != "loop":
                    moved = {-1: kernel.bytes}  # its arrays are not ours
                    self._found.append(Kernel(kernel.kind, moved, {}, kernel.flops, kernel.turns * line.turns))

    def given(self) -> int:
        return sum(self.size[number] for number in {*self.program.arguments, *self.program.results})

    def _join_siblings(self) -> None:
        """Elementwise kernels of one shape become one where one reads nothing else than the other, and nobody waits."""
        joined: list[Kernel] = []
        for kernel in self._found:
            waited: set[int] = set()
            for earlier in reversed(joined):
                if kernel.kind != "elementwise" or waited & earlier.writes.keys():
                    break
                if earlier.kind == "elementwise" and self._alike(earlier, kernel):
                    joined.remove(earlier)
                    kernel.reads, kernel.writes = earlier.reads | kernel.reads, earlier.writes | kernel.writes
                    break
                waited |= earlier.reads.keys()
            joined.append(kernel)
        self._found = joined

    def _alike(self, one: Kernel, other: Kernel) -> bool:
        shapes = {self.program.shapes[number] for number in (*one.writes, *other.writes)}
        nested = one.reads.keys() <= other.reads.keys() or other.reads.keys() <= one.reads.keys()
        return len(shapes) == 1 and nested and not one.writes.keys() & other.reads.keys()

    def _join_products(self) -> None:
        """Elementwise work that is all that becomes of a product's result goes into the product's kernel."""
        readers = Counter(number for kernel in self._found for number in kernel.reads)
        maker = {number: k for k in self._found if k.kind == "product" for number in k.writes}
        for kernel in list(self._found):
            if kernel.kind != "elementwise":
                continue
            alone = [n for n in kernel.reads if n in maker and readers[n] == 1 and n not in self.results]
            if alone:
                product = maker.pop(alone[-1])
                kernel.reads = product.reads | {n: c for n, c in kernel.reads.items() if n != alone[-1]}
                kernel.kind, kernel.flops = product.kind, product.flops
                self._found.remove(product)

    @property
    def kernels(self) -> list[Kernel]:
        return [kernel for kernel in self._found if kernel.kind != "loop"]

    def peak_bytes(self, donated: Iterable[int] = ()) -> int:
        """The largest number of bytes held at once; arguments throughout, those `donated`, by place, to their last use."""
        donated = {*donated}
        kept = {number for place, number in enumerate(self.program.arguments) if place not in donated}
        last = {number: at for at, kernel in enumerate(self._found) for number in kernel.reads}
        last |= dict.fromkeys(self.results, len(self._found))
        alive = {*self.program.arguments}
        held = peak = sum(self.size[number] for number in alive)
        for at, kernel in enumerate(self._found):
            new = kernel.writes.keys() - alive
            alive |= new
            held += sum(self.size[number] for number in new)
            peak = max(peak, held + kernel.inside)
            over = {n for n in alive - kept if last.get(n, -1) <= at}
            alive -= over
            held -= sum(self.size[number] for number in over)
        return peak


def _needed(program: Flat) -> list[Line]:
    """The lines on which the results depend."""
    wanted, kept = set(program.results), []
    for line in reversed(program.lines):
        if wanted & set(line.outputs):
            wanted |= set(line.inputs)
            kept.append(line)
    return kept[::-1]
