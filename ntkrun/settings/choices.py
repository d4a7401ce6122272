"""Every closed list of values that a setting may have, each written here once.

Validation, error messages, `ntkrun --help` and docs/settings.md are derived from these lists; what implements a value
(networks, losses, optimizers, machines) is a registry by the same names, and a test holds the two equal.  Nothing but
the standard library is imported: the lists are also read where pydantic is not installed yet.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

Scale = Literal["smoke", "cpu", "gpu", "paper"]
Style = Literal["paper", "slides"]
Stage = Literal["run", "report", "all", "verify", "plan", "data", "check", "list", "bundle", "merge", "compare"]
Log = Literal["off", "csv", "tensorboard"]
Order = Literal["shortest", "listed"]
Device = Literal["auto", "cpu", "a100", "h100", "h200"]

DataName = Literal["mnist", "cifar10"]
DataSource = Literal["auto", "tfds", "stand_in"]
Preprocess = Literal["global", "sphere", "per_image", "standardize"]
TargetKind = Literal["signed", "one_hot"]

Activation = Literal[
    "relu", "erf", "tanh", "leaky_relu", "abs", "abrelu", "sign", "step", "gelu", "sin", "cos", "rbf", "gaussian",
    "identity", "monomial", "polynomial", "rectified_monomial", "sigmoid_like", "sigmoid", "softplus", "swish",
    "elu",
]  # fmt: skip
Parameterization = Literal["ntk", "standard", "mup"]
Dtype = Literal["float32", "float64"]
Trained = Literal["all", "readout"]
Products = Literal["as_dtype", "tf32", "bfloat16"]
Pool = Literal["average", "flatten"]
Norm = Literal["batch", "none"]

Loss = Literal["mse", "cross_entropy"]
LinearRoute = Literal["auto", "function_space", "parameter_space"]
Flow = Literal["gradient", "momentum"]  # the continuous-time limit of an optimizer
Follow = Literal["auto", "examples", "logits"]
InputBasis = Literal["full", "span"]
AnalyticKernel = Literal["auto", "always", "never"]


def choices_of(closed_list: Any) -> tuple[str, ...]:
    """The values of one of the lists above, in their order."""
    return get_args(closed_list)


@dataclass(frozen=True)
class StageDeclaration:
    """What a stage does.

    meaning   for --help and docs/settings.md
    computes  whether missing cells are computed
    draws     whether the figure is drawn and the claims are judged
    lists     whether it is about the runs that are there, and needs no experiment
    any_run   whether it may be typed without an experiment: it is then about lockstep, what else is typed decides
    needs     which setting it cannot do without, and what to type
    at_once   whether one call moves or compares the results of all figures that are named
    """

    meaning: str
    computes: bool = False
    draws: bool = False
    lists: bool = False
    any_run: bool = False
    needs: tuple[str, str] | None = None
    at_once: bool = False


STAGES: dict[Stage, StageDeclaration] = {
    "run": StageDeclaration("compute the cells that are missing", computes=True),
    "report": StageDeclaration("draw and judge what is stored", draws=True),
    "all": StageDeclaration("run, then report", computes=True, draws=True),
    "verify": StageDeclaration("check every stored table against its recorded hash and schema"),
    "plan": StageDeclaration("tell what the cells will cost and compute nothing"),
    "data": StageDeclaration(
        "fetch the images of the run if need be, tell what they are and whether the run can use them", any_run=True
    ),
    "check": StageDeclaration("judge the claims on what is stored and write nothing: exit code 1 when one fails"),
    "list": StageDeclaration("list the runs that are there, of all experiments unless one is named", lists=True),
    "bundle": StageDeclaration(
        "put all that a run needs on a machine without network into one folder",
        at_once=True,
        needs=("into", "stage=bundle writes a new folder: name it, into=bundle"),
    ),
    "merge": StageDeclaration(
        "take in the results of another machine",
        at_once=True,
        needs=("from", "stage=merge takes results from a folder or a .tar.gz: name it, from=results-elsewhere"),
    ),
    "compare": StageDeclaration(
        "hold runs of an experiment against each other, or results_dir against the results of another machine",
        at_once=True,
    ),
}


@dataclass(frozen=True)
class LossDeclaration:
    """What the theory needs to know of a loss; its value is computed in `ntkrun.dynamics.metrics`.

    formula          averaged over the b examples of a step and the k outputs
    linear_gradient  whether dL/df is linear in f: gradient flow of f_lin then has a closed form, eqs (8)-(11)
    targets          the kinds of targets that it takes
    """

    formula: str
    linear_gradient: bool
    targets: tuple[TargetKind, ...]


LOSSES: dict[str, LossDeclaration] = {
    "mse": LossDeclaration("L = 1/2 mean (f - y)^2", linear_gradient=True, targets=("signed", "one_hot")),
    "cross_entropy": LossDeclaration("L = -mean y log softmax f", linear_gradient=False, targets=("one_hot",)),
}
