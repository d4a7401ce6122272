"""`experiment=all`, `experiment=fig1,fig3`: one figure after the other, whatever becomes of the others, and a summary."""

import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ntkrun.report.counts import Counts
from ntkrun.runner.amounts import duration
from ntkrun.runner.remaining_work import RemainingWork

ALL = "experiment=all"
COUNTED = ("judged", "fitted", "failed", "not judged")  # claims; fitted: a setting was chosen by the very curves


def several(arguments: Sequence[str], figures: Callable[[], list[str]]) -> list[str]:
    """The experiments of a command line that names all or a list of them; none for a single one and for a sweep of Hydra's."""
    if ALL in arguments:
        return figures()
    named = next((item.partition("=")[2] for item in arguments if item.startswith("experiment=")), "")
    return named.split(",") if "," in named and not {"-m", "--multirun"} & set(arguments) else []


@dataclass
class Outcome:
    """What has become of one figure; kept up to date, so that an interruption can say so."""

    experiment: str = ""
    ran: int = 0
    cached: int = 0  # cells that were stored before
    counts: Counts = field(default_factory=Counts)
    distance: str = ""  # of its curves from the paper's
    seconds: float = 0.0
    code: int | None = None  # exit code; None: not reached
    absent: bool = False  # it was to be drawn, and nothing of it is stored
    remaining: RemainingWork | None = None  # of all figures, where this is one of them
    # of the images that the cells to draw were computed from, by the cells' hashes; None: what is stored decides
    fingerprints: Mapping[str, str] | None = None

    def judged(self, counts: Counts, distance: str) -> None:
        """What the report in the folder says now: a later job of a sweep writes it anew."""
        self.counts, self.distance = counts, distance

    def add(self, job: "Outcome") -> None:
        """What one job of a sweep has made of its share of the cells."""
        self.ran, self.cached = self.ran + job.ran, self.cached + job.cached
        self.absent |= job.absent
        if job.counts:  # the others left the report to it
            self.judged(job.counts, job.distance)


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line a figure and their sum; without the counts where no figure ran, used or judged anything."""
    total = Outcome("all", counts=sum((o.counts for o in outcomes), Counts()))
    for name in ("ran", "cached", "seconds"):
        setattr(total, name, sum(getattr(o, name) for o in outcomes))
    counted = bool(total.ran + total.cached + bool(total.counts))
    header = ("figure", "cells run", "stored before", "time", *COUNTED, "from the paper", "")
    lines: list[tuple[str, ...]] = [header, *(_line(o, o is total) for o in (*outcomes, total))]
    last = len(header) - 1
    shown = range(len(header)) if counted else (0, 3, last)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            line[place].ljust(widths[place]) if place in (0, last - 1, last) else line[place].rjust(widths[place])
            for place in shown
        ).rstrip()
        for line in lines
    )


def _line(o: Outcome, is_total: bool) -> tuple[str, ...]:
    state = "" if is_total or o.code == 0 else "not reached" if o.code is None else f"exit code {o.code}"
    state = "nothing is stored" if o.absent else state
    claims = (o.counts.judged, o.counts.fitted, o.counts.all_failed, o.counts.not_judged)
    counts = (str(o.ran), str(o.cached), duration(o.seconds), *map(str, claims))
    return (o.experiment, *counts, o.distance, state)


def only(name: str, arguments: Sequence[str]) -> list[str]:
    """The command line for one of several experiments."""
    return [f"experiment={name}" if item.startswith("experiment=") else item for item in arguments]


def run_all(
    arguments: Sequence[str],
    names: Sequence[str],
    once: Callable[[list[str], Outcome], int],
    expect: Callable[[list[str]], tuple[str, dict[str, float]]],
    began: float | None = None,
) -> int:
    """Call `once` with the arguments for each figure and sum up; a signal ends it, nothing else does.

    `once(arguments, outcome)` runs one experiment and notes in `outcome` what became of it; `expect(arguments)` says
    what its cells will take (experiment that computes them, {cell: seconds}).  Returns 0 when all figures
    returned it, 2 when none had good input, 128 + n after signal n, else 1; figures of which there is nothing to
    draw count only where that is so of all.

    began  when the command line was called, by `time.monotonic`: the time that is told counts from there; None: from now
    """
    began = time.monotonic() if began is None else began
    remaining = RemainingWork()
    for name in names:
        experiment, seconds = expect(only(name, arguments))
        remaining.expected_seconds |= {(experiment, cell): expected for cell, expected in seconds.items()}
    outcomes = [Outcome(name, remaining=remaining if remaining.total else None) for name in names]
    if remaining.total:
        print(remaining, flush=True)
    for place, outcome in enumerate(outcomes, start=1):
        so_far = duration(time.monotonic() - began)
        print(f"\n[{place}/{len(outcomes)}] {outcome.experiment}, {so_far} so far", flush=True)
        started = time.monotonic()
        remaining.figure = f"{place}/{len(outcomes)}"
        try:
            outcome.code = once(only(outcome.experiment, arguments), outcome)
        except SystemExit as stop:
            outcome.code = stop.code if isinstance(stop.code, int) else 1
        except KeyboardInterrupt as stop:
            outcome.code = 128 + int(getattr(stop, "signum", signal.SIGINT))
            print("interrupted: what is finished is kept, and the same command goes on from there", file=sys.stderr)
        except BrokenPipeError:  # nobody reads the rest
            raise
        except Exception:
            traceback.print_exc(file=sys.stderr)
            outcome.code = 1
        outcome.seconds += time.monotonic() - started
        remaining.drop_experiment(outcome.experiment)
        if outcome.code > 128:
            break
    if any(o.ran + o.cached or o.counts or o.code or o.absent for o in outcomes):
        print(f"\n{summary(outcomes)}")
    codes = [outcome.code or 0 for outcome in outcomes if not outcome.absent] or [2]
    return max(codes) if max(codes) > 128 or len(set(codes)) == 1 else 1
