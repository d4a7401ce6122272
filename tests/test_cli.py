"""The command line as a user meets it."""

import json
import os
import re
import signal
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from entry_point import ntkrun  # noqa: F401  (a fixture)
from processes import Program, ends, ran, started, until

from ntkrun.experiments.claims import ALL_SCALES
from ntkrun.experiments.figures import experiment_names, in_the_papers_order, load_experiment
from ntkrun.runner.store import read_table


def test_an_unreadable_data_directory_is_named(ntkrun, monkeypatch):
    monkeypatch.setenv("NTKRUN_DATA_DIR", "/no/such/place")
    code, _, err = ntkrun("experiment=fig3", "scale=smoke")
    assert code == 2 and "/no/such/place" in err and "Traceback" not in err


def test_debug_shows_the_traceback(ntkrun, monkeypatch):
    monkeypatch.setenv("NTKRUN_DEBUG", "1")
    with pytest.raises(Exception, match="swoosh"):
        ntkrun("experiment=fig3", "model.activation=swoosh")


def test_the_whole_setting_is_shown_with_the_scale_resolved(ntkrun):
    code, out, _ = ntkrun("--cfg", "job", "experiment=fig3")
    assert code == 0
    assert "scale: cpu" in out and "width: 512" in out and "sigma_w2: 2.0" in out
    code, out, _ = ntkrun("experiment=fig3", "scale=paper", "--cfg", "job")
    assert "width: 2048" in out and "steps: 25600" in out


def test_the_settings_are_shown_with_where_they_come_from(ntkrun):
    _, out, _ = ntkrun("experiment=fig3", "scale=cpu", "--cfg", "job")
    assert yaml.safe_load(out)["experiment"] == "fig3", "it stays YAML"
    assert "#   model.width: printed 2048, caption" in out
    assert "#   optimizer.learning_rate: printed 0.01, caption; here 0.02: the paper descended" in out
    assert "#   data.n_test: ours: Figure S8 counts 512 test images" in out
    _, out, _ = ntkrun("experiment=fig3", "scale=cpu", "--cfg", "job", "--package", "model")
    assert "where they come from" not in out


def test_the_command_line_wins_over_scale_and_experiment(ntkrun):
    _, out, _ = ntkrun("experiment=fig3", "scale=smoke", "model.width=77", "--cfg", "job")
    assert "width: 77" in out


SMOKE = ["experiment=lockstep", "scale=smoke", "data.source=stand_in"]


def test_a_run_leaves_table_figure_claims_and_provenance(ntkrun, tmp_path):
    code, out, err = ntkrun(*SMOKE, "data=mnist", "optimizer=momentum", "loss=cross_entropy")
    assert code == 0
    (folder,) = (tmp_path / "results" / "smoke" / "lockstep").glob("*demo")
    assert "scale=smoke" in out and "figure.png" in out and "failed 0" in out
    assert "mnist5k" in err, "the stand-in is announced"
    claims = json.loads((folder / "claims.json").read_text())
    assert set(claims[0]) == {
        "id", "figure", "source", "kind", "expected", "low", "high", "measured", "verdict", "why", "sentence", "reason",
        "combination", "fitted_to",
    }  # fmt: skip
    table, provenance = read_table(folder / "table.parquet")
    assert provenance["stand_in_data"] == ["mnist5k"] and provenance["title"].startswith("Demo on stand-in images: ")
    assert {"loss/network", "loss/linear", "rmse/linear", "output/network"} <= set(table["curve"])
    cell = provenance["cells"][0]
    assert cell["settings"]["loss"] == "cross_entropy" and cell["packages"]["jax"] and cell["wall_seconds"] >= 0
    png = (folder / "figure.png").read_bytes()
    assert png.startswith(b"\x89PNG") and b"mnist5k" in png
    assert b"mnist5k" in (folder / "figure.pdf").read_bytes()
    pages = folder.parent.parent
    gallery = (pages / "lockstep.html").read_text()
    assert f'src="lockstep/{folder.name}/figure.png"' in gallery and provenance["title"] in gallery
    assert str(tmp_path) not in json.dumps(provenance) + gallery, "no path of this machine in what is handed on"


