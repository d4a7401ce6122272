# Flax types the result of apply as a union of output and state.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
"""What `model.path` may name, what a network is called with, and parameters that come from a file."""

import sys
from functools import partial
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from flax import nnx, traverse_util
from safetensors.numpy import save_file
from test_bad_input import assert_refused

from ntkrun.cli.arguments import completed
from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.models import declarations
from ntkrun.models.custom import build_user_module
from ntkrun.models.functions import PlainFunction
from ntkrun.models.start import check_user_module, planned, started
from ntkrun.runner.plan import make_cells

X = np.random.default_rng(0).standard_normal((4, 2, 2, 1)).astype(np.float32)
KEY = jax.random.key(3)


class Normed(nn.Module):
    """Running averages, a list among its fields, and a call that has to be told."""

    n_outputs: int
    features: Any = (3,)

    @nn.compact
    def __call__(self, x, train):
        x = x.reshape(len(x), -1)
        for features in self.features:
            x = jnp.tanh(nn.BatchNorm(use_running_average=not train)(nn.Dense(features)(x)))
        return nn.Dense(self.n_outputs)(x)


class Drawn(nnx.Module):
    def __init__(self, n_outputs: int, width: int = 3, *, rngs: nnx.Rngs):
        self.first, self.norm = nnx.Linear(4, width, rngs=rngs), nnx.BatchNorm(width, rngs=rngs)
        self.readout = nnx.Linear(width, n_outputs, rngs=rngs)

    def __call__(self, x, *, scale=1.0):
        return scale * self.readout(jnp.tanh(self.norm(self.first(x.reshape(len(x), -1)))))


def drawn_by_a_function(n_outputs: int, depth: int = 1, *, rngs: nnx.Rngs):
    return nnx.Sequential(*(nnx.Linear(4, 4, rngs=rngs) for _ in range(depth)), nnx.Linear(4, n_outputs, rngs=rngs))


def init(key, x):
    return [jax.random.normal(key, (x[0].size, 2))]


def f(params, x, scale=1.0):
    return {"out": scale * x.reshape(len(x), -1) @ params[0], "in": x}


def other(n_outputs: int):
    return n_outputs


NAMED: dict[str, Any] = {
    "Normed": Normed, "partly": partial(Normed, features=[3, 2]), "instance": nn.Dense(2), "Drawn": Drawn,
    "by_function": drawn_by_a_function, "network": (init, f), "f": f, "other": other, "word": "x",
    "pair_by_function": lambda: (init, f), "again": Drawn(2, rngs=nnx.Rngs(0)),
}  # fmt: skip


@pytest.fixture
def build(monkeypatch):
    module = ModuleType("named_nets")
    module.__dict__.update(NAMED)
    monkeypatch.setitem(sys.modules, "named_nets", module)
    monkeypatch.setattr("ntkrun.settings.custom_source.source_hash", lambda name: "0")
    return lambda name, call=None, output=None, **args: build_user_module(
        f"named_nets:{name}", "0", args, call, output, n_outputs=2, width=3, dtype="float32"
    )


RUNS = [
    ("Normed", {"call": {"train": False}}, 0),
    ("partly", {"call": {"train": False}}, 0),
    ("Drawn", {"call": {"scale": 2.0}}, 3),
    ("by_function", {"depth": 2}, 0),
    ("network", {"call": {"scale": 2.0}, "output": "out"}, 0),
    ("pair_by_function", {"output": "out"}, 0),
]


@pytest.mark.parametrize(("name", "how", "width"), RUNS, ids=[name for name, _, _ in RUNS])
def test_what_is_named_starts_from_the_key_and_is_one_program_for_all_of_them(build, name, how, width):
    images = X if name != "by_function" else X[:, :, 0, 0] @ np.ones((2, 4), np.float32)
    model = build(name, **how)
    assert model == build(name, **how) and declarations.of(model).width == width
    check_user_module(model, images, 2)
    runs = [started(model, jax.random.key(seed), images[:1], "float64") for seed in (3, 3, 4)]
    (network, params, notes), (again, same, _), (third, others, _) = runs
    assert network == again == third and hash(network) == hash(third) and not notes
    assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(params))
    outputs = [network.apply({"params": theta}, images) for theta in (params, same, others)]
    assert outputs[0].shape == (4, 2) and jnp.array_equal(outputs[0], outputs[1])
    assert jnp.abs(outputs[0] - outputs[2]).max() > 1e-3
    shapes = planned(model, jax.ShapeDtypeStruct((2, *images.shape[1:]), jnp.float32), "float64")
    assert jax.tree.map(jnp.shape, shapes[1]) == jax.tree.map(jnp.shape, params)
    assert jax.eval_shape(lambda theta: shapes[0].apply({"params": theta}, images), shapes[1]).shape == (4, 2)


