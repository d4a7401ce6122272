"""The words for nonlinearities phi: their formulas, their parameters and how both are typed; `nonlinearities` has the functions.

A word is a name, or a name with its parameters in their order, `leaky_relu:0.1` or `erf:1.3:0.6`; those left out have their usual
values.  Only the standard library is imported: settings are read without JAX.
"""

import math
from dataclasses import dataclass, field

from ntkrun.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Declared:
    """What is known of phi(u) by its name.

    formula     of u and the parameters; u+ is max(u, 0), [u > 0] is 1 for positive u and 0 for negative
    parameters  name -> usual value, in the order in which they are typed
    more        whether more numbers may follow: coefficients of a polynomial
    whole       whether its parameter is a whole number, 1 or larger
    flat        whether phi' is 0 but for jumps: nothing below the readout has a gradient
    """

    formula: str
    parameters: dict[str, float] = field(default_factory=dict)
    more: bool = False
    whole: bool = False
    flat: bool = False

    @property
    def told(self) -> str:
        """The formula with the usual values."""
        usual = ", ".join(f"{name} = {value:g}" for name, value in self.parameters.items())
        return f"{self.formula}, {usual}" if usual else self.formula


DECLARED: dict[str, Declared] = {
    "relu": Declared("u+"),
    "erf": Declared("a erf(b u) + c", {"a": 1.0, "b": 1.0, "c": 0.0}),
    "tanh": Declared("tanh u"),
    "leaky_relu": Declared("u+ - slope (-u)+", {"slope": 0.01}),
    "abs": Declared("|u|"),
    "abrelu": Declared("b u+ - a (-u)+", {"a": -1.0, "b": 1.0}),
    "sign": Declared("-1 or 1", flat=True),
    "step": Declared("[u > 0]", flat=True),
    "gelu": Declared("u Phi(u), Phi the normal distribution function"),
    "sin": Declared("a sin(b u + c)", {"a": 1.0, "b": 1.0, "c": 0.0}),
    "cos": Declared("a cos(b u + c)", {"a": 1.0, "b": 1.0, "c": 0.0}),
    "rbf": Declared("sqrt(2) sin(sqrt(2 gamma) u + pi/4)", {"gamma": 1.0}),
    "gaussian": Declared("a exp(-b u^2)", {"a": 1.0, "b": 1.0}),
    "identity": Declared("u"),
    "monomial": Declared("u^degree", {"degree": 2.0}, whole=True),
    "polynomial": Declared("c0 + c1 u + c2 u^2 + ...", {"c0": 0.0, "c1": 1.0}, more=True),
    "rectified_monomial": Declared("(u+)^degree", {"degree": 2.0}, whole=True),
    "sigmoid_like": Declared("(1 + erf(u / 2.4020563531719796)) / 2"),
    "sigmoid": Declared("1 / (1 + e^-u)"),
    "softplus": Declared("log(1 + e^u)"),
    "swish": Declared("u / (1 + e^-u)"),
    "elu": Declared("u+ + alpha (e^min(u, 0) - 1)", {"alpha": 1.0}),
}


def parse(word: str) -> tuple[str, tuple[float, ...]]:
    """The name and all its parameters, usual values filled in; `UserError` for what is no word."""
    name, *typed = word.split(":")
    if name not in DECLARED:
        hint = did_you_mean(name, DECLARED)
        raise UserError(f"unknown activation {name!r}{hint or ':'} choose one of {', '.join(sorted(DECLARED))}")
    declared = DECLARED[name]
    usual = tuple(declared.parameters.values())
    if len(typed) > len(usual) and not declared.more:
        allowed = f"at most these, {_syntax(name)}" if usual else f"none, {name}"
        raise UserError(f"activation {word!r} has too many parameters: type {allowed}")
    numbers = tuple(_number(word, text) for text in typed)
    if declared.whole and not all(number >= 1 and number == int(number) for number in numbers):
        raise UserError(
            f"activation {word!r}: the degree is a whole number, 1 or larger: {_syntax(name)}, say {name}:3"
        )
    if declared.more:
        return name, numbers or usual
    return name, numbers + usual[len(numbers) :]


def canonical(word: str) -> str:
    """The shortest word for the same phi, the same for all ways to type it: `leaky_relu` for leaky_relu:0.010."""
    name, numbers = parse(word)
    usual = tuple(DECLARED[name].parameters.values())
    if numbers == usual:
        return name
    while not DECLARED[name].more and numbers[-1] == usual[len(numbers) - 1]:
        numbers = numbers[:-1]
    return ":".join([name, *(repr(number).removesuffix(".0") for number in numbers)])


def is_flat(word: str) -> bool:
    """Whether nothing below the readout of such a network has a gradient."""
    return DECLARED[parse(word)[0]].flat


def _syntax(name: str) -> str:
    """leaky_relu:slope"""
    return ":".join([name, *DECLARED[name].parameters])


def _number(word: str, text: str) -> float:
    name = word.split(":")[0]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"activation {word!r}: {text!r} is no number; type {_syntax(name)}, say {name}:0.5")
    return number
