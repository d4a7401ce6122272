"""What kinds of run do not use of the settings that come with their sections, and the one value that it may have there.

A setting that changes nothing would be stored and shown as if it had been in force: `CommonSettings` refuses another value.
"""

from collections.abc import Mapping
from typing import Any

from ntkrun.settings.fields import Unused
from ntkrun.settings.sections import FlowSettings, RecordSettings

Values = Mapping[str, Unused]


def _all(values: Mapping[str, Any], used_by: str = "lockstep") -> dict[str, Unused]:
    return {name: Unused(value, used_by) for name, value in values.items()}


def _followed(outputs: int) -> dict[str, Unused]:
    """Of runs that follow no single outputs and weights; how many their files name."""
    return _all({"record.outputs": outputs, "record.follow": "auto", "record.weights": 0})


# `theory.flow` without `by_solver`, as config.yaml has it: what the solver of gradient flow takes where it does not run
SOLVER = {"theory.flow.rtol": 1e-8, "theory.flow.atol": 1e-10, "theory.flow.max_steps": 100_000}

_DISTRIBUTION = _all({"theory.diag_reg": 0.0}, used_by="fig2")
_FLOW = _all({"theory.flow.by_solver": False} | SOLVER)
_ANALYTIC = _all({"theory.analytic_kernel": "auto"})
_DECAY = _all({"weight_decay": 0.0})
_ROUTE = _all({"linear_route": "auto"})
_AUGMENTATION = _all({"data.flip": False, "data.crop": 0})
_BATCHES = _AUGMENTATION | _all({"optimizer.batch_size": None})
_TEST_IMAGES = _all({"data.n_test": 1, "record.chunk": 1024})
_ALL_EXAMPLES = _all({"record.train_examples": None})
_TIMES = _all({"record.first_time": 1.0, "record.per_octave": 1, "optimizer.time_per_eta": None})
_RATE = _all({"optimizer.learning_rate": 1.0})
_RECURSION = _all({"theory.tile_mb": 8.0}) | _ANALYTIC

MONTE_CARLO = _DISTRIBUTION | _FLOW | _ANALYTIC
DESCENTS = _DISTRIBUTION | _FLOW | _AUGMENTATION
SUPREMA = DESCENTS | _ANALYTIC
TRAINING = _DISTRIBUTION
# the solver runs, whether it is asked for or not, and its time is the flow's own
_OWN_FLOW = _all({"theory.flow.by_solver": False, "optimizer.time_per_eta": None})
FLOW_ROUTES = _DISTRIBUTION | _OWN_FLOW | _RECURSION | _DECAY | _ROUTE | _BATCHES | _followed(5)
RATES = _DISTRIBUTION | _FLOW | _RECURSION | _ROUTE | _TIMES | _RATE | _followed(11) | _ALL_EXAMPLES
WIDTH_CHANGES = (
    _DISTRIBUTION | _FLOW | _RECURSION | _DECAY | _ROUTE | _BATCHES | _TEST_IMAGES | _followed(1) | _ALL_EXAMPLES
)
OUTPUT_ENSEMBLE = _ANALYTIC | _FLOW | _DECAY | _ROUTE | _BATCHES | _TEST_IMAGES | _followed(1) | _ALL_EXAMPLES

# when it is looked whether networks have converged, in runs that record at times of their own
LOOKED_AT = {"record.first_time": 1.0, "record.per_octave": 1}


def check_alone(settings: Any, what: str, wanted: Mapping[str, Any]) -> None:
    """ValueError for the first setting, by its dotted name, that has not the one value for which there is what is told."""
    for name, value in wanted.items():
        given = settings
        for key in name.split("."):
            given = getattr(given, key)
        if given != value:
            typed = name.removesuffix(".name")  # a group is typed by its name
            to_type = "null" if value is None else value
            raise ValueError(
                f"{typed}={given}: {what} is for {typed}={to_type} alone; leave {typed} out, or use experiment=lockstep, which "
                f"takes {typed}={given}"
            )


def check_looked_at(record: RecordSettings) -> None:
    """ValueError for other times of looking than those in place where nothing is looked for."""
    for name, value in LOOKED_AT.items():
        if (given := getattr(record, name.partition(".")[2])) != value:
            raise ValueError(
                f"{name}={given} says when it is looked whether networks have converged, and converged is null: "
                f"set converged=1e-4, say, or {name}={value}"
            )


def check_solver(flow: FlowSettings, could_run: bool) -> None:
    """ValueError for settings of the ODE solver where it does not run; could_run: whether it would with `by_solver`."""
    values = {f"theory.flow.{name}": getattr(flow, name) for name in type(flow).model_fields}
    for name, value in values.items():
        if value != SOLVER.get(name, False):
            why = (
                "add theory.flow.by_solver=true"
                if could_run
                else "gradient flow is solved for with full batches and loss=cross_entropy, or optimizer=momentum at a "
                "constant rate: leave it out"
            )
            raise ValueError(f"{name}={str(value).lower()} changes nothing here: {why}")
