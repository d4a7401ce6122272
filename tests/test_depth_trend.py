"""The factorial experiment on Figure S5: its design tells settings apart, and an effect that is put in is found."""

import importlib

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def script(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "scripts")
    return importlib.import_module("depth_trend")


def test_no_setting_is_mixed_up_with_another_or_with_a_pair(script):
    levels = script.design()
    assert len(np.unique(levels, axis=0)) == 16 and levels.shape[1] == len(script.FACTORS)
    np.testing.assert_array_equal(levels.T @ levels, 16 * np.eye(levels.shape[1]))
    assert not (script.pairs(levels).T @ levels).any()


def test_an_effect_is_found_and_its_error_is_that_of_pairs(script):
    levels = script.design()
    r = pd.DataFrame({"end": 0.5 + 0.35 * levels[:, 4] + 0.1 * levels[:, 0] * levels[:, 1]})
    found = script.effects(levels, r)["end"]
    assert found["mean"] == pytest.approx(0.5) and found["nonlinearity"] == pytest.approx(0.7)
    assert found.drop(["mean", "least of 16", "nonlinearity", "standard error"]).abs().max() < 1e-12
    assert found["standard error"] == pytest.approx(0.2 / np.sqrt(7))  # one of the seven effects of pairs is .2
