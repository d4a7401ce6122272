"""The nonlinearities phi of equation (1), shared by networks and kernels.

`models` applies phi and `kernels` integrates it; neither imports the other, so the functions live in this leaf, and the words
for them in `activation_names`.  A function of the user's own is passed as `Activation("mish", jax.nn.mish)`: the network
applies it, and its dual kernels are integrated numerically (`ntkrun.kernels.dual_closed_forms`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from ntkrun.errors import UserError, in_one_line
from ntkrun.notation import activation_names
from ntkrun.types import Array

Phi = Callable[[Array], Array]
OF_ITS_NAME = cast(Phi, None)  # the registered one


@dataclass(frozen=True)
class Activation:
    """An elementwise phi: R -> R.

    name   by which closed forms of its dual kernels are looked up, if phi is the registered one
    phi    without it the registered one of that name
    kinks  where phi is continuous and phi', or a higher derivative, is not: (0.0,) for ELU.  Quadrature is split there

    Raises `UserError` for a name without phi that is not registered, and for what is no function or no places.
    """

    name: str
    phi: Phi = OF_ITS_NAME
    kinks: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise UserError(f"the name of an activation is a word, 'mish', say, not {self.name!r}")
        if self.phi is None:
            try:
                registered = resolve_activation(self.name)
            except UserError as error:
                raise UserError(f"{error}, or pass its function, Activation({self.name!r}, phi)") from error
            object.__setattr__(self, "phi", registered.phi)
            object.__setattr__(self, "kinks", self.kinks or registered.kinks)
        if not callable(self.phi):
            raise UserError(
                f"phi of activation {self.name!r} is a function of an array, jax.nn.mish, say, not {self.phi!r}"
            )
        places = self.kinks if isinstance(self.kinks, tuple | list) else None
        if places is None or not all(isinstance(one, int | float) and math.isfinite(one) for one in places):
            raise UserError(
                f"kinks of activation {self.name!r} are a tuple of numbers, kinks=(0.0,), not {self.kinks!r}"
            )
        object.__setattr__(self, "kinks", tuple(places))

    def __call__(self, u: Array) -> Array:
        """phi of every entry of u.  Raises `UserError` where that is no number for each of them."""
        f = self.phi(u)
        if jnp.shape(f) != jnp.shape(u):
            raise UserError(f"{self._wrong} it makes the shape {jnp.shape(f)} of {jnp.shape(u)}")
        return f

    def check_elementwise(self) -> None:
        """UserError unless phi is a function of JAX that gives for each number, whatever others there are, its own number."""
        u = np.array([[-1.5, -0.3, 0.4], [0.9, 0.2, 2.0]])
        try:
            with jax.ensure_compile_time_eval():
                together, alone = map(np.asarray, jax.jit(lambda u: (self(u), self(u[1, 1:2])))(u))
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{self._wrong} on an array it fails with {in_one_line(error)}") from error
        if not np.issubdtype(together.dtype, np.floating):
            raise UserError(f"{self._wrong} it makes {together.dtype} of real numbers")
        if not np.allclose(together[1, 1:2], alone, rtol=1e-3, equal_nan=True):
            raise UserError(f"{self._wrong} what it makes of a number depends on the others in the array")

    @property
    def _wrong(self) -> str:
        return (
            f"phi of activation {self.name!r} has to act on every number of an array by itself, as jnp.tanh does, and"
        )


# name -> what makes phi of its parameters; at a kink, phi' is what JAX says: 0 for relu, abs, sign and step
ACTIVATIONS: dict[str, Callable[..., Phi]] = {
    "relu": lambda: jax.nn.relu,
    "erf": lambda a, b, c: jax.scipy.special.erf if (a, b, c) == (1, 1, 0) else _erf(a, b, c),
    "tanh": lambda: jnp.tanh,
    "leaky_relu": lambda slope: lambda u: jnp.where(u < 0, slope * u, u),
    "abs": lambda: jnp.abs,
    "abrelu": lambda a, b: lambda u: jnp.where(u < 0, a * u, b * u),
    "sign": lambda: jnp.sign,
    "step": lambda: lambda u: (1 + jnp.sign(u)) / 2,
    "gelu": lambda: lambda u: jax.nn.gelu(u, approximate=False),
    "sin": lambda a, b, c: lambda u: a * jnp.sin(b * u + c),
    "cos": lambda a, b, c: lambda u: a * jnp.cos(b * u + c),
    "rbf": lambda gamma: lambda u: 2**0.5 * jnp.sin((2 * gamma) ** 0.5 * u + jnp.pi / 4),
    "gaussian": lambda a, b: lambda u: a * jnp.exp(-b * u * u),
    "identity": lambda: lambda u: u,
    "monomial": lambda degree: lambda u: u ** int(degree),
    "polynomial": lambda *coefficients: lambda u: reduce(lambda total, c: total * u + c, coefficients[::-1], 0 * u),
    "rectified_monomial": lambda degree: lambda u: jax.nn.relu(u) ** int(degree),
    "sigmoid_like": lambda: _erf(0.5, 1 / SIGMOID_LIKE, 0.5),
    "sigmoid": lambda: jax.nn.sigmoid,
    "softplus": lambda: jax.nn.softplus,
    "swish": lambda: jax.nn.swish,
    "elu": lambda alpha: lambda u: jax.nn.elu(u, alpha),
}
SIGMOID_LIKE = 2.4020563531719796  # brings (1 + erf(u/SIGMOID_LIKE))/2 closest to the logistic function
_KINKS = {"elu": (0.0,)}  # of those without a closed form


def _erf(a: float, b: float, c: float) -> Phi:
    return lambda u: a * jax.scipy.special.erf(b * u) + c


@lru_cache(maxsize=256)
def _registered(word: str) -> Activation:
    """One object for each word: what is equal is compiled once."""
    name, parameters = activation_names.parse(word)
    return Activation(word, ACTIVATIONS[name](*parameters), _KINKS.get(name, ()))


def resolve_activation(activation: str | Activation) -> Activation:
    """`activation` itself, or the one registered under that word; `UserError` for an unknown one."""
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str):
        raise UserError(
            f"an activation is a word, 'tanh', or one of yours, ntkrun.Activation('name', phi), not a {type(activation).__name__}"
        )
    return _registered(activation_names.canonical(activation))


def is_registered(activation: Activation) -> bool:
    """Whether it is what its name says, and no function of the user's under the same name."""
    try:
        return resolve_activation(activation.name) == activation
    except UserError:
        return False
