"""What every training experiment starts from: images, theta_0, optimizer, and a look at the learning rate."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, overload

import jax
import numpy as np
import optax
from flax import linen as nn
from numpy.typing import DTypeLike

from ntkrun.data.dataset import Dataset, load_dataset
from ntkrun.data.sources.load import stand_in_warning
from ntkrun.devices.placement import on_device
from ntkrun.devices.platform import platform
from ntkrun.dynamics.linear_parameter_space import LinearParameterSpace
from ntkrun.dynamics.network import Network, Outputs, Watched
from ntkrun.dynamics.optimizers import Optimizer
from ntkrun.errors import UserError
from ntkrun.experiments import curves
from ntkrun.experiments.runs.image_sizes import target_kind
from ntkrun.experiments.runs.random_keys import cell_key
from ntkrun.experiments.runs.routes import KERNEL_ROWS, Routes, Wanted, routes_of
from ntkrun.kernels.apart import is_finite, sees_one_example
from ntkrun.kernels.empirical import empirical_ntk, ntk_scale
from ntkrun.kernels.largest_eigenvalue import largest_eigenvalue
from ntkrun.kernels.method import Method, contraction_of
from ntkrun.lockstep.executor import observed, start
from ntkrun.lockstep.loop import FullBatch, MiniBatches
from ntkrun.lockstep.progress import Progress
from ntkrun.models import build_model, declarations
from ntkrun.models.custom import build_user_module
from ntkrun.models.functions import Model, name_of
from ntkrun.models.parameters import named_leaves
from ntkrun.models.start import check_user_module, started
from ntkrun.settings.data import DataSettings
from ntkrun.settings.models import ModelSettings, UserModuleSettings, check_rate_of
from ntkrun.settings.optimizers import OptimizerSettings
from ntkrun.settings.own_data import content_of
from ntkrun.settings.runs import RunSettings
from ntkrun.theory.learning_rate import eta_critical, stable_rate
from ntkrun.types import AnyArray, Array, Float, Params, PRNGKeyArray

# eta_critical needs lambda_max of Theta / N only, which a sample of the training set gives to a few per cent.
CRITICAL_SAMPLE = 512
CRITICAL_IMAGES = 64  # the same for convolutions, where an image costs a hundred times as much


@dataclass
class TrainingSetup:
    """Everything at theta0 that the rivals are built from."""

    settings: RunSettings
    data: Dataset
    model: Model
    theta0: Params
    x_train: Array
    x_test: Array
    optimizer: Optimizer
    watched: tuple[Watched, ...]
    routes: Routes
    contraction: Method = "structured"  # that gives Theta_hat

    @property
    def k(self) -> int:
        return self.data.y_train.shape[1]


def load(options: DataSettings, loss: str, progress: Progress, dtype: DTypeLike = np.float64) -> Dataset:
    """The images of a run; says so when they are stand-ins.  Raises UserError where the user's file is no longer what it was."""
    if options.path is not None and content_of(options.path) != options.content:
        raise UserError(f"data.path={options.path} has changed since the run began: start it again")
    names = {"name", "source", "classes", "n_train", "n_test", "preprocess", "seed", "averaged", "path", "download"}
    fields = options.model_dump(include=names)
    data = load_dataset(**fields, targets=target_kind(options, loss), dtype=dtype)
    if data.is_stand_in:
        progress.warn(stand_in_warning(data.name, data.requested))
    return data


def set_up_training(settings: RunSettings, progress: Progress, wanted: Wanted = Wanted()) -> TrainingSetup:  # noqa: B008 frozen
    """Load the images, decide on the rivals, draw theta0."""
    options, dtype = settings.data, np.dtype(settings.model.dtype)
    # Kernels in closed form take the inputs in float64; sets too large for kernels are not kept twice as large as needed.
    small = options.n_train is not None and options.n_train <= KERNEL_ROWS
    data = load(options, settings.loss, progress, np.float64 if small else dtype)
    batch = settings.optimizer.batch_size
    if batch is not None and batch > len(data.x_train):
        raise UserError(f"optimizer.batch_size={batch} is larger than the {len(data.x_train)} training examples")
    k, choices = data.y_train.shape[1], dict(matmul=settings.matmul, trained=settings.trained)
    routes = routes_of(settings, len(data.x_train), k, wanted)
    model: Model = model_from(settings.model, n_outputs=k, **choices)
    x_train, x_test = on_device(data.x_train, dtype), on_device(data.x_test, dtype)
    key, one = cell_key(settings, "theta0"), np.asarray(data.x_train[:1], dtype)
    own = settings.model if isinstance(settings.model, UserModuleSettings) else None
    if own is None:
        theta0 = initial(model, key, one)
    else:
        check_user_module(model, x_train, k)
        model, theta0, notes = started(model, key, one, own.dtype, own.parameters)
        for note in notes:
            progress.warn(note)
    watched = choose_weights(theta0, settings.record.weights)
    if len(watched) < settings.record.weights:
        progress.warn(
            f"record.weights={settings.record.weights}: the network has {len(watched)} weights, which are followed"
        )
    optimizer = Optimizer(settings.optimizer, settings.weight_decay)
    setup = TrainingSetup(settings, data, model, theta0, x_train, x_test, optimizer, watched, routes)
    return setup if own is None else set_up_user_module(setup, progress)


