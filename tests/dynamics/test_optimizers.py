import numpy as np
import optax
import pytest
from pydantic import TypeAdapter

from ntkrun.dynamics.optimizers import Optimizer, record_steps
from ntkrun.settings.optimizers import AnyOptimizerSettings


def optimizer(**changes) -> Optimizer:
    fields = dict(
        name="gd",
        learning_rate=0.02,
        momentum=0.0,
        steps=100,
        batch_size=None,
        schedule={"name": "constant"},
        time_per_eta=None,
    )
    return Optimizer(TypeAdapter(AnyOptimizerSettings).validate_python(fields | changes))


def test_time_is_eta_times_step():
    # sums of 100 rates: 100 units of rounding of the last place
    assert np.allclose(optimizer().axis_times(), 0.02 * np.arange(101), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("changes", "per_step"),
    [
        (dict(name="momentum", momentum=0.9), np.sqrt(0.02)),
        (dict(name="nesterov", momentum=0.9), np.sqrt(0.02)),
        (dict(name="adam", momentum=0.9, beta2=0.999, epsilon=1e-8), 0.02),
    ],
)
def test_time_is_that_of_a_second_order_flow_with_momentum_and_no_other(changes, per_step):
    assert np.allclose(optimizer(**changes).axis_times(), per_step * np.arange(101), rtol=1e-14, atol=0)


def recursion(name: str, decay: float, scale: float) -> list[float]:
    """theta_1, ... on L = 3/2 theta^2 from theta_0 = 1 with beta = .8, beta_2 = .7, epsilon = .01, written out."""
    theta, before, velocity, mean, square, found = 1.0, 1.0, 0.0, 0.0, 0.0, []
    for step in range(1, 7):
        gradient, eta = (3.0 + decay) * theta, 0.02 * scale
        velocity, mean, square = (
            0.8 * velocity + gradient,
            0.8 * mean + 0.2 * gradient,
            0.7 * square + 0.3 * gradient**2,
        )
        following = {
            "gd": theta - eta * gradient,
            "momentum": theta + 0.8 * (theta - before) - eta * gradient,  # (S1)
            "nesterov": theta - eta * (gradient + 0.8 * velocity),
            "adam": theta - eta * mean / (1 - 0.8**step) / (np.sqrt(square / (1 - 0.7**step)) + 0.01),
        }[name]
        theta, before = following, theta
        found.append(theta)
    return found


SECOND_MOMENT = {"beta2": 0.7, "epsilon": 0.01}


@pytest.mark.parametrize("name", ["gd", "momentum", "nesterov", "adam"])
@pytest.mark.parametrize(("decay", "scale"), [(0.0, 1.0), (0.5, 0.25)])
def test_theta_moves_by_the_recursion_of_its_name_with_the_decay_in_the_gradient(name, decay, scale):
    more = SECOND_MOMENT if name == "adam" else {}
    tx = Optimizer(optimizer(name=name, momentum=0.0 if name == "gd" else 0.8, **more).settings, decay).scaled(scale)
    theta, found = np.ones(1), []
    state = tx.init(theta)
    for _ in range(6):
        updates, state = tx.update(3.0 * theta, state, theta)
        theta = np.asarray(optax.apply_updates(theta, updates))
        found.append(theta[0])
    np.testing.assert_allclose(found, recursion(name, decay, scale), rtol=1e-12)


def test_piecewise_factors_accumulate_at_their_steps():
    schedule = {"name": "piecewise_constant", "boundaries": [2, 4], "factors": [2, 3]}
    rates = optimizer(steps=6, schedule=schedule).learning_rates()
    assert np.allclose(rates, [0.02, 0.02, 0.04, 0.04, 0.12, 0.12], rtol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        ({"name": "cosine", "final_factor": 0.5}, 0.01),
        ({"name": "exponential", "decay_steps": 99, "decay_rate": 0.1}, 0.002),
    ],
)
def test_other_schedules_start_at_eta_and_end_where_they_say(schedule, last):
    rates = optimizer(schedule=schedule).learning_rates()
    assert rates[0] == pytest.approx(0.02)
    assert rates[-1] == pytest.approx(last, rel=1e-3)  # cosine: the last step is 1/100 before its end


def test_record_points_are_octaves_and_both_ends():
    times = optimizer(steps=100).axis_times()
    assert record_steps(times, 0.02, 1) == [0, 1, 2, 4, 8, 16, 32, 64, 100]
    assert record_steps(times, 0.02, 2)[:6] == [0, 1, 2, 3, 4, 6]


def test_figure_3_on_the_cpu_is_recorded_at_the_papers_times():
    schedule = {"name": "piecewise_constant", "boundaries": [64, 96, 128], "factors": [2, 2, 2]}
    times = optimizer(steps=3296, schedule=schedule, time_per_eta=0.5).axis_times()
    recorded = times[record_steps(times, 0.01, 1)]
    # the rates are rounded to float32 in Optax's schedule
    assert np.allclose(recorded, [0, *(0.01 * 2.0 ** np.arange(15)), 256], rtol=1e-6)
