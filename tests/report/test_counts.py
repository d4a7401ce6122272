"""Claims are counted by their verdicts, those that a setting was fitted to apart."""

from ntkrun.report.counts import Counts

RECORDS = [
    {"verdict": "pass", "fitted_to": []},
    {"verdict": "pass"},  # of an earlier version
    {"verdict": "fail", "fitted_to": []},
    {"verdict": "pass", "fitted_to": ["fig3/loss/train_network"]},
    {"verdict": "fail", "fitted_to": ["fig3/loss/train_network"]},
    {"verdict": "not_judged", "fitted_to": ["fig3/loss/train_network"]},
]


def test_fitted_claims_are_counted_apart_and_their_failures_with_all():
    counts = Counts.of(RECORDS)
    assert (counts.passed, counts.failed, counts.fitted_passed, counts.fitted_failed) == (2, 1, 1, 1)
    assert str(counts) == "judged 3, fitted 2, failed 2, not judged 1"


def test_counts_add_up_and_none_is_false():
    assert Counts.of(RECORDS[:3]) + Counts.of(RECORDS[3:]) == Counts.of(RECORDS)
    assert not Counts() and Counts.of([{"verdict": "not_judged"}])
