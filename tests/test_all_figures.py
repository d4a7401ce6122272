"""experiment=all: one figure after the other, and what the summary and the exit code say."""

import re
import shutil
import sys
import time

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from processes import ran

from ntkrun.cli import main as cli
from ntkrun.cli import stages
from ntkrun.cli.all_figures import Outcome, run_all, summary
from ntkrun.errors import UserError
from ntkrun.report.counts import Counts

pytestmark = pytest.mark.usefixtures("unpainted")
ARGUMENTS = ["experiment=all", "scale=smoke"]


def columns(line: str) -> list[str]:
    """Of a line of the summary, whose durations have single spaces."""
    return re.split(r" {2,}", line)


def figures(codes: dict[str, int | Exception | SystemExit]):
    """A `once` under which each figure ends as `codes` say, and the list of what was called."""
    called: list[str] = []

    def once(arguments: list[str], outcome: Outcome) -> int:
        called.append(arguments[0])
        outcome.ran, outcome.cached = 2, 1
        outcome.judged(Counts(passed=2, failed=1, fitted_passed=1, not_judged=1), "0.10 octaves")
        end = codes[outcome.experiment]
        if isinstance(end, BaseException):
            raise end
        return end

    return once, called


def nothing(arguments: list[str]) -> tuple[str, dict[str, float]]:
    """Nothing is expected."""
    return "", {}


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
    assert run_all(ARGUMENTS, list(codes), once, nothing) == expected
    assert called == ["experiment=fig1", "experiment=fig2"]
    out, err = capsys.readouterr()
    assert ("broken" in err) == any(isinstance(code, RuntimeError) for code in codes.values())
    *_, fig1, fig2, total = out.splitlines()
    assert columns(fig1)[:3] == ["fig1", "2", "1"] and columns(fig2)[4:8] == ["3", "1", "1", "1"]
    assert columns(total) == ["all", "4", "2", "0 s", "6", "2", "2", "2"]


def test_the_time_of_a_figure_counts_from_the_call_which_may_have_computed_before(capsys):
    began = time.monotonic() - 7200.0
    assert run_all(ARGUMENTS, ["fig1", "fig2"], lambda *_: 0, nothing, began) == 0
    out = capsys.readouterr().out
    assert "[1/2] fig1, 2 h so far" in out and "[2/2] fig2, 2 h so far" in out


@pytest.mark.parametrize("code", [0, 1])
def test_figures_of_which_nothing_was_run_or_judged_have_no_table_of_zeros_unless_one_went_wrong(code, capsys):
    assert run_all(ARGUMENTS, ["fig1", "fig2"], lambda *_: code, nothing) == code
    out = capsys.readouterr().out
    assert "not judged" not in out and out.count("exit code 1") == 2 * bool(code)


def test_durations_of_the_summary_are_read_by_people():
    lines = summary([Outcome("fig1", ran=1, seconds=12000.0), Outcome("fig2", seconds=130.0)]).splitlines()
    assert [columns(line)[3] for line in lines] == ["time", "3 h 20 min", "2 min 10 s", "3 h 22 min"]


def test_a_report_of_all_draws_what_is_stored_and_names_what_is_not(ntkrun, monkeypatch):
    monkeypatch.setattr(cli, "figure_names", lambda: ["fig3", "figs10"])
    report = ["experiment=all", "scale=smoke", "stage=report"]
    code, out, _ = ntkrun(*report)
    assert code == 2 and out.count("nothing is stored") == 2
    assert ntkrun("experiment=figs10", "scale=smoke")[0] == 0
    code, out, err = ntkrun(*report)
    assert code == 0 and "nothing is stored for these settings of fig3" in err
    *_, fig3, figs10, _ = out.splitlines()
    assert fig3.endswith("nothing is stored") and sum(map(int, columns(figs10)[4:8])) > 0
    assert ntkrun("experiment=all", "scale=smoke", "stage=check")[0] == 1, "a claim is not judged by being away"


def test_a_signal_ends_it_and_the_summary_names_what_was_not_reached(capsys):
    once, called = figures({"fig1": 0, "fig2": SystemExit(143), "fig3": 0})
    assert run_all(ARGUMENTS, ["fig1", "fig2", "fig3"], once, nothing) == 143
    assert len(called) == 2
    *_, fig2, fig3, _ = capsys.readouterr().out.splitlines()
    assert fig2.endswith("exit code 143") and fig3.endswith("not reached")


