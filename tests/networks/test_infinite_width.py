"""Kernels of composed networks by their invariants, and what cannot have one."""

import re
import subprocess
import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkrun
from ntkrun.errors import UserError
from ntkrun.kernels.empirical import empirical_ntk
from ntkrun.kernels.psd import check_psd
from ntkrun.networks import (
    Activation,
    AveragePool,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    LayerNorm,
    Residual,
    Sequential,
    StopGradient,
)
from ntkrun.networks.containers import not_a_layer
from ntkrun.networks.infinite_width import infinite_width_kernels

RELU, ERF = Activation("relu"), Activation("erf")
AFFINE: dict[str, Any] = dict(sigma_w2=1.6, sigma_b2=0.2)
RNG = np.random.default_rng(0)
X, X_TEST = RNG.standard_normal((9, 4, 3, 2)), RNG.standard_normal((4, 4, 3, 2))
FLAT = Sequential(Conv(1, **AFFINE), RELU, Conv(1, **AFFINE), ERF, Flatten(), Dense(1))
POOLED = Sequential(
    Conv(1, **AFFINE), RELU, Dropout(0.1), AveragePool((2, 1)), Residual(Conv(1), LayerNorm(), ERF, Conv(1), shortcut=Dense(1)),
    RELU, GlobalAveragePool(), Dense(1, **AFFINE),
)  # fmt: skip
NETWORKS = {"equal positions": FLAT, "all positions": POOLED}


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_and_symmetry_change_nothing(name):
    """Of one input a tile, and of all at once."""
    alone, together = (infinite_width_kernels(NETWORKS[name], X, tile_bytes=size) for size in (1, 2**30))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, one.T)
        check_psd(one, name)
        np.testing.assert_allclose(one, other, rtol=1e-12)
    cross = infinite_width_kernels(NETWORKS[name], X, X_TEST)
    mirrored = infinite_width_kernels(NETWORKS[name], X_TEST, X, tile_bytes=1)
    for one, other in zip(cross, mirrored, strict=True):
        np.testing.assert_allclose(one, other.T, rtol=1e-12)


def test_an_input_meets_itself_in_one_kernel_and_a_copy_in_another():
    """Units are dropped for each input by itself: 1/(1 - rate) stands on the diagonal of K(X, X) alone."""
    network = Sequential(Dense(1, **AFFINE), RELU, Dropout(0.5), Dense(1))
    own, copies = (
        infinite_width_kernels(network, X.reshape(9, -1)),
        infinite_width_kernels(network, X.reshape(9, -1), X.reshape(9, -1)),
    )
    factors = own.nngp / copies.nngp
    np.testing.assert_allclose(factors, np.ones((9, 9)) + np.eye(9), rtol=1e-12)


def test_pooling_of_one_position_is_none():
    one = Sequential(Conv(1, size=(1, 1)), RELU, AveragePool((1, 1)), Flatten(), Dense(1))
    none = Sequential(Dense(1), RELU, Flatten(), Dense(1))
    for pooled, plain in zip(infinite_width_kernels(one, X), infinite_width_kernels(none, X), strict=True):
        np.testing.assert_allclose(pooled, plain, rtol=1e-12)


@pytest.mark.parametrize("dims", [1, 3])
def test_sequences_and_volumes_have_kernels_too(dims):
    x = RNG.standard_normal((3, *(4, 3, 2)[:dims], 2))
    network = Sequential(Conv(1, size=(2,) * dims, **AFFINE), RELU, GlobalAveragePool(), Dense(1))
    expected = np.zeros((3, 3))  # K of the readout by hand: the arc-cosine of all pairs of positions
    padded = np.pad(x, [(0, 0), *[(0, 1)] * dims, (0, 0)])
    patches = np.lib.stride_tricks.sliding_window_view(padded, (2,) * dims, axis=tuple(range(1, dims + 1)))
    flat = patches.reshape(3, -1, 2 * 2**dims)
    k = AFFINE["sigma_w2"] * np.einsum("ipf,jqf->ipjq", flat, flat) / flat.shape[-1] + AFFINE["sigma_b2"]
    roots = np.sqrt(np.einsum("ipip->ip", k))
    scale = roots[:, :, None, None] * roots[None, None]
    angle = np.arccos(np.clip(k / scale, -1, 1))
    expected = (scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)).mean(axis=(1, 3))
    np.testing.assert_allclose(infinite_width_kernels(network, x).nngp, expected, rtol=1e-7)  # arccos at equal patches