def set_up_user_module(setup: TrainingSetup, progress: Progress) -> TrainingSetup:
    """The setup of a network that we have not written: what its kernel takes."""
    model, theta0, settings = setup.model, setup.theta0, setup.settings
    check_rate_of(declarations.of(model), settings.optimizer, settings.weight_decay)
    if settings.model.width is not None and not declarations.of(model).width:
        progress.warn(
            f"{name_of(model)} has no field width: model.width={settings.model.width} of this scale is not used"
        )
    if not is_finite(model, theta0, setup.x_train[:2]):
        raise UserError(
            f"the outputs of {name_of(model)} are not finite at theta_0: look for a logarithm, a root or a quotient of what "
            "may be 0 or below"
        )
    if setup.routes.linear == "parameter_space":
        return setup
    if not sees_one_example(model, theta0, setup.x_train):
        raise UserError(
            f"an output of {name_of(model)} depends on the other examples of its batch, and so does its kernel: "
            "use linear_route=parameter_space"
        )
    return replace(setup, contraction=contraction_of(model, theta0, setup.x_train))


@partial(jax.jit, static_argnames="model")
def initial(model: Model, key: PRNGKeyArray, x: Float[AnyArray, "1 ..."]) -> Params:
    """theta_0 of a network on inputs like x: one program for all seeds."""
    return model.init(key, x)["params"]


@partial(jax.jit, static_argnames="model")
def initial_each(model: Model, keys: Array, x: Float[AnyArray, "1 ..."]) -> Params:
    """theta_0 of a network for each key, side by side."""
    return jax.vmap(lambda key: model.init(key, x)["params"])(keys)


@functools.cache
def _unoptimised() -> Any:
    options: dict[str, bool | str] = {"xla_backend_optimization_level": "0"} if platform() == "cpu" else {}
    return jax.jit(lambda model, key, x: model.init(key, x)["params"], static_argnums=0, compiler_options=options)


def drawn(model: Model, key: PRNGKeyArray, x: Float[AnyArray, "1 ..."]) -> Params:
    """`initial` where it runs once: on the CPU the compiler is spared its optimisations, which take five times as long."""
    return _unoptimised()(model, key, x)


def batches_of(setup: TrainingSetup) -> FullBatch | MiniBatches:
    """Which training examples every step sees."""
    images, size = setup.settings.data, setup.settings.optimizer.batch_size
    if size is None:
        return FullBatch()
    key = cell_key(setup.settings, "batches")
    return MiniBatches(key, len(setup.data.x_train), size, flip=images.flip, crop=images.crop)


@overload
def model_from(
    settings: ModelSettings, n_outputs: int, trained: str = "all", matmul: str = "as_dtype"
) -> nn.Module: ...


@overload
def model_from(
    settings: UserModuleSettings, n_outputs: int, trained: str = "all", matmul: str = "as_dtype"
) -> Model: ...


def model_from(
    settings: ModelSettings | UserModuleSettings, n_outputs: int, trained: str = "all", matmul: str = "as_dtype"
) -> Model:
    offered: dict[str, Any] = dict(n_outputs=n_outputs, trained=trained, matmul=matmul)
    if isinstance(settings, UserModuleSettings):
        offered |= dict(width=settings.width, dtype=settings.dtype)
        called = dict(arguments=settings.apply_arguments, output=settings.output)
        made = build_user_module(str(settings.path), settings.source, settings.args, **called, **offered)
        if settings.width_asked and not declarations.of(made).width:
            name = name_of(made)
            raise UserError(
                f"{name} has no field width: leave model.args.width={settings.width} out, or set the field that it has"
            )
        return made
    fields = settings.model_dump()
    return build_model(fields.pop("name"), **offered, **fields)