def test_what_is_left_is_told_over_all_figures_and_one_that_ends_early_is_taken_off(capsys):
    def once(arguments: list[str], outcome: Outcome) -> int:
        assert outcome.remaining is not None
        lines.append(str(outcome.remaining))
        if outcome.experiment == "fig1":
            with outcome.remaining.computing(("fig1", "a")):
                pass
        return 0

    lines: list[str] = []
    expected = {"experiment=fig1": ("fig1", {"a": 600.0, "b": 600.0}), "experiment=fig2": ("fig2", {"c": 1200.0})}
    assert run_all(ARGUMENTS, ["fig1", "fig2"], once, lambda arguments: expected[arguments[0]]) == 0
    assert lines[0] == "all figures: 0 of 3 cells, about 40 min left" and lines[0] in capsys.readouterr().out
    # cell a took no time in place of 600 s, cell b was given up: 60/(600 + 60) of what was expected of c
    assert lines[1] == "all figures: 1 of 2 cells, about 1 min 49 s left"


def test_jobs_of_other_processes_are_counted_and_the_last_report_is_what_is_judged():
    outcome = Outcome("fig1")
    for job in (Outcome(ran=2, cached=1), Outcome(ran=1, counts=Counts(3, 1)), Outcome(ran=1)):
        outcome.add(job)
    assert (outcome.ran, outcome.cached, outcome.counts) == (4, 1, Counts(passed=3, failed=1))
    outcome.judged(Counts(passed=4), "")
    assert outcome.counts == Counts(passed=4)


def test_the_gallery_has_the_figures_that_were_drawn_when_another_one_fails(ntkrun, monkeypatch, tmp_path, root):
    """Drawn from the shipped cells."""
    monkeypatch.setattr(cli, "figure_names", lambda: ["figs9", "figs10"])
    shutil.copytree(root / "results" / "reference" / "cpu" / "figs10", tmp_path / "results" / "cpu" / "figs10")
    there = tmp_path / "results" / "cpu" / "figs9" / "default"
    there.mkdir(parents=True)
    (there / "provenance.json").write_text('{"title": "drawn before"}')

    def all_but_one(settings, *rest):
        if settings["experiment"] == "figs9":
            raise UserError("figs9 cannot")
        return stages.execute(settings, *rest)

    monkeypatch.setattr("ntkrun.cli.job.execute", all_but_one)
    code, out, err = ntkrun("experiment=all", "scale=cpu", "stage=report")
    assert code == 1 and "error: figs9 cannot" in err and "index.html" in out
    page = (tmp_path / "results" / "cpu" / "index.html").read_text()
    assert "Figure S10" in page and "figs9" in page, "what was drawn before stays"


@pytest.mark.end_to_end
def test_a_run_of_all_over_processes_counts_their_cells_and_says_how_long_it_takes(ntkrun, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "figure_names", lambda: ["figs9"])
    sweep = ["-m", "experiment=all", "scale=smoke", "shards=2", "shard=0,1", "hydra/launcher=local"]
    script = "from ntkrun.cli import main as cli; cli.figure_names = lambda: ['figs9']; cli.main()"
    # in a process of its own: what a job takes along is pickled, and the wrappers of the tests cannot be
    done = ran(sys.executable, "-c", script, *sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, figs9, total = done.stdout.splitlines()
    cells = int(columns(total)[1])
    assert cells >= 2 and columns(total)[4:8] == columns(figs9)[4:8] and sum(map(int, columns(total)[4:8])) == 12
    code, out, err = ntkrun("experiment=all", "scale=smoke", "results_dir=again")
    assert code == 0 and f"all figures: 0 of {cells} cells" in out
    told = [line for line in err.splitlines() if line.endswith(" left")]
    assert len(told) == cells and told[-1].endswith(f"all figures: {cells} of {cells} cells, about 0 s left")
    code, out, err = ntkrun("experiment=all", "scale=smoke", "results_dir=again")
    assert code == 0 and " left" not in out + err


def test_all_are_the_figures_of_the_paper_and_the_theorem_each_composed_for_itself(ntkrun, monkeypatch):
    seen = []

    def execute(settings, changed, run, chosen_by, command, outcome):
        seen.append((settings["experiment"], settings["stage"], outcome.experiment))
        if settings["experiment"] == "figs3":
            raise UserError("figs3 cannot")
        return 0

    monkeypatch.setattr("ntkrun.cli.job.execute", execute)
    code, out, err = ntkrun("experiment=all", "scale=smoke", "stage=check")
    names = [f"fig{i}" for i in range(1, 5)] + [f"figs{i}" for i in range(1, 11)] + ["theorem21"]
    assert seen == [(name, "check", name) for name in names]
    assert code == 1 and err == "error: figs3 cannot\n" and len(out.splitlines()[-17:]) == 17
