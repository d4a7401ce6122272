"""A forecast as text for a person."""

from collections.abc import Sequence

from ntkrun.costs import added
from ntkrun.runner.amounts import duration, memory
from ntkrun.runner.forecast import Forecast
from ntkrun.runner.machines import Machine

# the steps that a narrow network of Figure S5 takes, over those of the plan: at most so many, as it was seen
MOST_TIMES = 250

MARKS = {"exactly": "", "about": "~ ", "at most": "<= "}
HEADER = (
    "cell", "parameters", "steps", "FLOP/step", "kernels/step", "FLOP", "bytes", "calls", "memory", "compile", "run",
)  # fmt: skip


def forecast_table(found: Sequence[Forecast], machine: Machine) -> str:
    lines = [HEADER, *map(_line, found), _total(found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(item.rjust(width) for item, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    return "\n".join([*text, *_notes(found, machine)])


def _line(one: Forecast) -> tuple[str, ...]:
    mark = MARKS[one.known]
    return (
        one.cell,
        f"{one.parameters:,}",
        f"{mark}{one.steps:,}",
        f"{one.flops_per_step:.3g}",
        f"{one.kernels_per_step:,}",
        f"{sum(one.flops.values()):.3g}",
        f"{one.bytes:.3g}",
        f"{one.calls:,}",
        memory(one.peak_bytes),
        duration(one.compile_seconds),
        mark + duration(one.run_seconds),
    )


def _total(found: Sequence[Forecast]) -> tuple[str, ...]:
    kinds = {one.known for one in found}
    mark = MARKS[next((kind for kind in ("at most", "about") if kind in kinds), "exactly")]
    largest = max(one.peak_bytes for one in found)
    return (
        f"all: {mark}{duration(sum(one.seconds for one in found))}",
        "", "", "", "",
        f"{sum(sum(one.flops.values()) for one in found):.3g}",
        f"{sum(one.bytes for one in found):.3g}",
        f"{sum(one.calls for one in found):,}",
        memory(largest),
        duration(sum(one.compile_seconds for one in found)),
        mark + duration(sum(one.run_seconds for one in found)),
    )  # fmt: skip


def _notes(found: Sequence[Forecast], machine: Machine) -> list[str]:
    flops = added((1.0, one.flops) for one in found)
    whole = sum(flops.values()) or 1.0
    rates = ", ".join(
        f"{machine.rate(name) / 1e12:.3g} TFLOP/s in {name} ({100 * count / whole:.3g} % of the FLOPs)"
        for name, count in sorted(flops.items(), key=lambda item: -item[1])
    )
    notes = [
        f"on {machine.name} ({machine.source}): {rates}; {machine.bandwidth / 1e12:.3g} TB/s, "
        f"{memory(machine.memory)}, {machine.launch * 1e6:.2g} us a kernel",
        "a kernel takes its launch, its bytes or its FLOPs, whichever is longest; FLOPs are those of matrix products and "
        "convolutions, bytes and memory those of the traced programs with elementwise work fused",
    ]
    if any("default" in one.flops for one in found):
        notes.append("default: float32 products that name no precision run in what the machine takes for it")
    if any(one.known == "at most" for one in found):
        notes.append(
            "<=: training ends where the kernel at initialization or the outputs say, which is not known beforehand"
        )
    if any(one.known == "about" for one in found):
        notes.append(
            "~: steps by the kernel of infinite width; networks of n < 64 L or n < |D|/4 take more, up to "
            f"{MOST_TIMES} times"
        )
    return notes
