"""What the terminal says of the claims."""

from ntkrun.experiments.claims import Verdict
from ntkrun.report.judge import claims_table


def verdict(claim: str, kind, combination: str = "", fitted_to=()) -> Verdict:
    told = ("fig3", "s", "theory", "0", 0.0, 1.0, 2.0, kind, "w", f"{claim} falls.", "known", combination, fitted_to)
    return Verdict(claim, *told)


def test_the_sentence_of_a_claim_stands_once_and_the_verdicts_of_its_combinations_below_it():
    swept = ("phi = relu", "phi = tanh")
    lines = claims_table([verdict(name, "pass", one) for one in swept for name in ("fig3.x", "fig3.y")]).splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == ["fig3.x", "", "", ""]
    assert [line.strip() for line in lines if line.endswith("falls.")] == ["fig3.x falls.", "fig3.y falls."]
    below = lines[lines.index("fig3.x") + 2 :][:2]
    assert [line.split("]")[0].strip() for line in below] == [f"[{one}" for one in swept]
    assert len({line.index("pass") for line in below}) == 1


def test_a_single_verdict_stands_above_its_sentence_and_names_its_combination():
    line, sentence, *_ = claims_table([verdict("fig3.x", "pass", "phi = relu")]).splitlines()[1:]
    assert line.startswith("fig3.x [phi = relu]  pass") and sentence == "    fig3.x falls."


def test_fitted_claims_are_marked_named_and_counted_apart():
    curves = ["fig3/loss/train_network"]
    kinds = [
        ("fig3.a", "pass", ()),
        ("fig3.b", "pass", curves),
        ("fig3.c", "fail", curves),
        ("fig3.d", "not_judged", curves),
    ]
    text = claims_table([verdict(name, kind, fitted_to=fitted) for name, kind, fitted in kinds])
    marked = [line.split()[0] for line in text.splitlines() if ", fitted" in line and line.startswith("fig3.")]
    assert marked == ["fig3.b", "fig3.c"]
    assert text.splitlines()[-1] == "judged 1, fitted 2, failed 1, not judged 1"
    assert "docs/origins.md): fig3.b, fig3.c" in text
