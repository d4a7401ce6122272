"""Networks of several layers: one behind the other, and sums of two beside each other."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ntkrun import nonlinearities
from ntkrun.errors import UserError
from ntkrun.networks.base import Layer
from ntkrun.networks.covariances import Covariances, Needs, Signal
from ntkrun.networks.module import Scope
from ntkrun.networks.statistics import Statistics
from ntkrun.types import Array


def _checked(layers: tuple, what: str) -> tuple[Layer, ...]:
    for place, layer in enumerate(layers, 1):
        if not isinstance(layer, Layer):
            raise UserError(f"{what}: argument {place} is {not_a_layer(layer, what)}")
    return layers


def not_a_layer(thing: Any, container: str = "Sequential") -> str:
    """What it is in place of a layer, and what to write."""
    if isinstance(thing, Iterable) and not isinstance(thing, str):
        return f"a {type(thing).__name__}, and layers are given one by one: write {container}(*layers)"
    if isinstance(thing, type):
        return f"the class {thing.__name__}: write {thing.__name__}(...)"
    if isinstance(thing, str):
        return f"{thing!r}, no layer: write Activation({thing!r})"
    if isinstance(thing, nonlinearities.Activation):
        return "a nonlinearity, no layer: write networks.Activation(phi) of it"
    if callable(thing) and not hasattr(thing, "init"):
        return "a function, no layer: write Activation(ntkrun.Activation('name', phi)) for a nonlinearity"
    return f"something of type {type(thing).__name__}, no layer of ntkrun.networks: write Dense(512) of these, say"


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Errors inside say where they are."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}, {error}") from error


def _at(place: int, layers: tuple[Layer, ...]) -> AbstractContextManager[None]:
    inner = ", Sequential" if isinstance(layers[place], Sequential) else ""
    return _named(f"layer {place + 1} of {len(layers)}{inner}")


def _check_sizes(branch: tuple[int, ...], shortcut: tuple[int, ...]) -> None:
    if branch != shortcut:
        raise UserError(
            f"Residual: the branch gives {branch} and the shortcut {shortcut}: make them equal, by shortcut=Conv(...) or "
            "shortcut=Dense(...), say"
        )


@dataclass(frozen=True, init=False)
class Sequential(Layer):
    """Layers one behind the other: Sequential(Dense(512), Activation("relu"), Dense(1)).

    name  of a folder of the parameter tree that holds theirs; None: none of their own
    """

    layers: tuple[Layer, ...]
    name: str | None

    def __init__(self, *layers: Layer, name: str | None = None) -> None:
        object.__setattr__(self, "layers", _checked(layers, "Sequential"))
        object.__setattr__(self, "name", name)

    def signal(self, given: Signal) -> Signal:
        for place, layer in enumerate(self.layers):
            with _at(place, self.layers):
                given = layer.signal(given)
        return given

    def given_to_parts(self, given: Signal) -> tuple[Signal, ...]:
        found = [given]
        for layer in self.layers[:-1]:
            found.append(layer.signal(found[-1]))
        return tuple(found[: len(self.layers)])

    def needs(self, after: Needs, own: bool) -> Needs:
        for layer in self.layers[::-1]:
            after = layer.needs(after, own)
        return after

    def forward(self, x: Array, scope: Scope) -> Array:
        if self.name is not None:
            return scope.folder(self.name, Sequential(*self.layers), x)
        for place, layer in enumerate(self.layers):
            with _at(place, self.layers):
                x = layer.forward(x, scope)
        return x

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances | None:
        needed = [after]  # behind the last layer, the one before, ...
        for layer in self.layers[:0:-1]:
            needed.append(layer.needs(needed[-1], of.own))
        found: Covariances | None = k
        for place, layer in enumerate(self.layers):
            with _at(place, self.layers):
                found = layer.propagate(found, of.at(place), needed.pop())
        return found

    @property
    def parts(self) -> tuple[Layer, ...]:
        return self.layers


@dataclass(frozen=True, init=False)
class Residual(Layer):
    """x + branch(x), branch the given layers; with a `shortcut`, shortcut(x) + branch(x).

    All but one of the two must end in fresh weights (a Dense or Conv with nothing but pools, Flatten or Dropout behind):
    then K and Theta are the sums of theirs.
    """

    branch: Sequential
    shortcut: Layer
    name: str | None

    def __init__(self, *branch: Layer, shortcut: Layer | None = None, name: str | None = None) -> None:
        object.__setattr__(self, "branch", Sequential(*_checked(branch, "Residual")))
        if shortcut is not None and not isinstance(shortcut, Layer):
            raise UserError(f"Residual: shortcut is {not_a_layer(shortcut)}")
        object.__setattr__(self, "shortcut", shortcut or Sequential())
        object.__setattr__(self, "name", name)

    def signal(self, given: Signal) -> Signal:
        with _named("Residual, branch"):
            branch = self.branch.signal(given)
        with _named("Residual, shortcut"):
            shortcut = self.shortcut.signal(given)
        _check_sizes(*((*signal.positions, signal.features) for signal in (branch, shortcut)))
        seen = replace(given, centred=False)  # both terms depend on what is given
        if not (self.branch.signal(seen).centred or self.shortcut.signal(seen).centred):
            raise UserError("Residual: end the branch or the shortcut with Dense or Conv; else the two are correlated")
        gaussian, centred = branch.gaussian and shortcut.gaussian, branch.centred and shortcut.centred
        return replace(branch, gaussian=gaussian, centred=centred)

    def given_to_parts(self, given: Signal) -> tuple[Signal, ...]:
        return given, given

    def needs(self, after: Needs, own: bool) -> Needs:
        return max(self.branch.needs(after, own), self.shortcut.needs(after, own))

    def forward(self, x: Array, scope: Scope) -> Array:
        if self.name is not None:
            return scope.folder(self.name, Residual(*self.branch.layers, shortcut=self.shortcut), x)
        with _named("Residual, branch"):
            branch = self.branch.forward(x, scope)
        with _named("Residual, shortcut"):
            shortcut = self.shortcut.forward(x, scope)
        _check_sizes(branch.shape[1:], shortcut.shape[1:])
        return shortcut + branch

    def covariances(self, k: Covariances, of: Statistics, after: Needs) -> Covariances | None:
        first, second = (
            part.propagate(k, of.at(place), after) for place, part in enumerate((self.branch, self.shortcut))
        )
        if first is None or second is None:
            return None  # nothing is needed of the sum
        thetas = [term.ntk for term in (first, second) if term.ntk is not None]
        ntk = sum(thetas[1:], thetas[0]) if thetas else None
        return replace(first, nngp=first.nngp + second.nngp, ntk=ntk)

    @property
    def parts(self) -> tuple[Layer, ...]:
        return self.branch, self.shortcut
