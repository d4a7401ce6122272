"""The settings of the networks, and what is known of each kind before it is built.

A new architecture with a class here, derived from `ModelSettings`, is known to validation, to `ntkrun --help` and to
docs/settings.md; CONTRIBUTING.md has the whole walk.
"""

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PrivateAttr,
    WrapValidator,
    computed_field,
    model_validator,
)

from ntkrun.errors import UserError
from ntkrun.notation.activation_names import DECLARED, canonical, is_flat
from ntkrun.settings.choices import Activation, AnalyticKernel, Dtype, Norm, Parameterization, Pool, Trained
from ntkrun.settings.custom_source import content_hash, is_path, source_hash
from ntkrun.settings.fields import Before, Count, Index, Local, Meanings, NonNegative, Path, Positive, Section, one_of
from ntkrun.settings.optimizers import OptimizerSettings


def _shortest_word(typed: Any, closed_list: Callable[[Any], str]) -> str:
    """A word of the list, or one with parameters behind it, in its shortest form: one network, one name."""
    if not (isinstance(typed, str) and ":" in typed):
        return closed_list(typed)
    try:
        return canonical(typed)
    except UserError as error:
        raise ValueError(str(error)) from error


ActivationWord = Annotated[
    Activation,
    WrapValidator(_shortest_word),
    PlainSerializer(str),
    Meanings({name: declared.told for name, declared in DECLARED.items()}),
]


class Network(Section):
    """What is known of a network before it is built; these values hold where nothing is known.

    no_analytic_kernel  why there are no kernels at infinite width (`experiments.runs.recursion`); None where there are
    cheap_kernel        whether kernels of a few hundred images cost little beside training: no weight is used at several
                        positions of an image.  eta_critical comes from Theta_hat, and otherwise from power iteration
    """

    cheap_kernel: ClassVar[bool] = False

    @property
    def no_analytic_kernel(self) -> str | None:
        return "the layers of your network are not known"

    @property
    def analytic_kernel(self) -> bool:
        """Whether it has kernels at infinite width."""
        return self.no_analytic_kernel is None

    @property
    def batch_dependence(self) -> str | None:
        """The setting by which the output for one image depends on the others of its batch; None where it does not."""
        return None


class ModelSettings(Network):
    """What all networks have: L hidden layers of n units or channels and a linear readout."""

    name: str = Field(description="kind of network")
    width: Count = Field(description="n, units or channels of every hidden layer")
    depth: Count = Field(description="L, hidden layers")
    activation: ActivationWord = Field(
        description="phi, the nonlinearity; other parameters than the usual ones follow it, leaky_relu:0.1"
    )
    sigma_w2: Positive = Field(description="sigma_w^2, variance of the weights times their fan-in")
    sigma_b2: NonNegative = Field(description="sigma_b^2, variance of the biases")
    parameterization: Annotated[
        Parameterization,
        Meanings(
            {
                "ntk": "W = sigma_w / sqrt(fan-in) omega, omega ~ N(0, 1) is trained",
                "standard": "W ~ N(0, sigma_w^2 / fan-in) itself is trained, with eta_0 / n (S36)",
                "mup": "as ntk, the readout over sqrt(n) and eta_0 n (Yang and Hu 2021): features are learnt at any width",
            }
        ),
    ] = Field(description="what of a weight is trained")
    dtype: Dtype = Field(description="floating-point type of parameters and training")

    @property
    def no_analytic_kernel(self) -> str | None:
        return "as with model.parameterization=mup it moves with training" if self.parameterization == "mup" else None


def check_gradient(model: Network, trained: Trained = "all") -> None:
    """ValueError where layers are trained that have no gradient."""
    if trained == "all" and isinstance(model, ModelSettings) and is_flat(model.activation):
        raise ValueError(
            f"model.activation={model.activation} has no gradient, and an infinite NTK: only the layer behind it can be "
            "trained, add trained=readout (experiment=lockstep), or take a continuous one, model.activation=erf:1:5, say"
        )


def check_rate_of(model: Any, optimizer: OptimizerSettings, weight_decay: float) -> None:
    """UserError where the one rate eta_0 n of mup is not what the rates of its layers amount to; model: what says its
    `parameterization`, if anything does."""
    if getattr(model, "parameterization", "ntk") != "mup":
        return
    if not optimizer.linear_in_gradient:
        raise UserError(
            f"model.parameterization=mup is for steps that are linear in the gradient, unlike optimizer.name={optimizer.name}: "
            "use optimizer=gd, momentum or nesterov"
        )
    if weight_decay > 0:
        raise UserError(
            "weight_decay would act n times as strongly with model.parameterization=mup: use weight_decay=0"
        )


def check_theta(choice: AnalyticKernel, why_not: str | None) -> None:
    """ValueError where a choice about f_lin with Theta decides nothing, because there is none."""
    if why_not is not None and choice != "auto":
        raise ValueError(f"theory.analytic_kernel={choice}: there is none to choose, {why_not}")


class FcSettings(ModelSettings):
    """Fully-connected network, eq. (1)."""

    cheap_kernel: ClassVar[bool] = True
    name: Literal["fc"]


class CnnSettings(ModelSettings):
    """L convolutions 3 x 3, pooling, readout (Figures S2 and S5)."""

    name: Literal["cnn"]
    pool: Annotated[
        Pool, Meanings({"average": "the mean over all positions", "flatten": "every position by itself"})
    ] = Field(description="what the readout sees of the last layer")
    stride: Count = Field(description="pixels, of every convolution")


