"""What is said about failing claims is about claims that are there, and about notes that are there."""

import re

from ntkrun.experiments.claims import ALL_SCALES, STANDS_FOR, Verdict
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.report.causes import UNKNOWN, cause_of, causes
from ntkrun.report.judge import claims_table


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
    def verdict(claim: str, kind) -> Verdict:
        return Verdict(claim, "figs6", "s", "theory", "0", 0.0, 1.0, 2.0, kind, "w")

    failing, passing = "figs6.relu1_ntk_mean_t1", "figs6.relu1_ntk_mean_t256"
    lines = claims_table([verdict(failing, "fail"), verdict("figs6.x", "fail"), verdict(passing, "pass")], "cpu")
    flat = " ".join(lines.split())
    assert f"{failing} fails: {cause_of('cpu', failing)}" in flat and f"figs6.x fails: {UNKNOWN}" in flat
    assert f"{passing} fails" not in flat and max(map(len, lines.splitlines())) <= 120
    assert cause_of("smoke", failing) == UNKNOWN