def test_an_instance_is_itself(build):
    assert build("instance") == nn.Dense(2)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a word": ("word", {}, "word is str, no network"),
    "an NNX module": ("again", {}, "is a drawn module: name its class"),
    "a function of params and x": ("f", {}, "is named together with its init, as a pair"),
    "what makes none": ("other", {}, "other returns int, no network"),
    "a field": ("Normed", {"fetaures": 3}, "model.args.fetaures: Normed has no such field, did you mean features"),
    "a field of a pair": ("network", {"depth": 3}, "model.args.depth"),
    "an argument of linen": ("Normed", {"call": {"trian": False}}, "model.apply_arguments.trian: .* it takes train"),
    "no argument": ("Normed", {}, "is called with train: set model.apply_arguments.train=false"),
    "an argument of NNX": ("Drawn", {"call": {"train": False}}, "it takes scale"),
    "an argument of a function": ("network", {"call": {"train": False}}, "it takes scale"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built_is_one_line(build, name):
    named, how, says = REFUSED[name]
    with pytest.raises(UserError, match=says) as refused:
        build(named, **how)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "how", "says"),
    [
        ("network", {}, "returns dict, several outputs: pick one, model.output=0"),
        ("network", {"output": "inner"}, "output 'inner' is not among the outputs .* there are out, in"),
        ("Normed", {"call": {"train": True}}, "batch_stats.* model.apply_arguments.train=false"),
        ("instance", {}, r"returns \(2, 2, 2, 2\) for two images"),
    ],
)
def test_what_does_not_run_says_what_to_set(build, name, how, says):
    with pytest.raises(UserError, match=says):
        check_user_module(build(name, **how), X, 2)


class Half(nn.Module):
    """Float32 outside: of the dense layers the second is in `dtype`."""

    dtype: Any

    @nn.compact
    def __call__(self, x):
        seen = jnp.ones((1, *x.shape[1:]), jnp.bfloat16)  # a mask, which is exact
        hidden = nn.Dense(8, param_dtype=jnp.bfloat16)((x * seen).reshape(len(x), -1))
        return nn.Dense(2, dtype=self.dtype)(jax.jit(nn.relu)(hidden)).astype(jnp.float32)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_layer_in_half_precision_is_told_though_the_outputs_are_float32(dtype):
    with pytest.raises(
        UserError, match=rf"Half computes in {jnp.dtype(dtype).name} in \S*Dense_1.* by the field `dtype`"
    ):
        check_user_module(Half(dtype), X, 2)
    check_user_module(Half(jnp.float32), X, 2)


def test_half_precision_that_a_caller_has_set_is_found_inside_what_is_compiled():
    swapped = PlainFunction(
        lambda params, x: jax.jit(lambda z: z.astype(jnp.float16))(x.reshape(len(x), -1)) @ params["w"],
        lambda key, x: {"w": jnp.zeros((x[0].size, 2))},
    )
    with pytest.raises(UserError, match="computes in float16"):
        check_user_module(swapped, X, 2)


def flat(tree: Any) -> dict[str, np.ndarray]:
    return {".".join(path): np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(tree).items()}


def test_parameters_and_averages_come_from_files_of_either_kind(build, tmp_path):
    model = build("Normed", call={"train": False})
    variables: Any = Normed(2).init(jax.random.key(8), X, train=False)
    variables = jax.tree.map(lambda leaf: leaf + 0.5, variables)
    expected = Normed(2).apply(variables, X, train=False)
    everything, alone, checkpoint = (
        tmp_path / name for name in ("all.safetensors", "params.safetensors", "checkpoint")
    )
    save_file(flat(variables) | {"opt_state.count": np.zeros(1)}, everything)
    save_file({name.replace(".", "/"): leaf for name, leaf in flat(variables["params"]).items()}, alone)
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(checkpoint, dict(variables) | {"step": np.array(3)})
    for file in (everything, checkpoint):
        network, params, notes = started(model, KEY, X[:1], "float32", str(file))
        np.testing.assert_allclose(network.apply({"params": params}, X), expected, rtol=1e-6)
        assert not notes
    network, params, notes = started(model, KEY, X[:1], "float32", str(alone))
    np.testing.assert_array_equal(params["Dense_0"]["kernel"], variables["params"]["Dense_0"]["kernel"])
    assert len(notes) == 2 and "has no batch_stats/BatchNorm_0/mean: it stays" in notes[0]