class WideResnetSettings(ModelSettings):
    """The wide ResNet of Table S1, pre-activation; depth = 6 N + 4 with N blocks in each of three groups."""

    name: Literal["wide_resnet"]
    norm: Annotated[
        Norm,
        Meanings({"batch": "by mean and variance of the batch at hand, no running averages", "none": "left out"}),
    ] = Field(description="normalisation in front of each phi")
    last_activation: Annotated[bool, Before(True)] = Field(
        description="phi before the mean over positions, which Table S1 has not"
    )

    @property
    def batch_dependence(self) -> str | None:
        return "model.norm=batch" if self.norm == "batch" else None

    @property
    def no_analytic_kernel(self) -> str | None:
        if self.norm == "none":
            return super().no_analytic_kernel
        return "as batch normalisation makes an output depend on the whole batch: use model.norm=none"

    @model_validator(mode="after")
    def _whole_blocks(self) -> "WideResnetSettings":
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"model.depth={self.depth} of wide_resnet must be 6 N + 4: 10, 16, 22, ...")
        return self


def _plain(value: Any) -> Any:
    """A number, a word, or a tuple of them, which is hashable."""
    items = value if isinstance(value, list | tuple) else (value,)
    if not all(item is None or isinstance(item, bool | int | float | str) for item in items):
        raise ValueError("an argument is a number, a word, true, false, null, or a list of them")
    return tuple(value) if isinstance(value, list) else value


def _module_and_network(path: str) -> str:
    if re.fullmatch(r"[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?", path):
        return path
    module, _, network = path.rpartition(":") if ":" in path else (path, "", "MyNet")
    file = PurePath(module)
    if file.suffix == ".py" and file.stem.isidentifier():
        raise ValueError(
            f"name the module, not its file, in {file.parent} or with PYTHONPATH={file.parent}: model.path={file.stem}:{network}"
        )
    raise ValueError("name a module and what it holds, model.path=my_module:MyNet, letters, digits, _ and . alone")


class UserModuleSettings(Network):
    """A Flax module of the user's.  Its source is part of its settings, so that an edited module is another network."""

    name: Literal["own"] = Field(description="kind of network")
    path: Annotated[str, AfterValidator(_module_and_network)] | None = Field(
        description="my_module:MyNet, or the name under which a package registers it (docs/own_network.md)"
    )
    width: Count | None = Field(description="n, for the module's field of that name; model.args.width is the same")
    args: dict[str, Annotated[Any, AfterValidator(_plain)]] = Field(
        description="the module's other fields, by name: model.args.depth=3"
    )
    apply_arguments: Annotated[dict[str, Annotated[Any, AfterValidator(_plain)]], Before({})] = Field(
        description="what the network is called with beside the images, by name: model.apply_arguments.train=false"
    )
    output: Annotated[Index | str | None, Before(None)] = Field(
        description="which of several outputs is meant, by place or name; null: there is one"
    )
    parameters: Local[Path | None] = Field(
        description="safetensors file, or folder of an Orbax checkpoint, with theta_0; null: drawn.  Its content enters"
    )
    dtype: Dtype = Field(description="floating-point type of parameters and inputs")
    _width_asked: bool = PrivateAttr(default=False)  # whether the width is that of `args`

    @property
    def width_asked(self) -> bool:
        """Whether the width was asked for by the name of the module's own field."""
        return self._width_asked

    @property
    def is_custom(self) -> bool:
        """Whether it may be imported only when the user has said so."""
        return self.path is not None and is_path(self.path)

    @computed_field
    @cached_property
    def source(self) -> str:
        """Hash of the source, as it was when the settings were read."""
        return source_hash(str(self.path))

    @computed_field
    @cached_property
    def parameters_hash(self) -> str | None:
        """Hash of the stored parameters, as they were when the settings were read."""
        return None if self.parameters is None else content_hash(self.parameters, "model.parameters")

    @model_validator(mode="wrap")
    @classmethod
    def _one_width(cls, raw: Any, validate: ModelWrapValidatorHandler["UserModuleSettings"]) -> "UserModuleSettings":
        if isinstance(raw, dict) and isinstance(raw.get("args"), dict) and "width" in raw["args"]:
            args = dict(raw["args"])
            made = validate(raw | {"width": args.pop("width"), "args": args})
            made._width_asked = True
            return made
        return validate(raw)

    @model_validator(mode="after")
    def _named(self) -> "UserModuleSettings":
        if self.path is None:
            raise ValueError("model=own needs a network: set model.path=my_module:MyNet and allow_custom=true")
        return self


def of_chosen_network(section: dict[str, Any], chosen: str) -> dict[str, Any]:
    """The settings of a network without those that other kinds have and the chosen one has not."""
    kinds = {kind.model_fields["name"].annotation: set(kind.model_fields) for kind in ModelSettings.__subclasses__()}
    own = {name: fields for kind, fields in kinds.items() for name in get_args(kind)}
    others = set().union(*own.values()) - own.get(chosen, set().union(*own.values()))
    return {name: value for name, value in section.items() if name not in others}


# what the settings of the user's network say of its files: it follows from them
OF_FILES = ("source", "parameters_hash")

if TYPE_CHECKING:
    AnyModelSettings = ModelSettings
    AnyNetworkSettings = ModelSettings | UserModuleSettings
else:
    AnyModelSettings = one_of(ModelSettings)
    AnyNetworkSettings = one_of(ModelSettings, UserModuleSettings)