@pytest.mark.usefixtures("unpainted")
def test_what_is_stored_is_not_computed_again(ntkrun, tmp_path, monkeypatch):
    ntkrun(*SMOKE, "seed=[0,1]", "stage=run")
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("cells/*.parquet")}
    assert len(stored) == 2
    code, out, _ = ntkrun(*SMOKE, "seed=[0,1,2]", "stage=run")
    assert code == 0 and "(1 run now, 2 stored before)" in out
    assert all(path.stat().st_mtime_ns == when for path, when in stored.items())
    # a report needs no images and computes nothing
    monkeypatch.setattr("ntkrun.data.sources.load.load_images", None)
    code, out, _ = ntkrun(*SMOKE, "seed=[0,1,2]", "stage=report")
    assert code == 0 and "failed 0" in out


@pytest.mark.usefixtures("unpainted")
def test_a_second_run_draws_again_only_what_says_something_new(ntkrun, tmp_path, monkeypatch):
    code = {"ntkrun": "0", "commit": "abc", "dirty": False}
    monkeypatch.setattr("ntkrun.report.render.code_version", lambda: code)
    picture = tmp_path / "results/smoke/lockstep/demo/figure.png"

    def drawn(*arguments: str) -> bool:
        before = picture.stat().st_mtime_ns if picture.exists() else 0
        assert ntkrun(*SMOKE, *arguments)[0] == 0
        return picture.stat().st_mtime_ns != before

    assert drawn()
    assert not drawn()
    assert drawn("stage=report")
    assert drawn("style=slides") and not drawn("style=slides")
    picture.with_suffix(".pdf").unlink()
    assert drawn("style=slides")
    code["dirty"] = True
    assert drawn("style=slides") and drawn("style=slides")


def test_a_check_judges_what_is_stored_and_writes_nothing(ntkrun, tmp_path, monkeypatch):
    ntkrun(*SMOKE, "stage=run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*")}
    assert ntkrun(*SMOKE, "stage=check")[0] == 0
    experiment = load_experiment("lockstep")
    wrong = replace(experiment.claims[0], band=(1.0, 2.0), scales=ALL_SCALES, real_data=False)
    monkeypatch.setattr("ntkrun.experiments.figures.lockstep.EXPERIMENT", replace(experiment, claims=(wrong,)))
    code, out, _ = ntkrun(*SMOKE, "stage=check")
    assert code == 1 and "judged 1, fitted 0, failed 1" in out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("*")} == before


def test_shards_in_any_order_give_the_unsharded_table(ntkrun, tmp_path):
    sweep = [*SMOKE, "seed=[0,1,2]", "stage=run"]

    def of(shard: int) -> list[str]:
        return [*sweep, "results_dir=parts", "shards=3", f"shard={shard}"]

    with command(*of(2), cwd=tmp_path) as other:  # at work while this process runs the other two
        ntkrun(*sweep, "results_dir=whole")
        for shard in (1, 0):
            ntkrun(*of(shard))
        (done,) = ends(other)
    assert done.returncode == 0, done.stderr
    whole, parts = ({path.name: path for path in (tmp_path / name).rglob("*.parquet")} for name in ("whole", "parts"))
    assert len(whole) == 3 and whole.keys() == parts.keys()
    for name, path in whole.items():
        assert read_table(path)[0].equals(read_table(parts[name])[0])


@pytest.mark.usefixtures("unpainted")
def test_a_report_of_part_of_the_cells_says_so_and_verify_finds_a_damaged_table(ntkrun, tmp_path):
    ntkrun(*SMOKE, "seed=[0,1]", "stage=run", "shards=2", "shard=1")
    code, _, err = ntkrun(*SMOKE, "seed=[0,1]", "stage=report")
    assert code == 0 and "1 of 2 cells are not there yet: seed=0" in err
    provenance = json.loads((tmp_path / "results/smoke/lockstep/seed-0-1-demo/provenance.json").read_text())
    assert provenance["missing_cells"] == ["seed=0"]
    # the cell's table and the report's
    code, out, _ = ntkrun(*SMOKE, "stage=verify")
    assert code == 0 and "2 tables verified" in out and "0 damaged" in out
    (victim,) = tmp_path.rglob("cells/*.parquet")
    victim.write_bytes(victim.read_bytes()[:100])
    code, out, err = ntkrun(*SMOKE, "stage=verify")
    assert code == 1 and "1 damaged" in out and victim.name in err and "Traceback" not in err


