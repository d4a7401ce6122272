import math
from typing import Any

import pandas as pd
import pytest

from ntkrun.experiments.claims import ALL_SCALES, Claim, judge
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.tables import empty


def claim(value: float, **changes) -> Claim:
    fields: dict[str, Any] = dict(
        id="x.y",
        source="s",
        kind="theory",
        measure=lambda table: value,
        expected="1",
        band=(0.0, 1.0),
        scales=("cpu",),
        why="w",
    )
    return Claim(**(fields | changes))


TABLE = pd.DataFrame({"value": [1.0]})


@pytest.mark.parametrize(("value", "verdict"), [(0.5, "pass"), (1.0, "pass"), (1.01, "fail"), (-0.1, "fail")])
def test_band_is_inclusive(value, verdict):
    assert judge(claim(value), "x", TABLE, scale="cpu", stand_in=False).verdict == verdict


def test_what_could_not_be_measured_fails():
    found = judge(claim(math.nan), "x", TABLE, scale="cpu", stand_in=False)
    assert found.verdict == "fail" and found.measured is None


def test_what_could_not_be_measured_because_cells_are_missing_is_not_judged():
    found = judge(claim(math.nan), "x", TABLE, scale="cpu", stand_in=False, incomplete=True)
    assert found.verdict == "not_judged" and found.measured is None
    measured = judge(claim(5.0), "x", TABLE, scale="cpu", stand_in=False, incomplete=True)
    assert measured.verdict == "fail", "what can be measured is judged"


def test_other_scale_and_stand_in_are_not_judged_but_measured():
    found = judge(claim(5.0), "x", TABLE, scale="smoke", stand_in=False)
    assert (found.verdict, found.measured) == ("not_judged", 5.0)
    assert judge(claim(5.0), "x", TABLE, scale="cpu", stand_in=True).verdict == "not_judged"
    assert judge(claim(0.5, real_data=False), "x", TABLE, scale="cpu", stand_in=True).verdict == "pass"


def test_an_empty_table_is_not_judged():
    assert judge(claim(0.5), "x", empty(), scale="cpu", stand_in=False).verdict == "not_judged"


@pytest.mark.parametrize("name", experiment_names())
def test_registered_claims_are_well_formed(name):
    claims = load_experiment(name).claims
    assert claims, "a figure without a claim shows nothing"
    assert len({c.id for c in claims}) == len(claims)
    for c in claims:
        assert c.id.startswith(f"{name}."), c.id
        low, high = c.band
        assert low < high or low == high == 1.0, c.id
        assert math.isfinite(low) and math.isfinite(high), f"{c.id} cannot fail on one side"
        assert set(c.scales) <= set(ALL_SCALES) and c.scales
        assert len(c.why) > 10 and c.source and c.expected


def test_scale_gpu_is_judged_as_the_papers_size():
    at_paper = claim(0.5).__class__(**{**vars(claim(0.5)), "scales": ("cpu", "paper")})
    assert judge(at_paper, "x", TABLE, scale="gpu", stand_in=False).verdict == "pass"
    assert judge(claim(0.5), "x", TABLE, scale="gpu", stand_in=False).verdict == "not_judged", "it is about scale=cpu"
