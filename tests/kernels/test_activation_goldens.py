"""Fully connected networks of every nonlinearity that the authors' library had: tests/golden/README.md."""

import json
from typing import Any

import numpy as np
import pytest

from ntkrun.kernels.analytic import analytic_kernels

# a case of the file -> its word here
CASES = {
    "fc_gelu_L1_w1.2_b0.2": "gelu",
    "fc_leaky_relu_L3_w1.2_b0.2": "leaky_relu:0.1",
    "fc_abs_L3_w1.2_b0.2": "abs",
    "fc_sin_L1_w1.2_b0.2": "sin",
    "fc_sin_L3_w1.2_b0.2": "sin",
    "fc_cos_L3_w1.2_b0.2": "cos",
    "fc_rbf_L1_w1.2_b0.2": "rbf:1.5",
    "fc_gaussian_L2_w1.2_b0.2": "gaussian",
    "fc_sigmoid_like_L3_w1.2_b0.2": "sigmoid_like",
    "fc_rect_mono2_L1_w1.2_b0.2": "rectified_monomial:2",
    "fc_mono2_L1_w1.2_b0.2": "monomial:2",
    "fc_poly_L2_w1.2_b0.2": "polynomial:0.2:0.7:0.3",
    "fc_identity_L3_w1.2_b0.2": "identity",
    "fc_erf_abc_L2_w1.2_b0.2": "erf:1.3:0.6:0.2",
    "fc_softplus_num_L2_w1.2_b0.2": "softplus",
    "fc_swish_num_L2_w1.2_b0.2": "swish",
}
WITHIN = {"softplus": 1e-10, "swish": 2e-9}  # of the file's own quadrature; the closed forms agree to rounding


@pytest.mark.parametrize("case", CASES)
def test_kernels_are_those_of_the_authors_library(golden, case):
    values = np.load(golden / "nt_cases.npz")
    (meta,) = (one for one in json.loads(str(values["__meta__"])) if one["name"] == case)
    net: dict[str, Any] = dict(
        depth=meta["depth"], sigma_w2=meta["sigma_w2"], sigma_b2=meta["sigma_b2"], activation=CASES[case]
    )
    x1, x2 = values[f"{case}/x1"], values[f"{case}/x2"]
    for pair, inputs in {"11": (x1, None), "21": (x2, x1), "22": (x2, None)}.items():
        for kind, found in analytic_kernels(*inputs, **net)._asdict().items():
            expected = values[f"{case}/{kind}_{pair}"]
            there = np.isfinite(expected)  # it has nan on opposite pairs of one case
            assert there.mean() > 0.7
            largest = np.abs(expected[there]).max(initial=0)
            np.testing.assert_allclose(found[there], expected[there], atol=WITHIN.get(CASES[case], 1e-13) * largest)
