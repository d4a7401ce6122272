"""How the settings of a run differ from the paper's own, in the paper's words: what a picture and the gallery say of it.

"Paper" stands for values that are printed or recovered (`ntkrun.settings.origins`) and for nothing else.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ntkrun.settings.changes import Changes, values_of
from ntkrun.settings.origins import Origin, alone, origin_of
from ntkrun.settings.parts import is_rule

WORDS = {
    "model.name": "network {}",
    "model.width": "n = {}",
    "model.depth": "L = {}",
    "model.activation": "phi = {}",
    "model.sigma_w2": "sigma_w^2 = {}",
    "model.sigma_b2": "sigma_b^2 = {}",
    "model.parameterization": "{} parameterization",
    "data.n_train": "N = {}",
    "data.n_test": "{} test images",
    "data.name": "{} images",
    "data.classes": "classes {}",
    "data.preprocess": "inputs {}",
    "loss": "loss {}",
    "networks": "{} networks",
    "draws": "M to {}",
    "rates": "{} rates",
    "alphas": "{} values of alpha",
    "times": "t = {}",
    "optimizer.steps": "{} steps",
    "optimizer.learning_rate": "eta = {}",
    "optimizer.momentum": "beta = {}",
    "optimizer.batch_size": "batches of {}",
    "record.train_examples": "loss over {} train images",
}
WORDS_OF_OWN_DATA = WORDS | {
    "data.n_test": "{} test examples",
    "data.name": "{} data",
    "record.train_examples": "loss over {} train examples",
}
# what says most about a run comes first; the rest follows in the order of the settings
FIRST = ("model.width", "optimizer.steps", "networks", "optimizer.learning_rate", "optimizer.momentum", "data.n_train")
CLOCK = ("optimizer.time_per_eta", "optimizer.schedule")  # told by the last t, with the steps
COUNTED = (*CLOCK, "optimizer.steps", "optimizer.learning_rate")  # what the last t is computed from
LISTS = (".boundaries", ".factors")  # of a schedule: one value is a list
ROOT_OF_RATE = ("momentum", "nesterov")  # optimizers whose steps advance t by sqrt(eta) (S2)
SAME_TIME = 0.05  # relative: growing steps end within their last one
NUMBERS_SHOWN = 3  # of a list; longer ones are told by their ends


@dataclass(frozen=True)
class Departures:
    """What is to be said of a run's settings, the most important first.

    differs    from what is printed or recovered: "n = 512 instead of 2048"
    converted  the paper's values in another convention, or not as printed: "eta = 0.02 for the printed 0.01"
    why        the reasons of `converted`, one for each
    ours       values of which the paper says nothing: "512 test images"
    alone      why nothing is held against the paper; "" for a figure of the paper
    """

    differs: tuple[str, ...]
    converted: tuple[str, ...]
    why: tuple[str, ...]
    ours: tuple[str, ...]
    alone: str

    def as_record(self) -> dict[str, Any]:
        """For the provenance."""
        return {name: value if isinstance(value, str) else list(value) for name, value in asdict(self).items()}

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> "Departures":
        """Of a provenance."""
        differs, converted, why, ours = (tuple(record[name]) for name in ("differs", "converted", "why", "ours"))
        return cls(differs, converted, why, ours, record["alone"])

    @property
    def said(self) -> int:
        """How many things there are to say."""
        return len(self.differs) + len(self.converted) + len(self.ours)

    def line(self, scale: str, most: int) -> str:
        """One line that says at most so many of them."""
        differs, left = self.differs[:most], most - len(self.differs)
        converted, rest = self.converted[: max(left, 0)], left - len(self.converted)
        ours = self.ours[: max(rest, 0)]
        groups = [", ".join(differs) + " (paper)" if differs else "", ", ".join(converted)]
        groups += ["ours: " + ", ".join(ours) if ours else "", self.alone]
        if most < self.said:
            groups.append(f"and {self.said - most} more (gallery)")
        return f"scale={scale}" + "".join(f"{': ' if i == 0 else '; '}{g}" for i, g in enumerate(filter(None, groups)))


def departures(experiment: str, raw: dict[str, Any], changed: Changes) -> Departures:
    """The settings of a run held against their origins; changed: those that the user has changed, which come first."""
    values = {part: _at_its_widths(settings) for part, settings in values_of(raw).items()}
    told: dict[str, dict[tuple[str, str], list[str]]] = {"differs": {}, "converted": {}, "ours": {}}
    for part, settings in values.items():
        for kind, text, why in _statements(experiment, part, settings, changed):
            told[kind].setdefault((text, why), []).append(part)
    left_out = [name for name, part in (raw.get("parts") or {}).items() if part is None]
    differs = [f"without {', '.join(left_out)}"] if left_out else []
    differs += [_of_parts(text, parts, values) for (text, _), parts in told["differs"].items()]
    return Departures(
        differs=tuple(differs),
        converted=tuple(_of_parts(text, parts, values) for (text, _), parts in told["converted"].items()),
        why=tuple(why for _, why in told["converted"]),
        ours=tuple(_of_parts(text, parts, values) for (text, _), parts in told["ours"].items()),
        alone=alone(experiment),
    )


def _at_its_widths(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, of every rule {width: value} that which the run's widths use."""
    width: Any = settings.get("model.args.width", settings.get("model.width"))
    widths = width if isinstance(width, list) else [width]

    def used(rule: dict[int, Any]) -> dict[int, Any]:
        keys = {max((key for key in rule if key <= width), default=min(rule)) for width in widths}
        return {key: value for key, value in rule.items() if key in keys}

    return {name: used(value) if is_rule(value) else value for name, value in settings.items()}