def test_frozen_layers_leave_the_readout_alone():
    frozen = Sequential(*FLAT.layers[:-1], StopGradient(), Dense(1))
    kernels = infinite_width_kernels(frozen, X)
    np.testing.assert_allclose(kernels.ntk, kernels.nngp, rtol=1e-14)
    np.testing.assert_array_equal(infinite_width_kernels(Sequential(*FLAT.layers, StopGradient()), X).ntk, 0)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (Sequential(RELU, Dense(1)), "layer 1 of 2, Activation has a kernel behind Dense, Conv"),
        (Sequential(Flatten(), Dense(1), RELU, RELU, Dense(1)), "layer 4 of 5, Activation has a kernel behind"),
        (
            Sequential(Conv(1), Sequential(Flatten(), LayerNorm(), Dense(1))),
            "layer 2 of 2, Sequential, layer 2 of 3, LayerNorm has a kernel behind",
        ),
        (Sequential(Conv(1), LayerNorm(axes=1), Flatten(), Dense(1)), "must have the channels, -1, among them"),
        (Sequential(Conv(1), RELU, Dense(1)), r"last layer Dense, have positions \(4, 3\): put GlobalAveragePool"),
        (Sequential(Flatten(), Conv(1), Dense(1)), "layer 2 of 3, Conv: windows over 2 axes .* in front of Flatten"),
        (Sequential(Conv(1, size=(3,)), Flatten(), Dense(1)), r"layer 1 of 3, Conv: .* write size=\(3, 3\)"),
        (
            Sequential(Conv(2), Residual(RELU, AveragePool((9, 9))), Flatten(), Dense(1)),
            "Residual, branch, layer 2 of 2, AveragePool",
        ),
        (
            Sequential(Flatten(), Dense(1), Activation(ntkrun.Activation("jump", jnp.sign, kinks=(0.0,)))),
            "layer 3 of 3, activation 'jump'",
        ),
        (
            Sequential(Flatten(), Dense(1, sigma_w2=1e6), Activation(ntkrun.Activation("exp", jnp.exp))),
            "layer 3 of 3, activation 'exp'",
        ),
        (Sequential(Conv(1, size=(9, 9), padding="VALID"), Flatten(), Dense(1)), "use padding='SAME'"),
        (Sequential(Flatten(), GlobalAveragePool(), Dense(1)), "leave it out for vectors"),
        (
            Sequential(Residual(Conv(3)), Flatten(), Dense(1)),
            r"the branch gives \(4, 3, 3\) and the shortcut \(4, 3, 2\)",
        ),
        (Sequential(Conv(2), Residual(RELU), Flatten(), Dense(1)), "end the branch or the shortcut with Dense or Conv"),
    ],
)
def test_what_has_no_kernel_says_what_to_write(network, line):
    with pytest.raises(UserError, match=line):
        infinite_width_kernels(network, X)


@pytest.mark.parametrize(
    ("network", "x", "sizes"),
    [
        (Sequential(Conv(3), Residual(Conv(4)), Flatten(), Dense(1)), X, r"\(4, 3, 4\) and the shortcut \(4, 3, 3\)"),
        (Sequential(Conv(3), Residual(Conv(3), shortcut=Dense(1))), X, r"\(4, 3, 3\) and the shortcut \(4, 3, 1\)"),
        (Sequential(Dense(4), Residual(Dense(5)), Dense(1)), X.reshape(len(X), -1), r"\(5,\) and the shortcut \(4,\)"),
        (Residual(Dense(5), name="sum"), X.reshape(len(X), -1), r"the branch gives \(5,\)"),
        (Sequential(Conv(3), AveragePool((9, 9)), Flatten(), Dense(1)), X, "layer 2 of 4, AveragePool: no window"),
        (Sequential(Dense(4), Conv(3), Dense(1)), X.reshape(len(X), -1), "layer 2 of 3, Conv: windows over 2 axes"),
    ],
)
def test_what_does_not_fit_is_refused_by_kernel_and_network_alike(network, x, sizes):
    for asked in (lambda: infinite_width_kernels(network, x), lambda: network.module().init(jax.random.key(0), x)):
        with pytest.raises(UserError, match=sizes) as error:
            asked()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("network", [Sequential(), Residual(), Sequential(name="none"), RELU])
