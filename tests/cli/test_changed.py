"""Which settings are changed is known whichever way they came."""

import json
from pathlib import Path

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.cli.hydra.compose import compose_here, config_files
from ntkrun.cli.hydra.shipped import changed_settings
from ntkrun.cli.variant import variant_of
from ntkrun.settings.changes import Changes


def changed(*overrides: str) -> Changes:
    with config_files():
        return changed_settings(compose_here(list(overrides)).settings, overrides)


@pytest.mark.parametrize(("scale", "classes"), [("cpu", "[frog,horse]"), ("paper", "[airplane,horse]")])
def test_a_run_is_changed_against_the_shipped_one_of_its_scale(scale, classes):
    shipped = ("experiment=figs2", f"scale={scale}")
    assert not changed(*shipped, "stage=report", "results_dir=elsewhere", "data.source=tfds")
    assert not changed(*shipped, f"data.classes={classes}", "optimizer=momentum"), "typed as they are shipped"
    assert set(changed(*shipped, "data.classes=[cat,dog]", "model.width=4")) == {"data.classes", "model.width"}


def test_what_is_shipped_is_composed_only_where_a_setting_that_matters_is_typed(monkeypatch):
    def forbidden(overrides):
        raise AssertionError("composed again")

    monkeypatch.setattr("ntkrun.cli.hydra.shipped.compose", forbidden)
    assert not changed("experiment=fig3", "scale=cpu", "stage=check", "style=slides")
    with pytest.raises(AssertionError, match="composed again"):
        changed("experiment=fig3", "scale=cpu", "seed=1")


NAMES = {
    ("fig3", "model=cnn", "optimizer=adam"): "model-cnn_optimizer-adam",
    ("lockstep", "model=cnn", "model.pool=none", "model.depth=4"): "model-cnn_depth-4_pool-none",
    ("fig3", "optimizer=momentum", "optimizer.momentum=0.5"): "optimizer-momentum_momentum-0.5",
    ("fig3", "data.seed=1"): "data.seed-1",
}


@pytest.mark.parametrize("typed", NAMES)
def test_a_folder_is_named_after_what_was_typed_and_not_after_what_comes_along_with_a_kind(typed):
    overrides = [f"experiment={typed[0]}", "scale=smoke", *typed[1:]]
    with config_files():
        settings = compose_here(overrides).settings
        differs = changed_settings(settings, overrides)
        run = variant_of(settings, differs, overrides)
    assert run.name == NAMES[typed]
    assert set(differs) == set(run.changed), "the report tells all that is other than in the shipped run"


@pytest.mark.usefixtures("unpainted")
def test_files_of_the_users_own_change_settings_too(ntkrun, tmp_path: Path):
    (tmp_path / "mine" / "sizes" / "gpu").mkdir(parents=True)
    small = "optimizer: {steps: 4}\nmodel: {width: 8}\ndata: {n_train: 8, n_test: 4}\n"
    (tmp_path / "mine" / "sizes" / "gpu" / "fig3.yaml").write_text(f"# @package _global_\n{small}")
    results = tmp_path / "results"
    code, out, err = ntkrun(
        "experiment=fig3",
        "scale=gpu",
        f"results_dir={results}",
        "data.source=stand_in",
        f"--config-dir={tmp_path}/mine",
    )
    assert code == 0, out + err
    told = json.loads(next((results / "gpu" / "fig3").glob("*/provenance.json")).read_text())
    assert list(told["run"]["changed"]) == ["data.n_test", "data.n_train", "model.width", "optimizer.steps"]
    assert "n = 8 instead of 2048" in told["departures"]["differs"]