def _of_parts(text: str, parts: Sequence[str], all_parts: Sequence[str] | dict[str, Any]) -> str:
    return (
        text
        if len(parts) == len(all_parts)
        else f"{text} in {'part' if len(parts) == 1 else 'parts'} {', '.join(parts)}"
    )


def _statements(
    experiment: str, part: str, settings: dict[str, Any], changed: Changes
) -> Iterator[tuple[str, str, str]]:
    """(differs | converted | ours, text, why) of one part, the most important first.

    A setting without an origin belongs to another kind of network or optimizer, which the origin of its name tells.
    """
    prefix = f"parts.{part}." if part else ""
    origins = {name: found for name in settings if (found := origin_of(experiment, prefix + name))}
    paper = settings | {name: origin.here for name, origin in origins.items() if origin.of_the_paper}

    def place(name: str) -> tuple[bool, int]:
        return name not in changed and prefix + name not in changed, FIRST.index(name) if name in FIRST else len(FIRST)

    for name in sorted(origins, key=place):
        origin = origins[name]
        if name.startswith(CLOCK) or (name == "data.classes" and settings[name] is None and settings.get("data.path")):
            continue  # the file's own classes are told by its name
        if not origin.of_the_paper:
            if not origin.quiet and settings[name] != origin.usual:
                yield "ours", _said(name, settings), origin.where
        elif name == "optimizer.steps":
            if text := _course(settings, paper):
                yield "differs", text, ""
        else:
            yield from _held_against(origin, name, settings)


