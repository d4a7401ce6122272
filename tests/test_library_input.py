"""Calls of the library with arrays that only broadcast, names that are unknown and batches of other data: one line each.

In a process of its own: the suite checks shapes by annotations, which a user's process does not.
"""

import sys

from processes import ran

PROGRAM = """
import jax; jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, numpy as np, optax, ntkrun, ntkrun.networks
from flax.core import freeze
from ntkrun.errors import UserError
from ntkrun.theory.gradient_flow import linear_flow

rng = np.random.default_rng(0)
x, y = jnp.asarray(rng.standard_normal((6, 5))), jnp.asarray(rng.standard_normal(6))
net = dict(depth=1, activation="erf", sigma_w2=1.5, sigma_b2=0.1)
model = ntkrun.build_model("fc", width=8, n_outputs=1, dtype="float64", **net)
theta0 = model.init(jax.random.key(0), x)["params"]
one = (np.eye(6), np.ones((2, 6)), np.eye(2))
kernels = [ntkrun.Kernels(k, k) for k in one]
solver = dict(loss_gradient=jax.grad(ntkrun.mse), rtol=1e-6, atol=1e-8, max_steps=99)

def moved(kind=ntkrun.Network, x=x, y=y[:, None], loss="mse", steps=(0, 2), batches=None):
    rival = kind(theta0=theta0, x_train=x, y_train=y, x_test=x, model=model, watched=(), tx=optax.sgd(0.3), loss=loss)
    return list(ntkrun.run_lockstep({"a": rival}, steps, batches or ntkrun.FullBatch(), ntkrun.Silent(), "here"))

def network(kind=ntkrun.Network, **other):
    parts = dict(theta0=theta0, x_train=x, y_train=y[:, None], x_test=x, model=model, watched=(), tx=optax.sgd(0.3), loss="mse")
    return kind(**parts | other)

def built(y):
    return ntkrun.LinearFunctionSpace.build(
        np.zeros((6, 1)), np.zeros((2, 1)), y, one[0], one[1], np.zeros((0, 6, 1)), optax.sgd(0.3), "mse")

composed = ntkrun.networks.Sequential(ntkrun.networks.Dense(8), ntkrun.networks.Activation("relu"), ntkrun.networks.Dense(1))
bad = lambda phi: ntkrun.Activation("bad", phi)
with_phi = lambda phi: ntkrun.networks.Sequential(composed.layers[0], ntkrun.networks.Activation(bad(phi)), composed.layers[2])
recorder = ntkrun.LinearityRecorder(model, theta0, x, y[:, None])
recorder.record(2, theta0)

WRONG = {
    "network, targets (n,)": lambda: moved(y=y),
    "parameter space, targets (n,)": lambda: moved(ntkrun.LinearParameterSpace, y=y),
    "function space, targets (n,)": lambda: built(y),
    "mse": lambda: ntkrun.mse(y[:, None], y),
    "rmse": lambda: ntkrun.rmse(y[:, None], y),
    "cross_entropy": lambda: ntkrun.cross_entropy(np.zeros((3, 10)), np.array([[3], [1], [0]])),
    "ntk_gp": lambda: ntkrun.ntk_gp(*kernels, y, np.array([1.0])),
    "nngp_gp": lambda: ntkrun.nngp_gp(*kernels, y, np.array([1.0])),
    "arrays in place of kernels": lambda: ntkrun.ntk_gp(*one, y[:, None], np.array([1.0])),
    "arrays in place of K": lambda: ntkrun.nngp_gp(*map(jnp.asarray, one), y[:, None], np.array([1.0])),
    "kernels of other inputs": lambda: ntkrun.ntk_gp(kernels[0], kernels[1], kernels[0], y[:, None], np.array([1.0])),
    "ntk_gp, one time": lambda: ntkrun.ntk_gp(*kernels, y[:, None], 1.0),
    "nngp_gp, one time": lambda: ntkrun.nngp_gp(*kernels, y[:, None], np.float64(1.0)),
    "linear_flow, one time": lambda: linear_flow(one[0], y[:, None], y[:, None], 1.0, **solver),
    "linear_flow, the loss": lambda: linear_flow(
        one[0], y[:, None], y[:, None], np.array([1.0]), **solver | dict(loss_gradient=ntkrun.mse)),
    "eta_critical": lambda: ntkrun.eta_critical(one[0], -1),
    "sigma_w2 < 0": lambda: ntkrun.analytic_kernels(x, **net | dict(sigma_w2=-1.0)),
    "sigma_w2 = 0": lambda: ntkrun.build_model("fc", width=8, n_outputs=1, **net | dict(sigma_w2=0.0)),
    "sigma_w2, one a layer": lambda: ntkrun.analytic_kernels(x, **net | dict(sigma_w2=[1.0, 2.0])),
    "sigma_b2 < 0": lambda: ntkrun.analytic_kernels(x, **net | dict(sigma_b2=-0.1)),
    "sigma_b2 no number": lambda: ntkrun.build_model("fc", width=8, n_outputs=1, **net | dict(sigma_b2=float("nan"))),
    "width < 0": lambda: ntkrun.analytic_kernels(x, parameterization="standard", width=-3, **net),
    "width of a network": lambda: ntkrun.build_model("fc", width=-8, n_outputs=1, **net),
    "width 2.5": lambda: ntkrun.build_model("cnn", width=2.5, n_outputs=1, **net),
    "depth": lambda: ntkrun.analytic_kernels(x, **net | dict(depth=True)),
    "gradient_flow, targets (n,)": lambda: ntkrun.gradient_flow(one[0], y, y),
    "gradient_flow, f_0 a number": lambda: ntkrun.gradient_flow(one[0], y[:, None], 0.0),
    "linear_flow": lambda: linear_flow(one[0], y, y, np.array([1.0]), **solver),
    "lengths": lambda: moved(y=y[:4, None]),
    "loss": lambda: moved(loss="MSE"),
    "steps out of order": lambda: moved(steps=(4, 0, 8)),
    "no steps": lambda: moved(steps=()),
    "build_model, phi": lambda: ntkrun.build_model("fc", width=8, n_outputs=1, **net | dict(activation="expsq")),
    "build_model, nearly": lambda: ntkrun.build_model("fc", widht=8, n_outputs=1, **net),
    "build_model, lacking": lambda: ntkrun.build_model("fc", activation="relu"),
    "build_model, a word": lambda: ntkrun.build_model("cnn", width=8, n_outputs=1, pool="max", **net),
    "build_model, no name": lambda: ntkrun.build_model(None, width=8),
    "Activation": lambda: ntkrun.Activation("expsq"),
    "Activation, phi": lambda: ntkrun.Activation("mish", 3),
    "Activation, kinks": lambda: ntkrun.Activation("mish", jnp.tanh, 0.0),
    "Activation, name": lambda: ntkrun.Activation(jnp.tanh),
    "Network, tx": lambda: network(tx=0.3),
    "Network, model": lambda: network(model="fc"),
    "LinearParameterSpace, loss": lambda: network(ntkrun.LinearParameterSpace, loss="hinge"),
    "LinearFunctionSpace, tx": lambda: ntkrun.LinearFunctionSpace.build(*[y[:, None]] * 3, *[one[0]] * 2, one[1], 0.3, "mse"),
    "accuracy": lambda: ntkrun.accuracy(np.zeros((6, 3)), [0, 1]),
    "mse, no array": lambda: ntkrun.mse("f", y[:, None]),
    "rmse, None": lambda: ntkrun.rmse(None, y[:, None]),
    "cross_entropy, a list": lambda: ntkrun.cross_entropy([[1.0]], y[:, None]),
    "predict": lambda: ntkrun.predict(model, theta0, x[:, :3]),
    "predict, params": lambda: ntkrun.predict(model, None, x),
    "predict, model": lambda: ntkrun.predict("fc", theta0, x),
    "sharpness": lambda: ntkrun.sharpness("fc", theta0, x, y[:, None]),
    "power_law": lambda: ntkrun.power_law([1, 2, 3], [1, 2]),
    "power_law, words": lambda: ntkrun.power_law("a", "b"),
    "coordinate_check": lambda: ntkrun.coordinate_check("fc", [8, 16], x, y[:, None], eta=0.1),
    "plot_coordinate_check": lambda: ntkrun.plot_coordinate_check(3),
    "coordinate_check, a model": lambda: ntkrun.coordinate_check(model, (8, 16), x, y[:, None], eta=0.1),
    "coordinate_check, eta": lambda: ntkrun.coordinate_check(lambda n: model, (8, 16), x, y[:, None], eta="0.1"),
    "coordinate_check, widths": lambda: ntkrun.coordinate_check(lambda n: model, ("8", "16"), x, y[:, None], eta=0.1),
    "coordinate_check, steps": lambda: ntkrun.coordinate_check(lambda n: model, (8, 16), x, y[:, None], eta=0.1, steps=(1.5,)),
    "coordinate_check, build": lambda: ntkrun.coordinate_check(lambda n: n, (8, 16), x, y[:, None], eta=0.1),
    "preactivation_slopes": lambda: ntkrun.preactivation_slopes({"x": 1}),
    "LinearityRecorder": lambda: ntkrun.LinearityRecorder("fc", theta0, x, y[:, None]),
    "LinearityRecorder, x_test": lambda: ntkrun.LinearityRecorder(model, theta0, x, y[:, None], x[:, :3]),
    "LinearityRecorder, eta": lambda: ntkrun.LinearityRecorder(model, theta0, x, y[:, None], eta="0.1"),
    "LinearityRecorder, momentum": lambda: ntkrun.LinearityRecorder(model, theta0, x, y[:, None], eta=0.1, momentum=1),
    "record, half a step": lambda: recorder.record(1.5, theta0),
    "record, before the start": lambda: recorder.record(-1, theta0),
    "record, no number": lambda: recorder.record(float("nan"), theta0),
    "record, True": lambda: recorder.record(True, theta0),
    "record, the same step": lambda: recorder.record(2.0, theta0),
    "record, diverged": lambda: recorder.record(3, jax.tree.map(lambda leaf: leaf * jnp.nan, theta0)),
    "empirical_ntk, memory": lambda: ntkrun.empirical_ntk(model, theta0, x, memory="1GB"),
    "empirical_ntk, no memory": lambda: ntkrun.empirical_ntk(model, theta0, x, memory=0),
    "empirical_ntk, a loss": lambda: ntkrun.empirical_ntk(lambda p, x: model.apply({"params": p}, x).mean(), theta0, x),
    "analytic_kernels, tile_bytes": lambda: ntkrun.analytic_kernels(x, tile_bytes="1GB", **net),
    "analytic_kernels, below 0": lambda: ntkrun.analytic_kernels(x, tile_bytes=-5, **net),
    "analytic_kernels, nan": lambda: ntkrun.analytic_kernels(x * jnp.nan, **net),
    "analytic_kernels, nan in x2": lambda: ntkrun.analytic_kernels(x, x * jnp.nan, **net),
    "analytic_kernels, overflow": lambda: ntkrun.analytic_kernels(x, depth=5000, activation="relu", sigma_w2=3.0, sigma_b2=0.0),
    "infinite_width_kernels, tile_bytes": lambda: ntkrun.infinite_width_kernels(composed, x, tile_bytes="1GB"),
    "analytic_kernels, no numbers": lambda: ntkrun.analytic_kernels(x[:, :0], **net),
    "infinite_width_kernels, no numbers": lambda: ntkrun.infinite_width_kernels(composed, x[:, :0]),
    "empirical_ntk, no examples": lambda: ntkrun.empirical_ntk(model, theta0, x[:0]),
    "empirical_ntk, no examples in x2": lambda: ntkrun.empirical_ntk(model, theta0, x, x[:0]),
    "empirical_ntk, nan": lambda: ntkrun.empirical_ntk(model, theta0, x * jnp.nan),
    "empirical_ntk, inf in x2": lambda: ntkrun.empirical_ntk(model, theta0, x, x2=x.at[2, 0].set(jnp.inf)),
    "empirical_nngp, nan": lambda: ntkrun.empirical_nngp(model, theta0, x * jnp.nan),
    "sharpness, no examples": lambda: ntkrun.sharpness(model, theta0, x[:0], y[:0, None]),
    "sampled_kernels, nan": lambda: list(ntkrun.sampled_kernels(model, x * jnp.nan, jax.random.key(0), draws=2)),
    "coordinate_check, nan": lambda: ntkrun.coordinate_check(lambda n: model, (8, 16), x * jnp.nan, y[:, None], eta=0.1),
    "LinearityRecorder, nan": lambda: ntkrun.LinearityRecorder(model, theta0, x * jnp.nan, y[:, None]),
    "LinearityRecorder, nan in x_test": lambda: ntkrun.LinearityRecorder(model, theta0, x, y[:, None], x * jnp.nan),
    "LinearityRecorder, no examples": lambda: ntkrun.LinearityRecorder(model, theta0, x[:0], y[:0, None]),
    "infinite_width_kernels, nan": lambda: ntkrun.infinite_width_kernels(composed, x * jnp.nan),
    "analytic_kernels": lambda: ntkrun.analytic_kernels("x", **net),
    "empirical_ntk": lambda: ntkrun.empirical_ntk(model, theta0, "x"),
    "empirical_nngp": lambda: ntkrun.empirical_nngp(model, theta0, None),
    "ntk_scale": lambda: ntkrun.ntk_scale("fc"),
    "largest_eigenvalue": lambda: ntkrun.largest_eigenvalue("fc", theta0, x),
    "sampled_kernels": lambda: list(ntkrun.sampled_kernels("fc", x, jax.random.key(0), draws=2)),
    "weight_jacobian": lambda: ntkrun.weight_jacobian(model, theta0, x, "layer_1"),
    "MiniBatches": lambda: ntkrun.MiniBatches(0, 6, 4),
    "MiniBatches, size": lambda: ntkrun.MiniBatches(jax.random.key(0), 6, 7),
    "run_lockstep": lambda: list(ntkrun.run_lockstep([network()], (0, 1), ntkrun.FullBatch(), ntkrun.Silent(), "here")),
    "run_lockstep, no rival": lambda: list(ntkrun.run_lockstep({"a": 3}, (0,), ntkrun.FullBatch(), ntkrun.Silent(), "here")),
    "run_lockstep, no rivals": lambda: list(ntkrun.run_lockstep({}, (0, 1), ntkrun.FullBatch(), ntkrun.Silent(), "here")),
    "run_lockstep, no whole steps": lambda: moved(steps=np.array([0, 0.5])),
    "run_lockstep, one step": lambda: moved(steps=3),
    "infinite_width_kernels, phi of an array": lambda: ntkrun.infinite_width_kernels(with_phi(lambda u: u[0]), x),
    "infinite_width_kernels, phi of others": lambda: ntkrun.infinite_width_kernels(with_phi(jax.nn.softmax), x),
    "analytic_kernels, phi of a mean": lambda: ntkrun.analytic_kernels(x, **net | dict(activation=bad(lambda u: u - u.mean()))),
    "analytic_kernels, phi of NumPy": lambda: ntkrun.analytic_kernels(x, **net | dict(activation=bad(np.tanh))),
    "analytic_kernels, phi that compares": lambda: ntkrun.analytic_kernels(x, **net | dict(activation=bad(lambda u: u > 0))),
    "predict, phi of an array": lambda: ntkrun.predict(
        ntkrun.build_model("fc", width=8, n_outputs=1, **net | dict(activation=bad(lambda u: u[0]))), theta0, x),
    "gradient_descent, other rows": lambda: ntkrun.gradient_descent(one[0], y[:3], y[:3], [0.1]),
    "taylor_expand, a word": lambda: ntkrun.taylor_expand(model, theta0, "2"),
    "power_law, confidence": lambda: ntkrun.power_law([1, 2, 4], [4, 2, 1], 95),
    "as_function": lambda: ntkrun.as_function(3),
    "count_parameters": lambda: ntkrun.count_parameters("a"),
    "ntk_to_standard": lambda: ntkrun.ntk_to_standard(None, sigma_w2=1.0, sigma_b2=0.0),
    "standard_rates": lambda: ntkrun.standard_rates(3, n_max=8, sigma_w2=1.0, sigma_b2=0.1),
    "linearize": lambda: ntkrun.linearize("fc", theta0),
    "taylor_expand": lambda: ntkrun.taylor_expand(model, theta0, -1),
    "infinite_width_kernels": lambda: ntkrun.infinite_width_kernels("fc", x),
    "paper_panel": lambda: ntkrun.paper_panel("fig33", "loss"),
    "paper_panel, the panel": lambda: ntkrun.paper_panel("fig3", "x"),
    "paper_panel, no figure": lambda: ntkrun.paper_panel("", "loss"),
    "gradient_descent, one rate": lambda: ntkrun.gradient_descent(one[0], y[:, None], y[:, None], 0.1),
    "gradient_descent, a word": lambda: ntkrun.gradient_descent(one[0], y[:, None], y[:, None], "0.1"),
    "nngp_gp, one rate": lambda: ntkrun.nngp_gp(*kernels, y[:, None], np.array([1.0]), learning_rates=0.1),
    "gradient_flow, other outputs": lambda: ntkrun.gradient_flow(np.zeros((6, 6, 2, 2)), y[:, None], y[:, None]),
    "gradient_descent": lambda: ntkrun.gradient_descent("K", y[:, None], y[:, None], [0.1]),
    "gradient_flow": lambda: ntkrun.gradient_flow("K", y[:, None], y[:, None]),
    "linear_flow, a word": lambda: linear_flow("K", y[:, None], y[:, None], np.array([1.0]), **solver),
    "eta_critical, momentum": lambda: ntkrun.eta_critical(one[0], 1, momentum="0.9"),
    "standard_rates, eta0": lambda: ntkrun.standard_rates(theta0, n_max=8, sigma_w2=1.0, sigma_b2=0.1, eta0="1"),
    "ntk_to_standard, sigma_w2": lambda: ntkrun.ntk_to_standard(theta0, sigma_w2="1", sigma_b2=0.1),
    "MiniBatches, a word": lambda: ntkrun.MiniBatches(jax.random.key(0), 6, "4"),
    "MiniBatches, crop": lambda: ntkrun.MiniBatches(jax.random.key(0), 6, 4, crop="4"),
    "predict, chunk": lambda: ntkrun.predict(model, theta0, x, chunk=0),
    "sampled_kernels, draws": lambda: list(ntkrun.sampled_kernels(model, x, jax.random.key(0), draws="2")),
    "eta_critical, a word": lambda: ntkrun.eta_critical("K", 1),
    "eta_critical, no square": lambda: ntkrun.eta_critical(np.ones((6, 5)), 1),
    "nngp_gp, words": lambda: ntkrun.nngp_gp("a", "b", "c", y[:, None], np.array([1.0])),
    "ntk_gp, times": lambda: ntkrun.ntk_gp(*kernels, y[:, None], "t"),
    "load_dataset": lambda: ntkrun.load_dataset(name="mnits", source="auto", classes=None, n_train=2, n_test=2,
        preprocess="sphere", targets="one_hot", seed=0),
    "batches of more examples": lambda: moved(batches=ntkrun.MiniBatches(jax.random.key(0), 60, 4)),
}
# Kernels and Dataset are tuples of what is given, the others take nothing that could be wrong
PLAIN = {"Kernels", "Dataset", "Console", "Silent", "FullBatch", "NUMERICS_VERSION", "__version__"}
tried = {name.partition(",")[0] for name in WRONG}
print("\\n".join(f"{name} is not tried" for name in ntkrun.__all__ if name not in tried | PLAIN), end="")
for name, call in WRONG.items():
    try:
        print(name, "is accepted", call())
    except UserError as error:
        assert "\\n" not in str(error), error
        print(name, "- refused:", error)

right = moved(steps=(0, 3000))[-1][1]["a"]["train"]
assert np.abs(right[:, 0] - y).max() < 1e-2, "(n, 1) is fitted"
moved(batches=ntkrun.MiniBatches(jax.random.key(0), 6, 4))
moved(steps=np.arange(2))
watched = ((("layer_1", "omega"), 0),)
plain, frozen = (ntkrun.weight_jacobian(model, params, x, watched) for params in (theta0, freeze(theta0)))
np.testing.assert_array_equal(plain, frozen)
from_jax = ntkrun.ntk_gp(*(ntkrun.Kernels(*map(jnp.asarray, pair)) for pair in kernels), y[:, None], np.array([1.0]))
np.testing.assert_array_equal(from_jax.mean, ntkrun.ntk_gp(*kernels, y[:, None], np.array([1.0])).mean)
assert ntkrun.gradient_flow(one[0], y[:, None], y[:, None]).train_at(1.0).shape == (6, 1)
ntkrun.analytic_kernels(x, **net | dict(depth=np.int64(1), sigma_w2=jnp.float32(2.0), sigma_b2=0))
mean = ntkrun.nngp_gp(*kernels, y[:, None], np.array([np.inf])).mean
np.testing.assert_allclose(mean[0], one[1] @ np.asarray(y)[:, None])
"""


NAMED = {  # what is wrong, and not something beside it
    "run_lockstep, no rivals": "rivals are named",
    "empirical_ntk, no examples": "x1 of shape (0, 5) holds no examples",
    "infinite_width_kernels, phi of an array": "act on every number",
    "infinite_width_kernels, phi of others": "depends on the others",
    "predict, phi of an array": "act on every number",
    "gradient_descent, other rows": "give one row for each of the 6 inputs",
    "taylor_expand, a word": "degree='2'",
}


def test_what_only_broadcasts_is_refused_and_what_is_right_goes_through(root):
    done = ran(sys.executable, "-c", PROGRAM, cwd=root)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == PROGRAM.count("lambda: "), "and all public names are tried"
    assert [line for line in lines if "- refused: " not in line] == []
    for name, says in NAMED.items():
        (line,) = [line for line in lines if line.startswith(f"{name} - refused: ")]
        assert says in line, line
