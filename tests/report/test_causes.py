"""What is said about failing claims is about claims that are there, and about notes that are there."""

import re
from dataclasses import replace

import pandas as pd

from ntkrun.experiments.claims import ALL_SCALES, STANDS_FOR, Verdict
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.report.causes import UNKNOWN, cause_of, causes
from ntkrun.report.judge import claims_table, judge_all


def test_every_cause_is_of_a_claim_and_says_where_it_stands(root):
    judged = {claim.id: claim.scales for name in experiment_names() for claim in load_experiment(name).claims}
    assert set(causes()) <= {*ALL_SCALES, *STANDS_FOR}
    for scale, named in causes().items():
        for claim, text in named.items():
            assert STANDS_FOR.get(scale, scale) in judged[claim], f"{claim} is not judged at {scale}"
            places = re.findall(r"(?:docs|configs)/[\w/]+\.\w+", text)
            assert places and all((root / place).is_file() for place in places), claim
            assert "\n" not in text and text.endswith(".")


def test_a_failing_claim_is_listed_with_its_cause():
    def verdict(claim: str, kind, reason: str = "") -> Verdict:
        return Verdict(claim, "figs6", "s", "theory", "0", 0.0, 1.0, 2.0, kind, "w", "It falls.", reason)

    failing, passing = "figs6.relu1_ntk_mean_t1", "figs6.relu1_ntk_mean_t256"
    cause = cause_of("cpu", failing, {})
    lines = claims_table(
        [
            verdict(failing, "fail", cause),
            verdict("figs6.x", "fail", UNKNOWN),
            verdict(passing, "pass"),
            verdict("figs6.y", "not_judged", "stand-in images"),
            verdict("figs6.z", "not_judged", "stand-in images"),
        ]
    )
    flat = " ".join(lines.split())
    assert f"{failing} fails: {cause}" in flat and f"figs6.x fails: {UNKNOWN}" in flat
    assert f"{passing} fails" not in flat and max(map(len, lines.splitlines())) <= 120
    assert "not judged (stand-in images): figs6.y, figs6.z" in flat
    assert lines.count("It falls.") == 5
    assert cause_of("smoke", failing, {}) == UNKNOWN


def test_a_cause_is_that_of_the_shipped_run_alone():
    for scale, named in causes().items():
        for claim, text in named.items():
            assert cause_of(scale, claim, {}) == text
            told = cause_of(scale, claim, {"model.width": (32, 4)})
            assert text not in told and "model.width changed" in told


def test_a_failure_of_changed_settings_is_not_explained_by_the_shipped_ones():
    figs2 = load_experiment("figs2")
    failing = replace(figs2.claims[0], id="figs2.test_accuracy_end", measure=lambda table: 9.0)
    table, known = pd.DataFrame({"value": [1.0], "width": [32]}), causes()["cpu"][failing.id]
    for changed, kind in (({}, "fail"), ({"model.width": (32, 4)}, "fail"), ({"data.classes": (1, 2)}, "not_judged")):
        found = judge_all(replace(figs2, claims=(failing,)), table, scale="cpu", stand_in=False, changed=changed)
        assert found[0].verdict == kind and (found[0].reason == known) == (not changed)
