"""experiment=all: one figure after the other, and what the summary and the exit code say."""

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun import cli
from ntkrun.all_figures import Outcome, run_all
from ntkrun.errors import UserError

ARGUMENTS = ["experiment=all", "scale=smoke"]


def figures(codes: dict[str, int | Exception | SystemExit]):
    """A `once` under which each figure ends as `codes` say, and the list of what was called."""
    called: list[str] = []

    def once(arguments: list[str], outcome: Outcome) -> int:
        called.append(arguments[0])
        outcome.ran, outcome.cached = 2, 1
        outcome.judged(["pass", "fail", "not_judged", "pass"])
        end = codes[outcome.experiment]
        if isinstance(end, BaseException):
            raise end
        return end

    return once, called


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"fig1": 0, "fig2": 0}, 0),
        ({"fig1": 1, "fig2": 0}, 1),
        ({"fig1": 2, "fig2": 0}, 1),
        ({"fig1": 2, "fig2": 2}, 2),
        ({"fig1": RuntimeError("broken"), "fig2": 0}, 1),
        ({"fig1": SystemExit(2), "fig2": 1}, 1),
    ],
)
def test_no_figure_stops_another_and_the_exit_code_says_it(codes, expected, capsys):
    once, called = figures(codes)
    assert run_all(ARGUMENTS, list(codes), once) == expected
    assert called == ["experiment=fig1", "experiment=fig2"]
    out, err = capsys.readouterr()
    assert ("broken" in err) == any(isinstance(code, RuntimeError) for code in codes.values())
    *_, fig1, fig2, total = out.splitlines()
    assert fig1.split()[:3] == ["fig1", "2", "1"] and fig2.split()[4:7] == ["2", "1", "1"]
    assert total.split() == ["all", "4", "2", "0.0", "4", "2", "2"]


def test_a_signal_ends_it_and_the_summary_names_what_was_not_reached(capsys):
    once, called = figures({"fig1": 0, "fig2": SystemExit(143), "fig3": 0})
    assert run_all(ARGUMENTS, ["fig1", "fig2", "fig3"], once) == 143
    assert len(called) == 2
    *_, fig2, fig3, _ = capsys.readouterr().out.splitlines()
    assert fig2.endswith("exit code 143") and fig3.endswith("not reached")


def test_all_are_the_figures_of_the_paper_and_the_theorem_each_composed_for_itself(ntkrun, monkeypatch):
    seen = []

    def execute(settings, paper, chosen_by, command, outcome):
        seen.append((settings["experiment"], settings["stage"], outcome.experiment))
        if settings["experiment"] == "figs3":
            raise UserError("figs3 cannot")
        return 0

    monkeypatch.setattr(cli, "execute", execute)
    code, out, err = ntkrun("experiment=all", "scale=smoke", "stage=check")
    names = [f"fig{i}" for i in range(1, 5)] + [f"figs{i}" for i in range(1, 11)] + ["theorem21"]
    assert seen == [(name, "check", name) for name in names]
    assert code == 1 and err == "error: figs3 cannot\n" and len(out.splitlines()[-17:]) == 17
