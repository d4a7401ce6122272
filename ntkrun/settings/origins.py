"""Where each setting of an experiment comes from: `ntkrun/reference/origins/<experiment>.toml`.

    [printed]      the paper says it                  "model.width" = { paper = 2048, where = "caption" }
    [recovered]    inferred from its plots            "model.sigma_w2" = { paper = 2.0, where = "flat after t = 2^9" }
    [ours]         neither                            "data.n_test" = { why = "Figure S8 counts 512 test images" }

`paper` is the paper's value as the paper has it.  Where scale=paper uses another one, `converted` is the same in our
convention and `instead` another choice, with the reason `why`; `printed` is what the paper says where its plots say otherwise.
`fitted_to` names the paper's curves ("fig3/loss/train_*", as in `ntkrun.reference`) by whose course a value was chosen: what is
recovered says it always, [] where the value was read off without a run of ours (abscissae, counts, the first point); what is
ours and fitted names the value as `here`.
Names in quotes are patterns: "parts.L*.model.width" is said of the parts L1, L2, ...  `like` names the experiment that has the
other settings, `alone` says why all are ours; what is in none of them is in common.toml.  "null" stands for no value.
A picture names what is ours, but for values that are the `usual` one and settings that are `quiet`: they move no curve.
"""

import fnmatch
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from ntkrun.errors import UserError

Kind = Literal["printed", "recovered", "ours"]
KINDS: tuple[Kind, ...] = ("printed", "recovered", "ours")
COMMON = "common"
UNSET = object()


@dataclass(frozen=True)
class Origin:
    """Where one setting comes from.

    kind     printed | recovered | ours
    where    where the paper has it; of ours: why this value
    paper    the paper's value as the paper has it, None: it has none (all images, full batches)
    here     what scale=paper uses for it; of ours: the value that was fitted
    same     whether `here` is the paper's value in our convention, and not another choice
    why      why `here` is not `paper`
    printed  what the paper says where its plots say otherwise; else None
    usual    of ours: the value that a picture need not name
    quiet    of ours: no value need be named
    fitted_to  patterns of the paper's curves by whose course the value was chosen
    """

    kind: Kind
    where: str
    paper: Any = None
    here: Any = None
    same: bool = True
    why: str = ""
    printed: Any = None
    usual: Any = UNSET
    quiet: bool = False
    fitted_to: tuple[str, ...] = ()

    @property
    def of_the_paper(self) -> bool:
        return self.kind != "ours"

    def __str__(self) -> str:
        if not self.of_the_paper:
            return f"ours: {self.where}{self.fit}"
        other = f"; here {in_words(self.here)}: {self.why}" if self.here != self.paper else ""
        other += f"; printed {in_words(self.printed)}" if self.printed is not None else ""
        return f"{self.kind} {in_words(self.paper)}, {self.where}{other}{self.fit}"

    @property
    def fit(self) -> str:
        """The curves that it was fitted to, as the end of a sentence; "" where it was to none."""
        return f"; fitted to {', '.join(self.fitted_to)}" if self.fitted_to else ""


def in_words(value: Any) -> str:
    """As it is typed on a command line."""
    return json.dumps(value, separators=(",", ":")).replace('"', "")


def origin_of(experiment: str, name: str) -> Origin | None:
    """The origin of a setting by its dotted name, "parts.relu1.model.depth" in one part; None where the files say nothing."""
    if why := alone(experiment):
        return Origin("ours", why, quiet=True)
    named = patterns(experiment)
    for candidate in (name, setting(name)):
        for pattern, origin in named.items():
            if fnmatch.fnmatchcase(candidate, pattern):
                return origin
    return None


def setting(name: str) -> str:
    """The name that a setting has outside `parts`."""
    return name.split(".", 2)[2] if name.startswith("parts.") and name.count(".") >= 2 else name


def alone(experiment: str) -> str:
    """Why all settings of an experiment are ours; "" where the paper has it."""
    return _file(experiment).get("alone", "")


def patterns(experiment: str) -> dict[str, Origin]:
    """Pattern -> origin, of the experiment, of the one that it is like and of all."""
    file = _file(experiment)
    below = patterns(file["like"]) if "like" in file else dict(_entries(COMMON)) if experiment != COMMON else {}
    own = dict(_entries(experiment))
    return own | {pattern: origin for pattern, origin in below.items() if pattern not in own}


def _entries(experiment: str) -> Iterator[tuple[str, Origin]]:
    file = _file(experiment)
    for kind in KINDS:
        for pattern, told in file.get(kind, {}).items():
            yield pattern, _origin(kind, {key: None if value == "null" else value for key, value in told.items()})


def _origin(kind: Kind, told: dict[str, Any]) -> Origin:
    curves = tuple(told.get("fitted_to", ()))
    if kind == "ours":
        usual, quiet = told.get("usual", UNSET), told.get("quiet", False)
        return Origin("ours", told["why"], here=told.get("here"), usual=usual, quiet=quiet, fitted_to=curves)
    other = next((key for key in ("converted", "instead") if key in told), "paper")
    return Origin(
        kind,
        told["where"],
        told["paper"],
        told[other],
        same=other != "instead",
        why=told.get("why", ""),
        printed=told.get("printed"),
        fitted_to=curves,
    )


@cache
def _file(experiment: str) -> dict[str, Any]:
    path = files("ntkrun.reference").joinpath("origins", f"{experiment}.toml")
    if not path.is_file():
        raise UserError(f"no origins of the settings of {experiment}: write ntkrun/reference/origins/{experiment}.toml")
    return tomllib.loads(path.read_text())
