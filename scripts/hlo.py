"""Reads what XLA made of a program: kernels, products and loops from the text of the compiled module."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# No kernels: they name, group or view what is there.
FREE = {
    "parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all", "partition-id", "replica-id",
    "opt-barrier", "bitcast-convert", "add-dependency", "get-dimension-size", "domain",
}  # fmt: skip
LIBRARY_PRODUCTS = re.compile(r"gemm|matmul|conv", re.IGNORECASE)
CALLBACKS = re.compile(r"callback|python", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    kind: str
    result: str  # dtypes and shapes
    rest: str  # operands and attributes

    def named(self, attribute: str) -> list[str]:
        """The computations that an attribute names."""
        found = re.search(rf"\b{attribute}=(\{{[^}}]*\}}|%?[\w.\-]+)", self.rest)
        return re.findall(r"%?([\w.\-]+)", found.group(1)) if found else []

    @property
    def wide(self) -> bool:
        return "f64[" in self.result

    @property
    def target(self) -> str:
        found = re.search(r'custom_call_target="([^"]+)"', self.rest)
        return found.group(1) if found else ""

    @property
    def turns(self) -> int | None:
        """Of a loop; None: a number that the host reads anew each time."""
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', self.rest)
        return int(found.group(1)) if found else None


@dataclass(frozen=True)
class Loop:
    """A loop that holds products.

    turns              as `Instruction.turns`
    kernels, products  of one turn, loops inside with theirs; `wide_kernels`, `wide_products` those that write float64
    inner              whether there is no loop with products inside
    """

    turns: int | None
    kernels: int
    wide_kernels: int
    products: int
    wide_products: int
    inner: bool


class Module:
    """A compiled module by its computations."""

    def __init__(self, text: str) -> None:
        self.computations: dict[str, list[Instruction]] = {}
        self.entry, own = "", None
        for line in text.splitlines():
            head = re.match(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
            if head:
                own = self.computations.setdefault(head.group(2), [])
                self.entry = head.group(2) if head.group(1) else self.entry
            elif line.startswith("}"):
                own = None
            elif own is not None and (found := instruction(line)):
                own.append(found)

    def kernels(self, name: str, wide: bool = False) -> int:
        """Launched by one run of a computation; loops of unknown length turn once.  `wide`: those that write float64."""
        return sum(self._kernels_of(one, wide) for one in self.computations[name])

    def _kernels_of(self, one: Instruction, wide: bool) -> int:
        if one.kind in FREE or one.kind.endswith(("-done", "-update")):
            return 0
        if one.kind == "while":
            return (one.turns or 1) * sum(self.kernels(body, wide) for body in one.named("body"))
        if one.kind == "call":
            return sum(self.kernels(called, wide) for called in one.named("to_apply"))
        if one.kind == "conditional":
            return max((self.kernels(branch, wide) for branch in self._branches(one)), default=0)
        if one.kind == "async-start":
            return sum(self.kernels(called, wide) for called in one.named("calls"))
        return int(not wide or one.wide)

    def _branches(self, one: Instruction) -> list[str]:
        return [name for a in ("branch_computations", "true_computation", "false_computation") for name in one.named(a)]

    def _inside(self, one: Instruction) -> list[str]:
        attributes = ("body", "to_apply", "calls")
        return [name for a in attributes for name in one.named(a) if name in self.computations] + self._branches(one)

    def products(self, name: str) -> Iterator[Instruction]:
        """Matrix products and convolutions of a computation and of all that it runs, each as often as it turns."""
        for one in self.computations[name]:
            library = one.kind == "custom-call" and LIBRARY_PRODUCTS.search(one.target)
            if one.kind in ("dot", "convolution") or library:
                yield one
            inside = [product for called in self._inside(one) for product in self.products(called)]
            yield from inside * ((one.turns or 1) if one.kind == "while" else 1)

    def every(self, name: str) -> Iterator[Instruction]:
        for one in self.computations[name]:
            yield one
            for called in self._inside(one):
                yield from self.every(called)

    def loops(self) -> list[Loop]:
        """All loops that hold products."""
        found = []
        for one in self.every(self.entry):
            for body in one.named("body") if one.kind == "while" else ():
                products = list(self.products(body))
                deeper = any(
                    inside.kind == "while" and any(True for b in inside.named("body") for _ in self.products(b))
                    for inside in self.every(body)
                )
                wide = sum(product.wide for product in products)
                if products:
                    kernels = self.kernels(body), self.kernels(body, wide=True)
                    found.append(Loop(one.turns, *kernels, len(products), wide, not deeper))
        return found

    def wide_products(self) -> int:
        return sum(product.wide for product in self.products(self.entry))

    def callbacks(self) -> list[str]:
        """What calls the host from inside the program."""
        everything = list(self.every(self.entry))
        called = [one.target for one in everything if one.kind == "custom-call" and CALLBACKS.search(one.target)]
        return called + [one.kind for one in everything if one.kind in ("infeed", "outfeed", "send", "recv")]


def instruction(line: str) -> Instruction | None:
    """`[ROOT] %name = result kind(operands), attributes`."""
    found = re.match(r"\s+(?:ROOT )?%?[\w.\-]+ = (.*)$", line)
    if not found:
        return None
    rest = found.group(1)
    end = _closing(rest) + 1 if rest.startswith("(") else rest.index(" ")
    kind = re.match(r"\s*([\w\-]+)\(", rest[end:])
    return Instruction(kind.group(1), rest[:end], rest[end + kind.end() :]) if kind else None


def _closing(text: str) -> int:
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return len(text) - 1
