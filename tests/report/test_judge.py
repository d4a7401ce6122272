"""What the terminal says of the claims."""

from dataclasses import replace
from typing import Any

import pandas as pd

from ntkrun.experiments.claims import Claim, Verdict
from ntkrun.experiments.figures import load_experiment
from ntkrun.report.judge import claims_table, judge_all


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


def test_claims_that_are_not_judged_in_any_combination_are_named_once():
    swept = ("phi = relu", "phi = tanh")
    found = [verdict("fig3.x", "not_judged", one) for one in swept]
    found += [verdict("fig3.y", kind, one) for kind, one in zip(("pass", "not_judged"), swept, strict=True)]
    (line,) = (line for line in claims_table(found).splitlines() if line.startswith("not judged"))
    assert line.endswith(": fig3.x, fig3.y [phi = tanh]")


def test_what_one_part_sweeps_makes_no_combinations_of_the_claims_about_another():
    def claim(name: str, *parts: str) -> Claim:
        measure: dict[str, Any] = {"measure": lambda table: float(len(table)), "band": (0.0, 9.0), "kind": "theory"}
        words = dict.fromkeys(("sentence", "source", "expected", "why"), "w")
        return Claim(id=name, parts=parts, **measure, **words)

    columns = {"part": ["up", "up", "down"], "data.classes": ["a", "b", "null"], "width": 8, "cell": ["1", "2", "3"]}
    experiment = replace(load_experiment("figs6"), claims=(claim("x.up", "up"), claim("x.down", "down")), shown=())
    found = judge_all(experiment, pd.DataFrame(columns), scale="cpu", stand_in=False, changed={})
    told = [(one.id, one.combination, one.measured) for one in found]
    assert told == [("x.up", "data.classes = a", 1.0), ("x.up", "data.classes = b", 1.0), ("x.down", "", 1.0)]


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
