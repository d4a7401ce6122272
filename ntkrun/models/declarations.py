"""What a network says of itself beyond f(params, x): the one place where kernels and runs ask for it.

A network declares by a property `declaration`.  One that has none is taken as what is safe for any module, but for
the fields of these names that it may have: `width`, `parameterization`, `matmul`, `dtype`.
"""

from dataclasses import dataclass, replace
from typing import Any

from ntkrun.errors import UserError
from ntkrun.nonlinearities import Activation


@dataclass(frozen=True)
class FullyConnected:
    """Equation (1): the network whose infinite width `kernels.analytic` knows, and which `kernels.projected` draws."""

    widths: tuple[int, ...]  # n_1 .. n_L
    n_outputs: int
    activation: str | Activation
    sigma_w2: float
    sigma_b2: float
    parameterization: str
    trained: str

    @property
    def depth(self) -> int:
        """L."""
        return len(self.widths)

    @property
    def recursion(self) -> dict[str, Any]:
        """The arguments of `analytic_kernels` under which it gives the limit of this network's kernels."""
        names = ("depth", "activation", "sigma_w2", "sigma_b2", "parameterization", "trained")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Declaration:
    """What holds for one network; the defaults are safe for every module.

    width             n, the largest hidden width, by which the standard one and mup are scaled; 0: it has none
    parameterization  "ntk": the rate acts on the parameters as they are; "standard": eta_0 / n, kernels J J^T / n;
                      "mup": eta_0 n, kernels n J J^T
    matmul            precision of the products of training steps (`models.products`); other than "as_dtype" only for a
                      module with a field of that name
    dtype             of inputs and parameters; None: that of the inputs
    batch_dependent   whether an output depends on the other examples of its batch; None: not known
    tapped            whether every parameter is used once, in a layer with taps (`models.layers`); None: not known
    fully_connected   its terms where it is equation (1), else None
    """

    width: int = 0
    parameterization: str = "ntk"
    matmul: str = "as_dtype"
    dtype: Any = None
    batch_dependent: bool | None = None
    tapped: bool | None = None
    fully_connected: FullyConnected | None = None

    def but(self, **known: Any) -> "Declaration":
        """The same with what else is known."""
        return replace(self, **known)


UNKNOWN = Declaration(tapped=False)  # of a function of which nothing more is known


def of(model: Any) -> Declaration:
    """What the network declares, else `by_fields`.  Raises `UserError` for a `declaration` that is no `Declaration`.

    A declaration speaks of the function that its class computes: one that computes another, by a `__call__` or `setup` of
    its own, has to declare anew.
    """
    if not _declares(type(model)):
        return by_fields(model)
    declared = model.declaration
    if not isinstance(declared, Declaration):
        raise UserError(f"{type(model).__name__}.declaration must be an ntkrun.models.declarations.Declaration")
    return declared


def _declares(kind: type) -> bool:
    """Whether the first class among its ancestors that says what is computed says what to know of it, too."""
    classes = kind.__mro__
    declared = next((place for place, one in enumerate(classes) if "declaration" in vars(one)), None)
    computed = next((place for place, one in enumerate(classes) if {"__call__", "setup"} & vars(one).keys()), 0)
    return declared is not None and declared <= computed


def by_fields(model: Any) -> Declaration:
    """What a module's fields say; a network with a `declaration` adds to it what else it knows."""
    width = getattr(model, "width", 0)
    return Declaration(
        width=width if isinstance(width, int) else 0,
        parameterization=getattr(model, "parameterization", "ntk"),
        matmul=getattr(model, "matmul", "as_dtype"),
        dtype=getattr(model, "dtype", None),
    )
