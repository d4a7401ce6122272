# FIELDS is a dict of mixed values, which pyright cannot follow through **
# pyright: reportArgumentType=false, reportCallIssue=false
"""The recursion (S24)-(S29) against the authors' library, by its invariants, and at treacherous inputs."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from ntkrun import networks
from ntkrun.errors import UserError
from ntkrun.kernels.analytic import Kernels, analytic_kernels
from ntkrun.kernels.psd import check_psd
from ntkrun.networks.infinite_width import infinite_width_kernels

FIELDS: dict[str, Any] = dict(depth=3, activation="relu", sigma_w2=2.0, sigma_b2=0.1)
NAMES = ["relu", "erf", "tanh"]  # two closed forms and a quadrature; tests/kernels/test_dual_activations.py has all


def images(n: int = 20, d: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize(("pair", "rows", "columns"), [("tt", "x1", None), ("st", "x2", "x1"), ("ss", "x2", None)])
def test_golden(golden, case, pair, rows, columns):
    values = np.load(golden / "analytic_kernels.npz")
    depth, activation, sigma_w2, sigma_b2 = values[f"{case}_case"]
    x1, x2 = values[rows], values[columns or rows]
    kernels = analytic_kernels(
        x1,
        values[columns] if columns else None,
        depth=int(depth),
        activation=str(activation),
        sigma_w2=float(sigma_w2),
        sigma_b2=float(sigma_b2),
    )
    # Tdot at equal inputs is where the oracle is wrong in the 9th digit: arccos of a correlation that misses 1 by an
    # eps. Ours is checked there by test_relu_at_equal_inputs.
    cosine = x1 @ x2.T / np.sqrt(np.outer((x1**2).sum(1), (x2**2).sum(1)))
    parallel = np.abs(cosine) > 1 - 1e-12
    # x2[2] = 3 x1[2] has p = 13, where the oracle's Gauss-Hermite rule of degree 200 has not converged for tanh (errors
    # of 2e-5 in K, 2e-3 in Theta); test_tanh_at_large_variance compares with adaptive quadrature.
    unconverged = (np.sum(x1**2, axis=1) > 100)[:, None] | (np.sum(x2**2, axis=1) > 100)[None, :]
    rtol = 1e-6 if activation == "tanh" else 1e-10
    keep = ~unconverged if activation == "tanh" else np.ones_like(parallel)
    np.testing.assert_allclose(kernels.nngp[keep], values[f"{case}_{pair}_nngp"][keep], rtol=rtol)
    ntk = values[f"{case}_{pair}_ntk"]
    np.testing.assert_allclose(kernels.ntk[keep & ~parallel], ntk[keep & ~parallel], rtol=rtol)
    np.testing.assert_allclose(kernels.ntk[keep & parallel], ntk[keep & parallel], rtol=max(rtol, 2e-8))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_relu_at_equal_inputs(dtype):
    """T(p, p, p) = p/2 and Tdot = 1/2: with sigma_w2 = 2, sigma_b2 = 0, K^l stays K^1 and Theta^{L+1} = (L + 1) K^1."""
    x = images(d=3072).astype(dtype)
    kernels = analytic_kernels(x, **(FIELDS | {"sigma_b2": 0.0, "dtype": dtype}))
    k1 = 2 * np.einsum("nd,nd->n", x.astype(float), x) / 3072
    rtol = 50 * np.finfo(dtype).eps  # a sum of 3072 products and some ten roundings
    np.testing.assert_allclose(np.diag(kernels.nngp), k1, rtol=rtol)
    np.testing.assert_allclose(np.diag(kernels.ntk), 4 * k1, rtol=rtol)


def test_relu_at_parallel_opposite_and_zero_inputs():
    x = images(n=1)
    others = np.concatenate([3 * x, -x, 0 * x])
    kernels = analytic_kernels(x, others, **(FIELDS | {"sigma_b2": 0.0, "depth": 1}))
    k1 = 2 * np.sum(x**2) / 30
    np.testing.assert_allclose(kernels.nngp, [[3 * k1, 0, 0]], rtol=1e-14)
    np.testing.assert_allclose(kernels.ntk, [[6 * k1, 0, 0]], rtol=1e-14)
    with_zero = analytic_kernels(np.concatenate([x, 0 * x]), **(FIELDS | {"sigma_b2": 0.0}))
    np.testing.assert_array_equal(with_zero.ntk[1], 0)


def test_tanh_at_large_variance():
    """The diagonal by adaptive one-dimensional quadrature."""
    x = np.full((1, 30), np.sqrt(13 / 1.5))
    kernels = analytic_kernels(x, **(FIELDS | {"activation": "tanh", "sigma_w2": 1.5, "sigma_b2": 0.0}))

    def expectation(g, p):
        return quad(
            lambda z: 2 * g(np.tanh(np.sqrt(p) * z)) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), 0, 20, epsabs=1e-13
        )[0]

    k = theta = 13.0
    for _ in range(3):
        slope = expectation(lambda t: (1 - t**2) ** 2, k)
        k = 1.5 * expectation(lambda t: t**2, k)
        theta = k + 1.5 * theta * slope
    np.testing.assert_allclose([kernels.nngp[0, 0], kernels.ntk[0, 0]], [k, theta], rtol=1e-9)


@pytest.mark.parametrize("activation", NAMES)
def test_symmetric_half_equals_the_general_route_for_any_tiles(activation):
    x = images(n=150)
    fields = FIELDS | {"activation": activation}
    half = analytic_kernels(x, **fields)
    for other in (
        analytic_kernels(x, x, **fields),
        analytic_kernels(x, **fields, tile_bytes=1),
        analytic_kernels(x, x.copy(), **fields, tile_bytes=4 * 8 * 128**2),
    ):
        for a, b in zip(half, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)  # the products are summed in another order
    np.testing.assert_array_equal(half.ntk, half.ntk.T)


@pytest.mark.parametrize("activation", NAMES)
def test_positive_semi_definite_and_equivariant(activation):
    x = images()
    x[7] = x[3]
    kernels = analytic_kernels(x, **(FIELDS | {"activation": activation}))
    order = np.random.default_rng(1).permutation(len(x))
    permuted = analytic_kernels(x[order], **(FIELDS | {"activation": activation}))
    for name, kernel, other in zip(kernels._fields, kernels, permuted, strict=True):
        check_psd(kernel, name)
        np.testing.assert_allclose(other, kernel[np.ix_(order, order)], rtol=1e-12)


@pytest.mark.parametrize("activation", NAMES)
def test_float32_and_image_shapes(activation):
    x = images(d=48)
    double = analytic_kernels(x, **(FIELDS | {"activation": activation}))
    single = analytic_kernels(
        x.reshape(20, 4, 4, 3).astype(np.float32), **(FIELDS | {"activation": activation}), dtype=np.float32
    )
    for a, b in zip(single, double, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=3e-6 * b.max())


@pytest.mark.parametrize("sigma_b2", [0.0, 0.1])
def test_standard_parameterization_reweights_the_terms_of_s42(sigma_b2):
    """Theta is linear in its three kinds of terms; two widths and the limit fix how each is weighted."""
    x = images()
    fields = FIELDS | {"sigma_b2": sigma_b2, "parameterization": "standard"}
    limit, at_100, at_200 = (analytic_kernels(x, **fields, width=width).ntk for width in (None, 100, 200))
    np.testing.assert_allclose(at_100 - limit, 2 * (at_200 - limit), rtol=1e-9)
    assert np.all(np.diag(at_100) > np.diag(limit))
    ntk = analytic_kernels(x, **(FIELDS | {"sigma_b2": sigma_b2}))
    np.testing.assert_array_equal(ntk.nngp, analytic_kernels(x, **fields).nngp)
    # One layer by hand: Theta^2 = T(K^1) + 1/n + sigma_w2 Tdot(K^1) (x.x'/n + 1/n), the 1/n of the biases only if there
    # are any.
    one = analytic_kernels(x, **(fields | {"depth": 1}), width=100).ntk
    base = analytic_kernels(x, **(FIELDS | {"sigma_b2": sigma_b2, "depth": 1}))
    k1 = 2 * x @ x.T / 30 + sigma_b2
    slope = (base.ntk - base.nngp) / k1
    bias = 0.01 if sigma_b2 else 0.0
    expected = (base.nngp - sigma_b2) / 2 + bias + slope * (x @ x.T / 100 + bias)
    np.testing.assert_allclose(one, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("x2", "changes", "message"),
    [
        (None, {"depth": 0}, "whole number from 1 on"),
        (None, {"activation": "sine"}, "unknown activation"),
        (None, {"parameterization": "mup"}, "choose ntk or standard"),
        (np.ones((2, 3)), {}, "30 and of 3 dimensions"),
    ],
)
def test_refusals(x2, changes, message):
    with pytest.raises(UserError, match=message):
        analytic_kernels(images(), x2, **(FIELDS | changes))


def erf_diagonal(x: np.ndarray, depth: int, sigma_w2: float, sigma_b2: float) -> tuple[np.ndarray, np.ndarray]:
    """(K(x, x), Theta(x, x)), where everything is one-dimensional: E[erf'^2] = 4/pi / sqrt(1 + 4p)."""
    p = sigma_w2 * np.mean(x**2, axis=1) + sigma_b2
    theta = p.copy()
    for _ in range(depth):
        slope = 4 / np.pi / np.sqrt(1 + 4 * p)
        p = sigma_w2 * 2 / np.pi * np.arcsin(2 * p / (1 + 2 * p)) + sigma_b2
        theta = p + sigma_w2 * theta * slope
    return p, theta


@pytest.mark.parametrize(
    ("sigma_w2", "sigma_b2", "depth", "size", "dtype", "within"),
    [
        (4.0, 0.05, 100, 1.0, np.float64, 1e-12),
        (2.0, 0.0, 200, 1.0, np.float64, 1e-12),
        (100.0, 0.1, 10, 1.0, np.float64, 1e-12),
        (2.25, 0.0025, 50, 1.0, np.float32, 5e-5),  # 50 layers of float32's 1e-7
        (1.5, 0.1, 1, 1e6, np.float64, 1e-7),  # what asin(1 - 1e-13) of the oracle keeps
    ],
)
def test_erf_of_an_input_with_itself_keeps_its_digits(sigma_w2, sigma_b2, depth, size, dtype, within):
    """Equal inputs at other places, too: a row that is there twice, and a second set."""
    x = size * np.random.default_rng(1).standard_normal((3, 6))
    net: Any = dict(depth=depth, activation="erf", sigma_w2=sigma_w2, sigma_b2=sigma_b2, dtype=dtype)
    p, theta = erf_diagonal(x, depth, sigma_w2, sigma_b2)
    twice = analytic_kernels(np.concatenate([x, x]), **net)
    for found in (
        analytic_kernels(x, **net),
        analytic_kernels(x, x, **net),
        Kernels(twice.nngp[3:, :3], twice.ntk[3:, :3]),
    ):
        np.testing.assert_allclose(np.diag(found.nngp), p, rtol=within)
        np.testing.assert_allclose(np.diag(found.ntk), theta, rtol=within)


def test_no_inputs_have_an_empty_kernel():
    x, layers = np.ones((3, 4)), (networks.Dense(1), networks.Activation("relu"), networks.Dense(1))
    for given, shape in (((x[:0],), (0, 0)), ((x, x[:0]), (3, 0)), ((x[:0], x), (0, 3))):
        for kernels in (
            analytic_kernels(*given, depth=2, activation="relu", sigma_w2=1.0, sigma_b2=0.1),
            infinite_width_kernels(networks.Sequential(*layers), *given),
        ):
            assert kernels.nngp.shape == kernels.ntk.shape == shape
