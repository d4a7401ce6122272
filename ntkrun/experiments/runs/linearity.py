"""How linear a run is, as rows of a table: of `experiment=lockstep` with linearity=true, and of any training loop.

Curves of the network at every record point: NTK_CHANGE, ALIGNMENT, SHARPNESS beside STABLE_SHARPNESS, LAYER_CHANGE (index:
layer), and RMSE of EXPANSION on both splits (`dynamics.linearity` says what they are).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from ntkrun import tables
from ntkrun.costs import Piece
from ntkrun.dynamics.linearity import KERNEL_EXAMPLES, Linearity, layers_of
from ntkrun.dynamics.metrics import check_targets
from ntkrun.dynamics.network import Network
from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.experiments.runs.prepare import TrainingSetup
from ntkrun.experiments.runs.recorded import Measured
from ntkrun.kernels.empirical import empirical_ntk, ntk_scale
from ntkrun.kernels.finite import check_examples
from ntkrun.kernels.method import Method, chosen_method, covered_by_taps
from ntkrun.kernels.outputs import checked_outputs
from ntkrun.kernels.precision import full_precision
from ntkrun.lockstep.executor import observed
from ntkrun.models import declarations
from ntkrun.models.functions import Model, ModelLike, params_of
from ntkrun.models.parameters import named_leaves
from ntkrun.notation.stable_products import heavy_ball
from ntkrun.settings.runs import FreeSettings, RunSettings
from ntkrun.types import AnyArray, Params, check_arrays, check_number

# what `Linearity` calls it -> its curve and the split that it is of
ROWS = {
    "ntk_change": (curves.NTK_CHANGE.of(curves.NETWORK), "train"),
    "alignment": (curves.ALIGNMENT.of(curves.NETWORK), "train"),
    "sharpness": (curves.SHARPNESS.of(curves.NETWORK), "train"),
    "layer_change": (curves.LAYER_CHANGE.of(curves.NETWORK), ""),
    "expansion_rmse_train": (curves.RMSE.of(curves.EXPANSION), "train"),
    "expansion_rmse_test": (curves.RMSE.of(curves.EXPANSION), "test"),
}


def is_recorded(settings: RunSettings) -> bool:
    return isinstance(settings, FreeSettings) and settings.linearity


def _observed(settings: RunSettings, network: Network, method: Method) -> Network:
    """The network with what is looked at.  The sharpness is that of the loss which full batches descend; of mini-batches, that
    of as many examples as the kernel has, for a pass over all of them need not fit."""
    some = None if settings.full_batch else KERNEL_EXAMPLES[method]
    model = full_precision(network.model)
    return replace(network, observer=Linearity.at_start(model, network.theta0, network.x_train, method, some))


def observed_in(settings: RunSettings, network: Network) -> Network:
    """The network of a run, with what is looked at."""
    if not is_recorded(settings):
        return network
    return _observed(settings, network, chosen_method(full_precision(network.model), network.theta0, network.x_train))


def planned(settings: RunSettings, network: Network) -> Network:
    """The same of shapes."""
    if not is_recorded(settings):
        return network
    return _observed(settings, network, _method(full_precision(network.model), network.theta0, network.x_train))


def planned_kernels(settings: RunSettings, model: Model, theta0: Params, x_train: Any) -> list[Piece]:
    """The kernel at theta_0, of shapes."""
    if not is_recorded(settings):
        return []
    method = _method(model, theta0, x_train)
    few = jax.ShapeDtypeStruct((min(x_train.shape[0], KERNEL_EXAMPLES[method]), *x_train.shape[1:]), x_train.dtype)
    return [Piece("kernel", lambda *of: empirical_ntk(model, *of, method=method), (theta0, few))]


def _method(model: Model, theta0: Params, x: Any) -> Method:
    return covered_by_taps(model, theta0, jax.ShapeDtypeStruct((2, *x.shape[1:]), x.dtype))


def rows_of(
    setup: TrainingSetup, seen: Sequence[Mapping[str, Any]], steps: Sequence[int], times: Sequence[float]
) -> list[pd.DataFrame]:
    """The rows of a run.  Its loss has the Hessian of L and weight_decay times the identity; the sharpness up to which a step
    is stable is that of the rate on theta itself."""
    optimizer = setup.settings.optimizer
    stable = None
    if optimizer.stable_product is not None:
        rates = setup.optimizer.learning_rates() * ntk_scale(setup.model)
        stable = [optimizer.stable_product / rates[min(step, optimizer.steps - 1)] for step in steps]
    return rows([_with_decay(setup, one) for one in seen], steps, times, stable)


def measured(setup: TrainingSetup, seen: Mapping[str, Any]) -> Measured:
    """Those of `rows_of` at one record point that are one number; none where nothing is looked at."""
    if not is_recorded(setup.settings):
        return {}
    found = _with_decay(setup, seen)
    return {ROWS[name]: float(value) for name, value in found.items() if name in ROWS and np.ndim(value) == 0}


def _with_decay(setup: TrainingSetup, seen: Mapping[str, Any]) -> dict[str, Any]:
    return {**seen, "sharpness": seen["sharpness"] + setup.settings.weight_decay}


def rows(
    seen: Sequence[Mapping[str, Any]], steps: Sequence[int], times: Sequence[float], stable: Sequence[float] | None
) -> list[pd.DataFrame]:
    """The rows of what was observed; stable: the sharpness up to which each step is, None where none is known."""
    frames = [
        tables.rows(curve, split, steps, times, np.asarray([np.asarray(one[name], np.float64) for one in seen]))
        for name, (curve, split) in ROWS.items()
        if name in seen[0]
    ]
    if stable is not None:
        name = curves.STABLE_SHARPNESS.of(curves.NETWORK)
        frames.append(tables.rows(name, "train", steps, times, np.asarray(stable)))
    return frames


def _like_training(x_test: AnyArray, x_train: Any) -> Any:
    check_arrays(x_test=x_test)
    x = jnp.asarray(x_test)
    if x.ndim != x_train.ndim or x.shape[1:] != x_train.shape[1:] or not len(x):
        raise UserError(
            f"x_test has the shape {x.shape}, and x_train {x_train.shape}: both must hold examples of one shape; leave x_test "
            "out where there are none"
        )
    return x


class LinearityRecorder:
    """How linear a training loop is that you have written yourself.

        recorder = ntkrun.LinearityRecorder(f, params, x_train, y_train, x_test, eta=eta)
        recorder.record(step, params)      # in the loop, at few steps: each costs 15 to 120 of them
        table = recorder.table()           # one row per number

    f          a Flax module or a function f(params, x) -> (n, k); `params` are theta_0, which later ones are held against
    x_test     None: nothing is recorded on test examples
    loss       "mse" or "cross_entropy", averaged over examples and outputs as everywhere here
    eta        the rate on theta itself.  Given, the sharpness stands beside 2/eta, with `momentum` = beta of heavy ball
               beside (2 + 2 beta)/eta, and the time is eta step, with momentum sqrt(eta) step; else the time is the step

    Raises `UserError` for targets of another shape than the outputs, for no examples or such with nan or inf, and for x_test of
    other examples than x_train; from `record` for parameters of other shapes than theta_0 or with nan or inf, and for a step
    that is no whole number, below 0 or there.
    """

    def __init__(
        self,
        f: ModelLike,
        params: Params,
        x_train: AnyArray,
        y_train: AnyArray,
        x_test: AnyArray | None = None,
        *,
        loss: str = "mse",
        eta: float | None = None,
        momentum: float = 0.0,
    ) -> None:
        if eta is not None:
            check_number("eta", eta, above=0)
        check_number("momentum", momentum, at_least=0)
        if momentum >= 1:
            raise UserError(f"momentum = {momentum}: it must be below 1")
        check_arrays(x_train=x_train, y_train=y_train)
        check_examples(x_train=x_train, x_test=x_test)
        self._stable = None if eta is None else heavy_ball(momentum) / eta
        self._per_step = 1.0 if eta is None else float(np.sqrt(eta)) if momentum > 0 else eta
        model, x, y = full_precision(f), jnp.asarray(x_train), jnp.asarray(y_train)
        self._model, params = model, params_of(model, params)
        check_targets(checked_outputs(model, params, x), y, loss)
        observer = Linearity.at_start(model, params, x, chosen_method(model, params, x))
        test: Any = x[:1] if x_test is None else _like_training(x_test, x)
        how: dict[str, Any] = dict(model=model, tx=optax.identity(), loss=loss, watched=())
        self._network = Network(params, x, y, test, **how, observer=observer)
        self._left_out = {"expansion_rmse_test"} if x_test is None else set()
        self._seen: list[Mapping[str, Any]] = []
        self._steps: list[int] = []

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose places are the index of `layer_change/network`."""
        return tuple(layers_of(self._network.theta0))

    def record(self, step: int, params: Params) -> None:
        """Look at theta after `step` steps."""
        params = params_of(self._model, params)
        if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, self._network.theta0):
            raise UserError("the parameters are not of the names and shapes of those that the recorder began with")
        check_number("step", step, at_least=0, whole=True)
        if (step := int(step)) in self._steps:
            raise UserError(f"step {step} is recorded already: a table has one row per number")
        if wrong := [name for name, leaf in named_leaves(params).items() if not np.isfinite(np.asarray(leaf)).all()]:
            raise UserError(f"params of {'/'.join(wrong[0])} hold nan or inf at step {step}: the training has diverged")
        state = (params, None)
        found = observed(self._network.formed(state), state)
        self._seen.append({name: np.asarray(found[name]) for name in ROWS if name not in self._left_out})
        self._steps.append(step)

    def table(self) -> pd.DataFrame:
        """One row per number: columns step, time, split, curve, index, value and those that all tables have."""
        if not self._steps:
            return tables.empty()
        stable = None if self._stable is None else [self._stable] * len(self._steps)
        frames = rows(self._seen, self._steps, [self._per_step * step for step in self._steps], stable)
        width = declarations.of(self._network.model).width
        return tables.tidy(frames, figure="", cell="", seed=0, width=width)