def _held_against(origin: Origin, name: str, settings: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What is to be said of one setting that is printed or recovered."""
    ours, said, paper = in_all(name, settings), _said(name, settings), _shown(name, origin.paper)
    if name == "optimizer.batch_size" and not isinstance(ours, int):
        paper = _batches(origin.paper)
    if origin.printed is not None:  # its plots contradict what the paper says, and both are the paper's
        printed = _shown(name, origin.printed)
        if ours == origin.here:
            yield "converted", f"{said} (printed: {printed})", f"recovered from: {origin.where}"
        elif ours == origin.printed:
            yield "differs", f"{said} (printed) instead of {paper} (recovered)", ""
        else:
            yield "differs", f"{said} instead of {paper} (recovered; printed: {printed})", ""
    elif ours == origin.here and origin.same and origin.why:
        yield "converted", f"{said} for the printed {paper}", origin.why
    elif ours != (origin.here if origin.same else origin.paper):
        converted = origin.same and bool(origin.why)
        theirs = f"{_shown(name, origin.here)} for the printed {paper}" if converted else paper
        yield "differs", f"{said} instead of {theirs}", ""


def in_all(name: str, settings: dict[str, Any]) -> Any:
    """The value of a setting; of `networks` those of all seeds together."""
    value, seeds = settings[name], settings["seed"]
    if name != "networks" or not isinstance(seeds, list):
        return value
    if is_rule(value):
        return {width: number * len(seeds) for width, number in value.items()}
    return [number * len(seeds) for number in value] if isinstance(value, list) else value * len(seeds)


def _said(name: str, settings: dict[str, Any]) -> str:
    if name == "optimizer.batch_size":
        return _batches(settings[name])
    words = WORDS if settings.get("data.path") is None else WORDS_OF_OWN_DATA
    return words.get(name, f"{name} = {{}}").format(_shown(name, in_all(name, settings)))


def _batches(sizes: Any) -> str:
    """ "full batches", "batches of 8", "full batches and batches of 8"."""
    sizes = list(sizes.values()) if is_rule(sizes) else sizes if isinstance(sizes, list) else [sizes]
    some = [size for size in sizes if size is not None]
    told = ["full batches"] if len(some) < len(sizes) else []
    told += [f"batches of {_shown('', some if len(some) > 1 else some[0])}"] if some else []
    return " and ".join(told)


def _shown(name: str, value: Any) -> str:
    """A value in few characters."""
    if name == "optimizer.batch_size" and value is None:
        return "full batches"
    if value is None:
        return "all" if name.startswith(("data.", "record.")) else "none"
    if isinstance(value, dict):  # a rule
        ends = dict.fromkeys(_shown(name, end(value.values())) for end in (min, max))
        return " to ".join(ends)
    if isinstance(value, list) and any(isinstance(one, list) for one in value):  # a sweep of lists
        whole = [" / ".join(_shown(name, part) for part in one) if isinstance(one, list) else one for one in value]
        return " and ".join(_shown(name, one) for one in whole)
    if isinstance(value, list) and len(value) > NUMBERS_SHOWN and all(isinstance(one, int | float) for one in value):
        return f"{_shown(name, value[0])}..{_shown(name, value[-1])} ({len(value)})"
    if isinstance(value, list):
        return ", ".join(_shown(name, one) for one in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _course(settings: dict[str, Any], paper: dict[str, Any]) -> str:
    """How the time of training, or else the number of steps, is other than the paper's; "" where neither is."""
    ends = [last_times(values) for values in (settings, paper)]
    if all(ends) and not (len(ends[0]) == 1 and np.isclose(ends[0][0], ends[1][0], rtol=SAME_TIME)):
        ours, theirs = ("..".join(dict.fromkeys(_rounded(t) for t in (min(end), max(end)))) for end in ends)
        return f"t to {ours} instead of {theirs}"
    constant = settings["optimizer.schedule.name"] == paper["optimizer.schedule.name"]
    if constant and settings["optimizer.steps"] == paper["optimizer.steps"]:
        return ""
    said, theirs = _said("optimizer.steps", settings), _shown("optimizer.steps", paper["optimizer.steps"])
    return f"{said}{'' if constant else ' of changing eta'} instead of {theirs}"


def _rounded(t: float) -> str:
    return f"{t:.0f}" if t >= 1000 else f"{t:.4g}"


def last_times(settings: dict[str, Any]) -> list[float]:
    """The last t of a run, one for each combination of steps and schedules; none where the rate or the optimizer is swept.

    t = time_per_eta * sum eta_i, or sum sqrt(eta_i) with momentum.
    """
    if isinstance(settings["optimizer.learning_rate"], list) or isinstance(settings["optimizer.name"], list):
        return []
    power = 0.5 if settings["optimizer.name"] in ROOT_OF_RATE else 1.0
    return [
        float((one["optimizer.time_per_eta"] or 1.0) * np.sum(_rates(one) ** power)) for one in _combinations(settings)
    ]


def _combinations(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The settings of the clock, of every width that a rule names and of every combination that is swept."""
    clock = {name: value for name, value in settings.items() if name.startswith(COUNTED)}
    widths = sorted({width for value in clock.values() if is_rule(value) for width in value}) or [0]
    for width in widths:
        values = [_swept(name, _at_width(value, width)) for name, value in clock.items()]
        yield from (dict(zip(clock, combination, strict=True)) for combination in itertools.product(*values))


def _at_width(value: Any, width: int) -> Any:
    return value[max((key for key in value if key <= width), default=min(value))] if is_rule(value) else value


def _swept(name: str, value: Any) -> list[Any]:
    """The values that a setting has in a run: boundaries and factors of a schedule are lists themselves."""
    several = isinstance(value, list) and (not name.endswith(LISTS) or isinstance(value[0], list))
    return value if several else [value]


def _rates(settings: dict[str, Any]) -> np.ndarray:
    """eta_i of every step."""
    schedule = {key.rpartition(".")[2]: value for key, value in settings.items() if key.startswith(CLOCK[1])}
    steps, rate = settings["optimizer.steps"], float(settings["optimizer.learning_rate"])
    i = np.arange(steps)
    if schedule["name"] == "piecewise_constant":
        pairs = zip(schedule["boundaries"], schedule["factors"], strict=True)
        return rate * np.prod([np.where(i < boundary, 1.0, factor) for boundary, factor in pairs], axis=0)
    if schedule["name"] == "exponential":
        return rate * schedule["decay_rate"] ** (i / schedule["decay_steps"])
    if schedule["name"] == "cosine":
        final = schedule["final_factor"]
        return rate * (final + (1 - final) * (1 + np.cos(np.pi * i / steps)) / 2)
    return np.full(steps, rate)
