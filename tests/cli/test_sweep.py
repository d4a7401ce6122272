"""Hydra's own entry, `hydra.main`: what is handed to it and what comes back."""

import os
import sys

import pytest
from processes import ran

from ntkrun.cli.all_figures import Outcome
from ntkrun.cli.hydra.sweep import Sweep, run_hydra
from ntkrun.cli.main import run

SMOKE = ["experiment=figs10", "scale=smoke", "stage=run"]


def test_the_jobs_of_a_sweep_are_added_up_and_nothing_is_left_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before, outcome = list(sys.argv), Outcome()
    assert run_hydra(["-m", *SMOKE, "seed=0,1"], outcome) == 0
    assert outcome.ran >= 2 and outcome.cached == 0
    again = Outcome()
    assert run_hydra(["-m", *SMOKE, "seed=0,1"], again) == 0
    assert (again.ran, again.cached) == (0, outcome.ran)
    assert sys.argv == before and "HYDRA_FULL_ERROR" not in os.environ
    assert capsys.readouterr().out.count("cells finished") == 4


def test_the_arguments_are_those_that_are_given_whatever_the_process_was_started_with(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["something", "else"])
    assert run(["experiment=fig3", "scale=smoke", "--cfg", "job"], 0.0) == 0
    assert "experiment: fig3" in capsys.readouterr().out and sys.argv == ["something", "else"]


def test_the_worst_job_gives_the_exit_code():
    sweep = Sweep(Outcome())
    for code in (0, 2, 1, None):
        sweep.note(Outcome(code=code, ran=1))
    assert sweep.exit_code == 2 and sweep.outcome.ran == 4


@pytest.mark.parametrize("words", [["-m", "model.widht=1,2"], ["model.widht=1"]])
def test_a_misspelt_setting_gets_a_suggestion_with_and_without_a_sweep(words, capsys):
    assert run([*words, "experiment=fig3", "scale=smoke"], 0.0) == 2
    assert "did you mean model.width?" in capsys.readouterr().err


def test_a_tilde_means_the_home_folder_for_results_and_for_sweeps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert run_hydra(["-m", *SMOKE, "seed=0", "results_dir='~/x'"], Outcome()) == 0
    assert not (tmp_path / "~").exists()
    assert {"sweeps", "smoke"} <= {path.name for path in (tmp_path / "home" / "x").iterdir()}


@pytest.mark.parametrize("words", [["model.width=-4", "seed=0,1"], ["model.width=8,-4"]])
def test_a_sweep_with_a_wrong_job_is_one_line_and_writes_nothing(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["-m", "experiment=fig3", "scale=smoke", *words], 0.0) == 2 and not list(tmp_path.iterdir())
    err = capsys.readouterr().err
    assert "model.width=-4" in err and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra/launcher=local", "hydra.launcher.timeout_min=x"], "timeout_min"),
        (["hydra/launcher=slurm"], "nothing was submitted"),
    ],
)
def test_a_launcher_that_cannot_start_is_one_line_and_nothing_is_written(words, said, tmp_path, root):
    command = (sys.executable, "-m", "ntkrun.cli", "-m", "experiment=fig3", "scale=smoke", "seed=0,1", *words)
    nowhere = {"PYTHONPATH": str(root), "PATH": str(tmp_path)}  # no SLURM
    done = ran(*command, cwd=tmp_path, env=os.environ | nowhere)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert said in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_the_flag_of_a_sweep_may_stand_anywhere(flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, *rest = SMOKE
    assert run([first, flag, *rest], 0.0) == 0
    assert run([*SMOKE, flag], 0.0) == 0
    assert capsys.readouterr().out.count("cells finished") == 2
