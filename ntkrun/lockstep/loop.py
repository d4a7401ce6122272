"""The protocol that the network and its step-by-step rivals share, and the loop that moves them in lockstep.

A rival is a pytree: its arrays travel as arguments of one compiled loop (a closure over them would be copied into the
program and compiled again), its static fields select the program.  Between two record points nothing returns to Python
(see `executor` for the compiled loop and for who runs it).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from ntkrun.data.augment import draw_augmentation
from ntkrun.data.batches import Batch, batch_indices
from ntkrun.devices.platform import platform
from ntkrun.errors import NonFiniteError, UserError
from ntkrun.lockstep.executor import Executor
from ntkrun.lockstep.mesh import Devices
from ntkrun.lockstep.processes import agree
from ntkrun.lockstep.progress import Progress
from ntkrun.types import Array, NumpyArray, PRNGKeyArray, check_number

BEFORE_THE_FIRST_STEP = "that is before any step: look at the network, its parameters and the inputs"

State = Any
Observation = Mapping[
    str, NumpyArray
]  # "train" (n, k), "test" (m, k), "weights" (w,) = theta_t - theta_0 of watched ones


@runtime_checkable
class Dynamics(Protocol):
    """A model that advances by optimizer steps from theta0."""

    def init(self) -> State:
        """The state at step 0."""
        ...

    def step(self, state: State, batch: Batch | None) -> State:
        """One optimizer step on the training examples `batch` (None: all of them); pure, traced."""
        ...

    def observe(self, state: State) -> dict[str, Array]:
        """Outputs on both splits and the change of the watched weights."""
        ...


class FullBatch:
    """Every step sees all training examples."""

    at_once = 2**30
    size = None

    def block(self, first: int, count: int) -> None:
        return None


def steps_at_once() -> int:
    """Steps whose indices are drawn together, the one shape of the compiled loop: half a second of work, and on an
    accelerator several epochs, of which each is permuted anew for every block."""
    return 256 if platform() == "cpu" else 4096


class MiniBatches:
    """Every step sees `batch_size` examples in an order, flipped and shifted as the key and the step say."""

    def __init__(self, key: PRNGKeyArray, n: int, batch_size: int, *, flip: bool = False, crop: int = 0) -> None:
        if not (hasattr(key, "dtype") and hasattr(key, "shape")):
            raise UserError(f"batches are drawn by a key of JAX, jax.random.key(0), not by {key!r}")
        for name, number in (("n", n), ("batch_size", batch_size), ("crop", crop)):
            check_number(name, number, at_least=0, whole=True)
        if not 1 <= batch_size <= n:
            raise UserError(f"batch_size = {batch_size}: a batch has from 1 to n = {n} examples")
        self.key, self.n, self.size, self.flip, self.crop = key, n, batch_size, flip, crop
        self.at_once = steps_at_once()

    def block(self, first: int, count: int) -> Batch:
        """The batches of steps first .. first + count - 1, and some more to fill the block."""
        rows = np.zeros((self.at_once, self.size), np.int32)
        rows[:count] = batch_indices(self.key, self.n, self.size, first, count)
        if not self.flip and self.crop == 0:
            return Batch(rows)
        key = jax.random.fold_in(self.key, np.uint32(0xFFFFFFFF))  # no epoch reaches this number
        drawn = draw_augmentation(key, first, self.at_once, self.size, flip=self.flip, crop=self.crop)
        return Batch(rows, *drawn)


class Pace:
    """Steps per call of the compiled loop: about half a second of work, so that progress and Ctrl-C stay responsive."""

    SECONDS = 0.5

    def __init__(self, limit: int) -> None:
        self.steps, self.limit = 1, limit

    def adapt(self, steps: int, seconds: float) -> None:
        self.steps = int(min(max(self.SECONDS * steps / max(seconds, 1e-6), 1), 2 * steps, self.limit))


def run_lockstep(
    rivals: Mapping[str, Dynamics],
    record_steps: Sequence[int],
    batches: FullBatch | MiniBatches,
    progress: Progress,
    label: str,
    converged: Callable[[Mapping[str, Observation]], bool] | None = None,
    devices: Devices = 1,
) -> Iterator[tuple[int, dict[str, Observation]]]:
    """Advance all rivals together and yield (step, {rival: observation}) at each of the sorted `record_steps`.

    Once `converged` says so of the observations at a record point, no further step is taken, and these observations
    stand for all later record points.  `progress.checkpoints` may let the run go on where an earlier process was
    interrupted: what was observed before is then yielded again, and all is bit for bit as without interruption.

    Members or examples are dealt out over up to `devices` local devices (see `mesh`), on one CPU members over its cores.

    Raises NonFiniteError naming the rival and the step as soon as a recorded output is not finite.
    """
    _check(rivals, record_steps, batches)
    record_steps = [int(step) for step in record_steps]
    pace = Pace(batches.at_once)
    with Executor(tuple(rivals.values()), batches.size, devices) as executor:
        states = executor.init()
        with progress.checkpoints.running(label, states) as resumed:
            done, seen = resumed.step, resumed.seen
            states = executor.place(resumed.states)
            progress.start(label, record_steps[-1], done)
            yield from tuple(seen)
            for record in record_steps[len(seen) :]:
                if seen and converged is not None and converged(seen[-1][1]):
                    progress.advance(record - done)
                    done, observations = record, seen[-1][1]
                else:
                    while done < record:
                        count = agree(min(pace.steps, record - done))
                        began = time.monotonic()
                        states = executor.advance(states, batches.block(done, count), count)
                        pace.adapt(count, time.monotonic() - began)
                        done += count
                        progress.advance(count)
                        progress.checkpoints.reached(done, states)
                    observations = dict(zip(rivals, executor.observe(states), strict=True))
                    _check_finite(observations, label, done)
                seen.append((done, observations))
                yield done, observations


def _check(rivals: Mapping[str, Dynamics], record_steps: Sequence[int], batches: FullBatch | MiniBatches) -> None:
    """UserError for no rivals, for record steps out of order and for batches of other examples than the rivals have."""
    steps = np.asarray(list(record_steps)) if np.iterable(record_steps) else np.zeros(0)
    whole = steps.size > 0 and np.issubdtype(steps.dtype, np.integer)
    if not whole or steps[0] < 0 or np.any(np.diff(steps) <= 0):
        given = steps[:8].tolist() if steps.size else repr(record_steps)
        raise UserError(f"record_steps must be whole numbers from 0 on that increase, not {given}")
    if (
        not isinstance(rivals, Mapping)
        or not rivals
        or not all(isinstance(rival, Dynamics) for rival in rivals.values())
    ):
        raise UserError("rivals are named, {'network': ntkrun.Network(...), ...}, each with init, step and observe")
    for name, rival in rivals.items():
        # of an ensemble, the examples that its members share
        examples = getattr(getattr(rival, "members", rival), "y_train", None)
        if isinstance(batches, MiniBatches) and examples is not None and batches.n > len(examples):
            raise UserError(
                f"batches of {batches.n} examples, but {name} has {len(examples)}: give MiniBatches their number"
            )


def _check_finite(observations: Mapping[str, Observation], label: str, step: int) -> None:
    for rival, observation in observations.items():
        for what, values in observation.items():
            if not np.all(np.isfinite(values)):
                hint = "lower optimizer.learning_rate (see eta_critical above)" if step else BEFORE_THE_FIRST_STEP
                raise NonFiniteError(f"{label}: {what} of {rival} is not finite at step {step}; {hint}")
