"""The table of figures in README.md is that of the committed reports."""

import importlib.util
import json
import re

import pytest

from ntkrun.experiments.figures import figure_names


def script_of(root, name: str):
    spec = importlib.util.spec_from_file_location(name, root / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script(root):
    return script_of(root, "readme_table")


@pytest.fixture(scope="module")
def readme(root) -> str:
    return (root / "README.md").read_text()


def test_the_table_is_not_stale(script, readme, root):
    if not (root / ".git").exists():
        pytest.skip("what is committed is known to git alone")
    assert script.rewritten(readme) == readme, "git add results/reference/cpu and run make readme"


def test_a_row_says_what_the_report_says(script, readme, monkeypatch):
    def committed(path: str) -> str | None:
        scale, name, file = path.split("/")[2:]
        missing = ["width=8"] if (scale, name) == ("paper", "fig3") else []
        if (scale == "paper" and name != "fig3") or (scale == "gpu" and name != "fig1"):
            return None
        verdicts = ["pass", "pass", "fail", "not_judged"] if name == "fig1" else ["pass"]
        fitted = [{"verdict": "fail", "fitted_to": ["fig3/loss/train_network"]}] if name == "fig3" else []
        reports = {
            "provenance.json": json.dumps(
                {"cells": [{"wall_seconds": 90.0}, {"wall_seconds": 30.0}], "missing_cells": missing}
            ),
            "claims.json": json.dumps([*({"verdict": verdict} for verdict in verdicts), *fitted]),
            "deviation.csv": "median,unit,note\n0.1,octaves,\n" if name == "fig1" else "median,unit,note\n",
        }
        return None if name == "figs9" else reports[file]

    monkeypatch.setattr(script, "committed", committed)
    new = script.rewritten(readme)
    assert new != readme and script.rewritten(new) == new
    rows = dict(zip(figure_names(), new.split(script.BEGIN)[1].splitlines()[3:], strict=False))
    of_fig1 = "| 2.0 | 2 of 3, 1 not judged; 0.10 octaves | 2 of 3, 1 not judged; 0.10 octaves (`scale=gpu`) |"
    assert rows["fig1"].endswith("| `ntkrun experiment=fig1` " + of_fig1)
    assert rows["figs1"].endswith("| with fig2 | 1 of 1 | not run |")
    assert rows["figs9"].endswith("| | not committed | not run |")
    assert 'href="results/reference/gpu/fig1/figure.png"' in rows["fig1"]
    assert (
        'src="results/reference/gpu/fig1/thumbnail.png"' in rows["fig1"] and "[notes](docs/figure1.md)" in rows["fig1"]
    )
    assert rows["fig3"].endswith("| 1 of 1, fitted 0 of 1, of 2 of 3 cells (`scale=paper`) |"), (
        "what is not whole says so"
    )
    assert "results/reference/cpu/fig3/figure.png" in rows["fig3"], "and is not the picture"


def test_markers_that_are_gone_are_named(script, readme):
    with pytest.raises(ValueError, match="make readme"):
        script.rewritten(readme.replace(script.BEGIN, ""))


def test_pictures_and_notes_of_the_readme_are_there(root, readme):
    targets = re.findall(r"\]\(([^)#:]+)\)", readme) + re.findall(r'src="([^"]+)"', readme)
    assert len(targets) > 20 and all((root / target).exists() for target in targets)
