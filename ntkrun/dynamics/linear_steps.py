"""Whether an Optax transformation moves the coefficients c of f_0 + Theta_hat c as it moves theta."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ntkrun.errors import UserError

_STEPS = 3  # a momentum speaks from the second on
_TINY, _HUGE = 1e-6, 1e6  # sizes of gradients between which a clipping shows


@functools.lru_cache(maxsize=64)
def check_linear_steps(tx: optax.GradientTransformation) -> None:
    """UserError unless theta_t - theta_0 stays J^T c_t under `tx`, c moved by the same `tx`.

    It does where every update is a linear map of the gradients so far, the same for all entries, that reads no parameters:
    J^T then commutes with it.  Adam and clipping are not linear; weight decay reads theta, and acting on c it would
    shrink theta_t - theta_0 in place of theta_t.
    """
    with jax.ensure_compile_time_eval():  # also while JAX traces a plan
        acts_on_parameters = _reads_parameters(tx)
        linear = acts_on_parameters or _is_traced_as_linear(tx) or _superposes(tx)
    if acts_on_parameters:
        raise UserError(
            "tx acts on the parameters themselves, as weight decay does, and f_0 + Theta_hat c has none: train f_lin by "
            "LinearParameterSpace"
        )
    if not linear:
        raise UserError(
            "tx is not linear in the gradient, as Adam and clipping are not, and theta_t - theta_0 does not stay J^T c_t: "
            "train f_lin by LinearParameterSpace"
        )


def _reads_parameters(tx: optax.GradientTransformation) -> bool:
    """Without parameters Optax raises where it needs some."""
    c = jax.ShapeDtypeStruct((2, 1), jnp.float32)
    try:
        jax.eval_shape(lambda c: tx.update(c, tx.init(c)), c)
    except ValueError:
        return True
    return False


def _is_traced_as_linear(tx: optax.GradientTransformation) -> bool:
    """Seen without compiling anything: only linear operations can be transposed."""
    c = jnp.zeros((2, 1))
    try:
        jax.linear_transpose(lambda g: tx.update(g, tx.init(c))[0], c)(c)
    except Exception:  # JAX has no one class for what cannot be transposed
        return False
    return True


def _superposes(tx: optax.GradientTransformation) -> bool:
    """Seen on numbers: of those that count steps by conditions, say."""
    a, b = jax.random.normal(jax.random.key(0), (2, _STEPS, 2, 1))
    near = functools.partial(jnp.allclose, rtol=1e-4, atol=1e-6)
    of_a = _moved(tx, a)
    same = [near(_moved(tx, size * a) / size, of_a) for size in (_TINY, _HUGE)]
    return all([near(_moved(tx, a + b), of_a + _moved(tx, b)), *same])


def _moved(tx: optax.GradientTransformation, gradients: Any) -> Any:
    state, found = tx.init(gradients[0]), []
    for gradient in gradients:
        update, state = tx.update(gradient, state)
        found.append(update)
    return jnp.stack(found)