def outputs_at_start(
    network: Network, on_cpu: Callable[[Network], tuple[Array, Array]]
) -> tuple[Float[Array, "n k"], Float[Array, "m k"]]:
    """f_0 on all training and on the test examples, from the program that observes the network at every record point.

    on_cpu  the program of the tables that are stored so far, which all come from CPUs: 1e-6 from the other by rounding
    """
    if platform() == "cpu":
        return on_cpu(network)
    (state,) = start((network,))
    seen = observed(replace(network, evaluated=None, observer=Outputs()), state)
    return seen["train"], seen["test"]


def step_by_step(
    settings: RunSettings,
    model: Model,
    tx: optax.GradientTransformation,
    watched: tuple[Watched, ...],
    routes: Routes,
    **arrays: Any,
) -> dict[str, Any]:
    """The rivals whose states are parameters: the network, and f_lin unless it moves in function space.

    arrays: theta0, x_train, y_train, x_test.
    """
    record = settings.record
    shared: dict[str, Any] = dict(model=model, tx=tx, loss=settings.loss, watched=watched)
    shared |= dict(evaluated=record.train_examples, chunk=record.chunk)
    rivals: dict[str, Any] = {curves.NETWORK: Network(**arrays, **shared)}
    if routes.linear == "parameter_space":
        rivals[curves.LINEAR] = LinearParameterSpace(**arrays, **shared)
    return rivals


def choose_weights(theta0: Params, count: int) -> tuple[Watched, ...]:
    """`count` single weights, dealt out over the weight matrices from the input to the readout; over all parameters of a
    network without matrices; as many as there are, where these are fewer.

    The same places for every seed: they select the compiled program, which the seeds of a sweep thus share.
    """
    leaves = list(named_leaves(theta0).items())
    chosen = [entry for entry in leaves if entry[1].ndim > 1] or leaves
    matrices = [(path, leaf.size) for path, leaf in chosen]
    count = min(count, sum(size for _, size in matrices))
    rng = np.random.default_rng(7)
    return tuple((path, int(rng.integers(size))) for path, size in (matrices * (count // len(matrices) + 1))[:count])


def check_learning_rate(setup: TrainingSetup, progress: Progress) -> dict[str, float]:
    """Warn when eta reaches eta_critical of Theorem 2.1; the facts for the provenance.

    Convolutions: lambda_max by power iteration on as many images as a step sees (at most CRITICAL_IMAGES), which is
    also right for batch normalisation.  Nothing is checked for an optimizer that declares no `stable_product` (Adam).
    """
    settings, optimizer = setup.settings, setup.settings.optimizer
    if setup.routes.critical_rate is None:
        return {"eta_max": float(setup.optimizer.learning_rates().max())}
    if setup.routes.critical_rate == "kernel":
        sample = setup.x_train[:CRITICAL_SAMPLE]
        theta_hat = ntk_scale(setup.model) * np.asarray(
            empirical_ntk(setup.model, setup.theta0, sample, trace_outputs=True)
        )
        critical = critical_rate(settings, theta_hat, setup.k)
    else:
        sample = setup.x_train[: min(optimizer.batch_size or CRITICAL_IMAGES, CRITICAL_IMAGES)]
        top = ntk_scale(setup.model) * largest_eigenvalue(setup.model, setup.theta0, sample)
        rows = len(sample) * setup.k
        critical = stable_rate(0.0, top / rows, loss=settings.loss, stable_product=limit_of(optimizer))
    return compare_rates(setup.optimizer, critical, progress)


def critical_rate(settings: RunSettings, theta_hat: np.ndarray, k: int) -> float:
    """eta_critical of Theta_hat_0 (n, n) or (n, n, k, k), in the normalisation of the parameterization."""
    return eta_critical(theta_hat, k, loss=settings.loss, stable_product=limit_of(settings.optimizer))


def limit_of(optimizer: OptimizerSettings) -> float | None:
    """The `stable_product` that eta_critical is to come from; None for plain gradient descent, whose rate Theorem 2.1 names."""
    return optimizer.stable_product if optimizer.has_momentum else None


def compare_rates(optimizer: Optimizer, critical: float, progress: Progress) -> dict[str, float]:
    """Warn with both numbers if a rate of the schedule is not below `critical`; the facts for the provenance."""
    eta = float(optimizer.learning_rates().max())
    if eta >= critical:
        progress.warn(
            f"eta = {eta:.4g} is not below eta_critical = {critical:.4g}: expect divergence "
            "(lower optimizer.learning_rate)"
        )
    return {"eta_max": eta, "eta_critical": critical}