def test_parameters_of_an_nnx_module_go_by_its_attributes(build, tmp_path):
    module = Drawn(2, rngs=nnx.Rngs(7))
    module.norm.mean[...] = jnp.full(3, 0.4)
    state = nnx.to_pure_dict(nnx.state(module, (nnx.Param, nnx.BatchStat)))
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "nnx", state)
    network, params, notes = started(build("Drawn"), KEY, X[:1], "float32", str(tmp_path / "nnx"))
    module.eval()
    np.testing.assert_allclose(network.apply({"params": params}, X), module(X), rtol=1e-6)
    assert not notes


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda found: found.pop("Dense_0.bias"), "has no Dense_0/bias, which the network has; it has"),
        (lambda found: found.update({"head.kernel": np.zeros(2)}), "has head/kernel, which the network has not"),
        (
            lambda found: found.update({"Dense_0.bias": np.zeros(5)}),
            r"Dense_0/bias of shape \(5,\), and the network of \(3,\)",
        ),
    ],
)
def test_a_file_of_other_names_or_shapes_is_one_line(build, tmp_path, change, says):
    found = flat(Normed(2).init(KEY, X, train=False)["params"])
    change(found)
    save_file(found, tmp_path / "p.safetensors")
    with pytest.raises(UserError, match=says):
        started(build("Normed", call={"train": False}), KEY, X[:1], "float32", str(tmp_path / "p.safetensors"))


def test_what_is_no_file_of_parameters_is_one_line(build, tmp_path):
    (tmp_path / "p.pkl").write_bytes(b"\x80\x04N.")
    (tmp_path / "empty").mkdir()
    for name in ("p.pkl", "empty", "nothing"):
        with pytest.raises(UserError, match="name a safetensors file or the folder of an Orbax checkpoint"):
            started(build("instance"), KEY, X[:1], "float32", str(tmp_path / name))


def test_the_content_of_the_file_and_not_its_place_is_part_of_the_identity(tmp_path, monkeypatch, settings_of):
    monkeypatch.chdir(tmp_path)

    def hash_of(*overrides: str) -> str:
        given = completed(["model.path=kept_net:Net", "allow_custom=true", *overrides])
        (cell,) = make_cells(load_experiment("lockstep"), settings_of("lockstep", "smoke", *given))
        return cell.config_hash

    for name, content in {"a": b"1", "b": b"1", "c": b"2", "kept_net.py": b""}.items():
        (tmp_path / name).write_bytes(content)
    plain, first, same, changed = hash_of(), *(hash_of(f"model.parameters={name}") for name in "abc")
    assert first == same and len({plain, first, changed, hash_of("model.apply_arguments.train=false")}) == 4
    with pytest.raises(UserError, match="parameters=d cannot be read"):
        hash_of("model.parameters=d")


FREE = ["experiment=lockstep", "scale=smoke", "data.source=stand_in", "allow_custom=true", "model.path=lost:Net"]


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("model.apply_arguments.train={a:1}", "model.apply_arguments.train"),
        ("model.apply_arguments=3", "model.apply_arguments"),
        ("model.output=-1", "model.output"),
        ("model.args.width=-3", "error: model.args.width=-3: input should be greater than or equal to 1"),
        ("model.width=[8,-3]", "error: model.width=-3: input should be greater than or equal to 1"),
        ("model.parameters=nowhere.safetensors", "model.parameters=nowhere.safetensors cannot be read"),
    ],
)
def test_settings_of_a_network_are_refused_before_it_is_imported(ntkrun, tmp_path, argument, says):
    (tmp_path / "lost.py").write_text("from pathlib import Path\nPath('imported').touch()\nclass Net: ...\n")
    assert_refused(ntkrun(*FREE, argument), says, tmp_path, {"lost.py"})


def test_a_function_is_told_as_what_it_is_called():
    swapped = PlainFunction(lambda x, params: x @ params["w"], lambda key, x: {"w": jnp.zeros((4, 1))})
    with pytest.raises(UserError, match=r"does not run .*; it is called as f\(params, x\)"):
        check_user_module(swapped, jnp.zeros((2, 4)), 1)
