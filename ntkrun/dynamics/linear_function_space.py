"""The linearised model trained in function space: exact, and free beside the network.

Full batch or not, an optimizer that is linear in the gradient keeps omega_t = theta_t - theta_0 in the span of the
training examples' gradients: omega_t = J^T c_t with c_t of shape (n, k) and c_0 = 0.  dL/dtheta = J^T dL/df, so the
SAME Optax transformation applied to c with the gradient dL/df moves c, and by eq. (5)

    f_lin(x) = f_0(x) + Theta_hat(x, X) c_t,        omega_t[w] = J[:, w]^T c_t.

Known equal: `linear_parameter_space`, and `closed_form.gradient_descent` for the squared loss.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from ntkrun.data.batches import Batch
from ntkrun.devices.placement import on_device
from ntkrun.dynamics.linear_steps import check_linear_steps
from ntkrun.dynamics.metrics import check_same_shape, check_training, loss_of
from ntkrun.types import AnyArray, Array, Float

Kernel = Float[AnyArray, "n1 n2"] | Float[AnyArray, "n1 n2 k k"]


def kernel_matrix(ntk: Kernel, k: int) -> tuple[Float[AnyArray, "rows columns"], bool]:
    """The kernel as a matrix, and whether it acts on flattened (example, output) pairs.

    (n1, n2) acts on every output alike (Theta kron I_k, the analytic kernel); (n1, n2, k, k) is flattened.
    """
    if ntk.ndim == 2:
        return ntk, False
    if ntk.shape[2:] == (1, 1):
        return ntk[:, :, 0, 0], False
    n1, n2 = ntk.shape[:2]
    return ntk.transpose(0, 2, 1, 3).reshape(n1 * k, n2 * k), True


@struct.dataclass
class LinearFunctionSpace:
    """f_lin on train (n, k) and test (m, k) examples, float64.

    ntk_train (n, n) or (n k, n k), ntk_test (m, n) or (m k, n k): J J^T in the normalisation of the parameterization;
    jacobian (w, n, k): df/dtheta_w of the watched weights, in the same normalisation.
    """

    f0_train: Array
    f0_test: Array
    y_train: Array
    ntk_train: Array
    ntk_test: Array
    jacobian: Array
    flattened: bool = struct.field(pytree_node=False)
    tx: optax.GradientTransformation = struct.field(pytree_node=False)
    loss: str = struct.field(pytree_node=False)

    @classmethod
    def build(
        cls,
        f0_train: AnyArray,
        f0_test: AnyArray,
        y_train: AnyArray,
        ntk_train: AnyArray,
        ntk_test: AnyArray,
        jacobian: AnyArray,
        tx: optax.GradientTransformation,
        loss: str,
    ) -> "LinearFunctionSpace":
        """From kernels of either shape; float64 throughout, which costs nothing beside a network.

        Raises `UserError` for other shapes, an unknown loss, and a `tx` that does not move c as it moves theta.
        """
        check_training(tx, loss)
        check_linear_steps(tx)
        check_same_shape(f0_train, y_train)
        k = y_train.shape[1]
        train, flattened = kernel_matrix(ntk_train, k)
        test, _ = kernel_matrix(ntk_test, k)
        arrays = (on_device(a, np.float64) for a in (f0_train, f0_test, y_train, train, test, jacobian))
        return cls(*arrays, flattened=flattened, tx=tx, loss=loss)

    def init(self) -> tuple[Array, Any]:
        c = jnp.zeros_like(self.y_train)
        return c, self.tx.init(c)

    def _apply(self, kernel: Array, c: Array) -> Array:
        columns = c.reshape(-1) if self.flattened else c
        return jnp.matmul(kernel, columns, precision="highest").reshape(-1, c.shape[1])

    def step(self, state: tuple[Array, Any], batch: Batch | None) -> tuple[Array, Any]:
        c, optimizer_state = state
        f = self.f0_train + self._apply(self.ntk_train, c)
        gradient = jax.grad(self._loss)(f, batch)
        updates, optimizer_state = self.tx.update(gradient, optimizer_state, c)
        return jnp.asarray(optax.apply_updates(c, updates)), optimizer_state

    def _loss(self, f: Array, batch: Batch | None) -> Array:
        if batch is None:
            return loss_of(self.loss)(f, self.y_train)
        return loss_of(self.loss)(f[batch.rows], self.y_train[batch.rows])

    def observe(self, state: tuple[Array, Any]) -> dict[str, Array]:
        c = state[0]
        return {
            "train": self.f0_train + self._apply(self.ntk_train, c),
            "test": self.f0_test + self._apply(self.ntk_test, c),
            "weights": jnp.einsum("wnk,nk->w", self.jacobian, c, precision="highest"),
        }