def test_a_damaged_table_stops_the_run_before_any_compute(ntkrun, tmp_path):
    ntkrun(*SMOKE, "seed=[0,1]", "stage=run")
    for path in tmp_path.rglob("cells/*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    code, _, err = ntkrun(*SMOKE, "seed=[0,1,2]")
    assert code == 2 and "remove it" in err and "Traceback" not in err
    assert len(list(tmp_path.rglob("cells/*.parquet"))) == 2


def test_divergence_warns_with_both_numbers_then_names_cell_and_step(ntkrun):
    code, _, err = ntkrun(*SMOKE, "optimizer.learning_rate=1e6", "optimizer.steps=200")
    assert code == 1
    assert re.search(r"eta = 1e\+06 is not below eta_critical = [\d.]+", err)
    assert re.search(r"seed=0: .* not finite at step \d+", err)


def test_multirun_runs_each_combination(ntkrun, tmp_path):
    code, out, _ = ntkrun("-m", *SMOKE, "stage=run", "optimizer=gd,nesterov")
    assert code == 0 and out.count("1 of 1 cells finished") == 2
    assert len(list(tmp_path.rglob("cells/*.parquet"))) == 2


def command(*arguments: str, **options) -> AbstractContextManager[Program]:
    return started(sys.executable, "-m", "ntkrun.cli", *arguments, **options)


def test_the_names_for_notebooks_are_there_and_cost_nothing_until_used():
    script = (
        "import sys, ntkrun\n"
        "assert not {'jax', 'flax', 'numpy', 'pandas'} & set(sys.modules)\n"
        "assert set(ntkrun.__all__) <= set(dir(ntkrun)) and not hasattr(ntkrun, 'no_such_name')\n"
        "for name in ntkrun.__all__: assert getattr(ntkrun, name) is not None\n"
    )
    done = ran(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


def test_help_imports_neither_jax_nor_tensorflow_datasets():
    # what keeps `ntkrun --help` under a second; the time itself is not tested here
    script = (
        "import sys; sys.argv = ['ntkrun', '--help']\n"
        "from ntkrun.cli import main as cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "slow = {'jax', 'tensorflow_datasets', 'matplotlib', 'pandas', 'flax', 'optax'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    done = ran(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    listed = ", ".join(in_the_papers_order(experiment_names()))
    assert "ntkrun experiment=fig3" in done.stdout and listed in done.stdout


def checkpoints(folder: Path) -> list[Path]:
    """Without those that Orbax is still writing aside."""
    return [path for path in folder.rglob("*.checkpoints/*") if path.name.isdecimal()]


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(ntkrun, tmp_path: Path):
    sweep = [
        "experiment=lockstep",
        "scale=smoke",
        "data.source=stand_in",
        "model.width=[8,32]",
        "optimizer.steps=[16,3000000]",
    ]

    def in_second_cell() -> bool:
        finished = list(tmp_path.rglob("cells/*.parquet"))
        saved = [path.parent.with_suffix(".parquet") for path in checkpoints(tmp_path)]
        return len(finished) == 1 and not {*saved} <= {*finished}

    with command(*sweep, "checkpoint_minutes=.001", cwd=tmp_path, env=os.environ | {"NTKRUN_DEBUG": "0"}) as run:
        until(in_second_cell, run)
        run.send_signal(signal.SIGINT)
        (done,) = ends(run)
    assert done.returncode == 130
    assert "interrupted: 1 of 4 cells finished" in done.stderr and "ntkrun experiment=lockstep" in done.stderr
    assert "Traceback" not in done.stderr
    (kept,) = tmp_path.rglob("cells/*.parquet")
    assert len(read_table(kept)[0])
    code, out, _ = ntkrun(*sweep[:-1], "optimizer.steps=16", "stage=run")
    assert code == 0 and "2 of 2 cells finished (1 run now, 1 stored before)" in out


def test_a_killed_cell_goes_on_from_its_checkpoint_bit_for_bit(ntkrun, tmp_path: Path):
    longer = [*SMOKE, "stage=run", "optimizer.steps=3000", "optimizer.batch_size=4"]

    with command(*longer, "checkpoint_minutes=.001", "results_dir=killed", cwd=tmp_path) as run:
        until(lambda: checkpoints(tmp_path), run)
    assert checkpoints(tmp_path) and not list(tmp_path.rglob("cells/*.parquet"))
    _, _, err = ntkrun(*longer, "results_dir=killed")
    assert "going on from step" in err
    ntkrun(*longer, "results_dir=whole")
    (killed,), (whole,) = (list(tmp_path.glob(f"{name}/**/*.parquet")) for name in ("killed", "whole"))
    assert read_table(killed)[0].equals(read_table(whole)[0])
    assert {path.name for path in killed.parent.iterdir()} == {killed.name, ".guard"}, "nothing else is left"