def test_a_network_without_parameters_has_no_kernel(network):
    with pytest.raises(UserError, match="has no parameters"):
        empirical_ntk(network.module(), {}, X.reshape(len(X), -1))


def test_an_empty_sequential_changes_nothing():
    around = Sequential(Sequential(), Flatten(), Dense(3), Sequential(name="none"), RELU, Dense(1))
    for found, expected in zip(
        infinite_width_kernels(around, X),
        infinite_width_kernels(Sequential(Flatten(), Dense(3), RELU, Dense(1)), X),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-13)  # other programs round differently


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (lambda: Dense(0), "features=0 must be a whole number"),
        (lambda: Dense(2, sigma_w2=-1.0), "sigma_w2=-1.0 must be a finite number"),
        (lambda: Dense(2, parameterization="mup"), "no kernel at infinite width, which moves"),
        (lambda: Dense(2, parameterization="lazy"), "unknown parameterization 'lazy'"),
        (lambda: Conv(2, padding="same"), "use one of: SAME, VALID, CIRCULAR"),
        (lambda: Conv(2, strides=(2,)), "one size and one stride >= 1 for each axis"),
        (lambda: Dropout(1.0), r"rate=1.0 is the share that is dropped"),
        (lambda: Activation("tanhh"), "unknown activation 'tanhh'"),
    ],
)
def test_a_layer_that_cannot_be_says_so_where_it_is_written(wrong, line):
    with pytest.raises(UserError, match=line):
        wrong()


@pytest.mark.parametrize(
    ("thing", "line"),
    [
        ([Dense(1)], r"a list, .* Residual\(\*layers\)"),
        ((RELU for _ in range(2)), r"a generator, .* Residual\(\*layers\)"),
        ("relu", r"write Activation\('relu'\)"),
        (jnp.tanh, r"ntkrun\.Activation\('name', phi\)"),
        (Dense, r"write Dense\(\.\.\.\)"),
        (nn.Dense(1), "something of type Dense, no layer of ntkrun.networks"),
    ],
)
def test_what_is_no_layer_says_what_to_write(thing, line):
    """The calls themselves check annotations, in tests alone."""
    told = not_a_layer(thing, "Residual")
    assert re.search(line, told) and "\n" not in told


def test_inputs_of_two_shapes_have_no_kernel():
    with pytest.raises(UserError, match=r"of one shape, not \(9, 4, 3, 2\) and \(9, 24\)"):
        ntkrun.infinite_width_kernels(FLAT, X, X.reshape(9, -1))


def test_a_description_is_equal_to_its_copy_and_hashable():
    def network() -> Layer:
        return Sequential(Conv(4, size=[3, 3]), RELU, Residual(Conv(4)), Flatten(), Dense(1), name="net")

    assert network() == network() and hash(network()) == hash(network())


OF_WRONG_TYPES = """
from ntkrun.errors import UserError
from ntkrun.networks import AveragePool, Conv, Dropout, Sequential

given = (lambda: Conv(2, size=3), lambda: Conv(2, strides=2), lambda: AveragePool(2), lambda: Dropout("a"))
for made in (*given, lambda: Sequential([Conv(2)])):
    try:
        made()
    except UserError as error:
        print(error)
"""


@pytest.mark.end_to_end
def test_what_is_of_a_wrong_type_is_one_line_where_no_annotation_is_checked():
    """The annotations are checked in tests alone."""
    done = subprocess.run([sys.executable, "-c", OF_WRONG_TYPES], capture_output=True, text=True, check=True)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        *("Conv", "Conv", "AveragePool", "Dropout", "Sequential")
    ]
