"""Function space takes the transformations under which it holds, and refuses the others in one line."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkrun.dynamics.linear_function_space import LinearFunctionSpace
from ntkrun.errors import UserError


def built(tx: optax.GradientTransformation) -> LinearFunctionSpace:
    y = jnp.ones((3, 1))
    return LinearFunctionSpace.build(0 * y, 0 * y, y, np.eye(3), np.eye(3), np.zeros((0, 3, 1)), tx, "mse")


@pytest.mark.parametrize(
    "tx",
    [
        optax.sgd(0.1),
        optax.sgd(optax.cosine_decay_schedule(0.1, 8), momentum=0.9),
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        optax.chain(optax.trace(0.5), optax.scale(-0.1)),
        optax.apply_if_finite(optax.sgd(0.1), 3),
    ],
    ids=["gd", "heavy ball by a schedule", "nesterov", "a chain", "with a condition"],
)
def test_what_is_linear_in_the_gradient_moves_coefficients(tx):
    space = built(tx)
    c, _ = space.step(space.init(), None)
    assert float(jnp.abs(c).max()) > 0


@pytest.mark.parametrize(
    ("tx", "says"),
    [
        (optax.adam(0.1), "not linear in the gradient"),
        (optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)), "not linear in the gradient"),
        (optax.chain(optax.clip(1.0), optax.sgd(0.1)), "not linear in the gradient"),
        (optax.chain(optax.scale_by_sign(), optax.sgd(0.1)), "not linear in the gradient"),
        (optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1)), "acts on the parameters"),
        (optax.adamw(0.1), "acts on the parameters"),
    ],
    ids=["adam", "clipped by its norm", "clipped", "signs", "weight decay", "adamw"],
)
def test_what_is_not_is_refused_and_told_the_other_route(tx, says):
    with pytest.raises(UserError, match=says) as told:
        built(tx)
    assert "LinearParameterSpace" in str(told.value)
