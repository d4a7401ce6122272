"""Kernels of composed networks against the authors' library (tests/golden/README.md)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntkrun.networks import (
    Activation,
    AveragePool,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    Residual,
    Sequential,
)
from ntkrun.networks.infinite_width import infinite_width_kernels

AFFINE: dict[str, Any] = dict(sigma_w2=1.2, sigma_b2=0.2)
CONV: dict[str, Any] = dict(sigma_w2=1.5, sigma_b2=0.1)
HEADS = {"flatten": Flatten(), "gap": GlobalAveragePool()}
WORDS = {
    "leaky_relu": "leaky_relu:0.1",
    "rbf": "rbf:1.5",
    "rect_mono2": "rectified_monomial:2",
    "mono2": "monomial:2",
    "poly": "polynomial:0.2:0.7:0.3",
    "erf_abc": "erf:1.3:0.6:0.2",
    "tanh_num": "tanh",
    "softplus_num": "softplus",
    "swish_num": "swish",
}


@pytest.fixture(scope="module")
def values(golden):
    with np.load(golden / "nt_cases.npz") as found:
        return dict(found)


def cases(golden, kind: str) -> list[dict[str, Any]]:
    with np.load(golden / "nt_cases.npz") as found:
        return [case for case in json.loads(str(found["__meta__"])) if case["kind"] == kind]


def fully_connected(case: dict[str, Any]) -> Sequential:
    affine = dict(sigma_w2=case["sigma_w2"], sigma_b2=case["sigma_b2"], parameterization=case["param"])
    hidden = [(Dense(case["width"], **affine), Activation(phi_of(case))) for _ in range(case["depth"])]
    return Sequential(*sum(hidden, ()), Dense(1, **affine))


def convolutional(case: dict[str, Any], **conv: Any) -> Sequential:
    affine = dict(sigma_w2=case.get("sigma_w2", 1.5), sigma_b2=case.get("sigma_b2", 0.1))
    phi = Activation(phi_of(case) if "act" in case else "relu")
    hidden = [(Conv(1, **affine, **conv), phi) for _ in range(case.get("depth", 2))]
    return Sequential(*sum(hidden, ()), HEADS[case.get("head", "flatten")], Dense(1, **affine))


def wide_resnet() -> Sequential:
    def conv(stride: int = 1) -> Conv:
        return Conv(1, 1.5, strides=(stride, stride))

    def block(stride: int) -> Residual:
        relu = Activation("relu")
        return Residual(relu, conv(stride), relu, conv(), shortcut=conv(stride))

    return Sequential(conv(), block(1), block(2), block(2), AveragePool((2, 2)), Flatten(), Dense(1))


def phi_of(case: dict[str, Any]) -> str:
    name: str = case["act"]
    return WORDS.get(name, name)


def network_of(case: dict[str, Any]) -> Sequential:
    relu, erf = Activation("relu"), Activation("erf")
    others = {
        "fc_relu_L2_unequal_w": lambda: Sequential(
            Dense(1, 1.0, 0.1), relu, Dense(1, 1.5, 0.1), relu, Dense(1, 2.0, 0.1)
        ),
        "fc_layernorm": lambda: Sequential(
            Dense(1, **AFFINE), LayerNorm(), relu, Dense(1, **AFFINE), LayerNorm(), erf, Dense(1, **AFFINE)
        ),
        "fc_dropout": lambda: Sequential(Dense(1, **AFFINE), relu, Dropout(0.2), Dense(1, **AFFINE)),
        "cnn_relu_L2_valid_flatten": lambda: convolutional(case, padding="VALID"),
        "cnn_relu_L2_stride2_gap": lambda: convolutional(case, strides=(2, 2)),
        "wrn_readme_N1": wide_resnet,
    }
    if case["name"] in others:
        return others[case["name"]]()
    return fully_connected(case) if case["family"] == "fc" else convolutional(case)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize(
            "case", cases(Path(__file__).parent.parent / "golden", "kernel"), ids=lambda case: case["name"]
        )


def test_kernels(values, case):
    name, network = case["name"], network_of(case)
    for pair, rows, columns in (("11", "x1", None), ("21", "x2", "x1"), ("22", "x2", None)):
        x1, x2 = values[f"{name}/{rows}"], values[f"{name}/{columns}"] if columns else None
        found = infinite_width_kernels(network, x1, x2)
        for kernel, ours in found._asdict().items():
            expected = values[f"{name}/{kernel}_{pair}"]
            rtol = tolerance(case, kernel, parallel(x1, x1 if x2 is None else x2))
            known = ~np.isnan(expected)
            np.testing.assert_array_less(np.abs(ours / expected - 1)[known], rtol[known])


def parallel(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    flat = [x.reshape(len(x), -1) / np.linalg.norm(x.reshape(len(x), -1), axis=1, keepdims=True) for x in (x1, x2)]
    return np.abs(flat[0] @ flat[1].T) > 1 - 1e-12


def tolerance(case: dict[str, Any], kernel: str, parallel: np.ndarray) -> np.ndarray:
    """1e-9, but for the digits in which the library is wrong: derivatives of ReLU-like phi at parallel inputs, and tanh by 151
    nodes, whose error at a variance of 6.6 is 8e-6 in K and 3e-4 in Theta (by adaptive quadrature)."""
    if case.get("act") == "tanh_num":
        return np.full(parallel.shape, {"nngp": 1e-5, "ntk": 4e-4}[kernel])
    return np.where(parallel & (kernel == "ntk"), 3e-8, 1e-9)
