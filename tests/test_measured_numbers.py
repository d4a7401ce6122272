"""The measured numbers in README.md and docs/ are those of results/reference: scripts/measured_numbers.py."""

import importlib
import json
import math

import pytest


@pytest.fixture
def script(monkeypatch, root):
    monkeypatch.syspath_prepend(root / "scripts")
    return importlib.import_module("measured_numbers")


def test_no_measured_number_is_stale(script):
    stale, marked = [], 0
    for page in script.pages():
        text = page.read_text()
        marked += len(script.MARKED.findall(text)) + len(script.ROW.findall(text))
        stale += [f"{page.name}: {change}" for change in script.changes(text, script.renewed(text))]
    assert not stale, "make numbers"
    assert marked > 200


@pytest.mark.parametrize(
    ("number", "like", "told"),
    [
        (0.17658, ".999", ".177"),
        (0.17658, "0.99", "0.18"),
        (-0.4785, "-.99", "-.48"),
        (-0.0004, ".05", ".00"),
        (25600.4, "1,024", "25,600"),
        (25600.4, "1024", "25600"),
        (2.4548e-07, "9e-8", "2e-7"),
        (2.4548e-07, "9.9e-8", "2.5e-7"),
        (1.0, ".999", "1.000"),
    ],
)
def test_a_number_keeps_the_digits_that_it_is_written_with(script, number, like, told):
    assert script.written(number, like) == told


def test_a_number_is_what_its_marker_names(script, root):
    records = json.loads((root / "results/reference/cpu/fig3/claims.json").read_text())
    measured = {one["id"]: one["measured"] for one in records}
    loss, end = measured["fig3.test_loss_end"], measured["fig3.rmse_end_analytic"]
    line = "loss **.1**<!-- = cpu fig3.test_loss_end -->, 9 %<!-- = % cpu fig3.test_loss_end -->, "
    line += "9.9<!-- = -log2 cpu fig3.rmse_end_analytic / cpu fig3.test_loss_end -->"
    told = [f"{loss:.1f}", f"{100 * loss:.0f}", f"{math.log2(loss / end):.1f}"]
    told = [one.removeprefix("0") for one in told]
    new = script.renewed(line)
    assert [found["number"] for found in script.MARKED.finditer(new)] == told
    assert script.changes(line, new) and script.renewed(new) == new


def test_rows_below_a_table_follow_its_columns(script):
    table = (
        "| | n = 32 | n = 4,096 | slope |\n|---|---|---|---|\n| ours | 9.999 | .9999 | -.75 |\n| other | 1 | 2 | 3 |\n"
    )
    told = "<!-- row ours: paper figs5 rmse/linear test end part=L1 width={} -->\n"
    new = script.renewed(table + told)
    at = [script.value(f"paper figs5 rmse/linear test end part=L1 width={width}") for width in (32, 4096)]
    assert f"| ours | {at[0]:.3f} | {at[1]:.4f} | -.75 |".replace(" 0.", " .") in new
    assert "| other | 1 | 2 | 3 |" in new and new.endswith(told)


@pytest.mark.parametrize(
    "text",
    [
        "a word<!-- = cpu fig3.test_loss_end -->",
        "1<!-- = cpu fig3.no_claim -->",
        "1<!-- = gpu fig3.test_loss_end -->",
        "1<!-- = cpu fig3 odd -->",
        "1<!-- = cpu fig3 distance loss/no_curve -->",
        "1<!-- = paper fig3 loss/network train 1e6 -->",
        "1<!-- = paper fig3 loss/network train end depth=5 -->",
        "1<!-- = curves fig3/loss/no_curve end -->",
        "<!-- row ours: cpu fig3.test_loss_end -->\n",
        "| | 1 |\n|---|---|\n| mine | 1 |\n<!-- row ours: cpu fig3.test_loss_end -->\n",
    ],
)
def test_a_marker_that_names_no_number_is_an_error(script, text):
    with pytest.raises(
        ValueError, match=r"marker|measured|meant|numbers in place|recorded|no \w|there is no|such rows"
    ):
        script.renewed(text)
