"""Data of the user's in whole runs: what is shown and judged, what is refused, and that no file gets another's cells."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.data.dataset import load_dataset, rows_of
from ntkrun.data.sources.carried import write_carried, write_list
from ntkrun.data.sources.load import load_images
from ntkrun.errors import UserError
from ntkrun.experiments.claims import ANY_SETTING, why_not
from ntkrun.experiments.figures import computing, experiment_names, load_experiment
from ntkrun.experiments.runs.planned_work import sizes, span
from ntkrun.experiments.runs.prepare import load
from ntkrun.lockstep.progress import Silent
from ntkrun.report.report_files import origin_of, warnings_of
from ntkrun.runner.data_sets import check_images
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import read_table
from ntkrun.settings.base import CommonSettings
from ntkrun.settings.changes import changes
from ntkrun.settings.data import DataSettings
from ntkrun.settings.own_data import CARRIED
from ntkrun.settings.parts import parts_of

RNG = np.random.default_rng(0)
X, VECTORS = RNG.integers(0, 256, (20, 6, 6, 1), dtype=np.uint8), RNG.normal(size=(20, 5))
FILES = {
    "three.npz": (X, np.arange(20) % 3),
    "two.npz": (X, np.arange(20) % 2),
    "vectors.npz": (VECTORS, np.arange(20) % 3),
    "regression.npz": (VECTORS, VECTORS[:, :2] ** 2),
}
TINY = ["scale=smoke", "data.n_train=8", "data.n_test=3", "optimizer.steps=2", "model.width=8"]
SMALL = ["experiment=lockstep", *TINY]


def images_of(settings: CommonSettings) -> DataSettings:
    assert settings.images is not None
    return settings.images


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a file of each kind."""
    monkeypatch.chdir(tmp_path)
    for name, (x, y) in FILES.items():
        np.savez(tmp_path / name, x=x, y=y)
    np.savez(tmp_path / "one_hot.npz", x=VECTORS, y=np.eye(3)[np.arange(20) % 3])
    return tmp_path


def stored(folder: Path) -> list[Path]:
    return sorted((folder / "results" / "smoke" / "lockstep" / "cells").glob("*.parquet"))


@pytest.mark.usefixtures("unpainted")
def test_a_run_on_own_data_says_so_and_is_judged_by_what_holds_for_any_data(ntkrun, here):
    code, out, err = ntkrun(*SMALL, "data.path=three.npz")
    assert code == 0 and "judged 1, fitted 0, failed 0, not judged 0" in out, err
    (report,) = (path for path in (here / "results" / "smoke" / "lockstep").iterdir() if "own-data-three" in path.name)
    told = json.loads((report / "provenance.json").read_text())
    data = told["cells"][0]["facts"]["data"]
    assert data["file"] == "three.npz" and data["source"] == "own" and data["classes"] == ["0", "1", "2"]
    assert "seed 0" in data["split"] and told["cells"][0]["data_fingerprint"] == data["fingerprint"]
    assert told["own_data"] == ["three.npz"]
    assert any("own data, three.npz" in line for line in warnings_of(told))
    assert ("data", "three.npz (own), fingerprint " + data["fingerprint"][:12]) in list(origin_of(told))
    assert "data.path=three.npz" in told["run"]["command"]


@pytest.mark.usefixtures("unpainted")
def test_targets_have_outputs_and_losses_and_no_accuracy(ntkrun, here):
    code, _, err = ntkrun(*SMALL, "data.path=regression.npz", "data.preprocess=standardize")
    assert code == 0, err
    table, _ = read_table(stored(here)[0])
    shown = {curve.partition("/")[0] for curve in table["curve"]}
    assert any("loss" in curve for curve in shown) and not any("accuracy" in curve for curve in shown)
    data = load_dataset(
        name="own",
        source="auto",
        path="regression.npz",
        classes=None,
        n_train=8,
        n_test=3,
        seed=0,
        preprocess="standardize",
        targets="given",
    )
    first = table[table["curve"].str.contains("loss") & (table["split"] == "train") & (table["step"] == 0)]
    assert data.y_train.shape == (8, 2) and (first["value"] > 0).all()


def test_a_file_never_gets_the_cells_of_another(ntkrun, here):
    run = [*SMALL, "stage=run"]
    assert "1 run now, 0 stored" in ntkrun(*run, "data.path=three.npz")[1]
    (here / "elsewhere").mkdir()
    shutil.copy(here / "three.npz", here / "elsewhere" / "moved.npz")
    assert "0 run now, 1 stored" in ntkrun(*run, "data.path=elsewhere/moved.npz")[1], "the same content elsewhere"
    x, y = FILES["three.npz"]
    np.savez(here / "three.npz", x=x[::-1], y=y)
    code, _, err = ntkrun(*SMALL, "data.path=three.npz", "stage=report")
    assert code == 2 and "nothing is stored for these settings" in err
    assert "1 run now, 0 stored" in ntkrun(*run, "data.path=three.npz")[1], "another content under the same name"
    assert len(stored(here)) == 2 and len({path.name.split("-")[0] for path in stored(here)}) == 2


def test_two_files_are_two_cells_of_a_sweep(here, settings_of):
    cells = make_cells(
        load_experiment("lockstep"), settings_of("lockstep", "smoke", "data=own", "data.path=[three.npz,two.npz]")
    )
    assert len({cell.config_hash for cell in cells}) == 2


def test_a_file_that_changes_under_a_run_ends_it(here, settings_of):
    raw = settings_of("lockstep", "smoke", "data=own", "data.path=vectors.npz", "data.n_train=8", "data.n_test=3")
    settings = make_cells(load_experiment("lockstep"), raw)[0].settings
    np.savez(here / "vectors.npz", x=2 * VECTORS, y=np.arange(20) % 3)
    with pytest.raises(UserError, match="has changed since the run began"):
        load(images_of(settings), "mse", Silent())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("experiment", ["lockstep", "fig1", "figs5", "theorem21"])
def test_what_is_planned_is_what_is_loaded(here, settings_of, name, experiment):
    raw = settings_of(experiment, "smoke", "data=own", f"data.path={name}", "data.n_train=8")
    data: Any = next(cell.settings.images for cell in make_cells(load_experiment(experiment), raw))
    data = data.model_copy(update={"n_test": 3, "averaged": 1} if hasattr(data, "averaged") else {"n_test": 3})
    found = load(data, "mse", Silent())
    assert sizes(data, "mse") == (8, 3, found.y_train.shape[1])
    rank = np.linalg.matrix_rank(found.x_train.reshape(8, -1))
    assert rank <= span(data, 8) <= found.x_train[0].size
    assert (found.y_train.shape[1] == 1) == (name == "two.npz"), "two classes are told apart by a sign"


@pytest.mark.parametrize("figure", sorted(experiment_names()))
def test_claims_about_the_papers_data_are_not_judged_on_own_data(figure):
    import pandas as pd

    experiment, table = load_experiment(figure), pd.DataFrame({"value": [0.0]})
    for claim in experiment.claims:
        (scale, *_), changed = claim.scales, {"data.path": ("not there", "x.npz")}
        of_any_data = claim.depends_on == ANY_SETTING and not claim.real_data
        reason = why_not(claim, figure, table, scale=scale, stand_in=False, changed=changed)
        assert reason == ("" if of_any_data else "data.path changed")
        assert claim.kind == "theory" or claim.id.startswith("theorem21.") or not of_any_data, (
            "what the paper shows, of its data"
        )


VEC, REG = "data.path=vectors.npz", "data.path=regression.npz"
REFUSED = {
    ("lockstep", VEC, "model=cnn"): "holds vectors of 5 numbers, and model=cnn needs images",
    ("lockstep", VEC, "model=wide_resnet"): "model=wide_resnet needs images",
    ("lockstep", VEC, "data.preprocess=per_image"): "use sphere or standardize",
    ("lockstep", VEC, "data.flip=true", "optimizer.batch_size=4"): "data.flip and data.crop are for images",
    ("figs5", VEC, "parts.L1=null", "parts.D32=null"): "leave this part out, parts.C4=null",
    ("figs5", "data.path=three.npz", "data.averaged=4"): "do not fill images of 6 x 6 pixels",
    ("lockstep", "data.path=one_hot.npz", "loss=cross_entropy"): "or save y.argmax(axis=1)",
    ("lockstep", REG, "loss=cross_entropy"): "holds targets of a regression, and loss=cross_entropy needs labels",
    ("lockstep", REG, "data.targets=one_hot"): "data.targets=one_hot is for labels",
    ("lockstep", REG, "data.classes=[0,1]"): "holds targets and no classes; use data.classes=null",
    ("figs7", REG, "parts.mnist=null"): "experiment=figs7 shows accuracies",
    ("lockstep", VEC, "data.n_train=17"): "has 16 train examples; use data.n_train=1..16",
    ("lockstep", VEC, "data.n_train=17", "data.classes=[0,1]"): "train examples of these classes",
    ("lockstep", VEC, "data.classes=[cat,dog]"): "vectors.npz has: 0, 1, 2",
}  # fmt: skip


@pytest.mark.parametrize("which", REFUSED)
def test_what_a_run_cannot_use_is_said_before_anything_is_computed(here, settings_of, which):
    name, *overrides = which
    given = {word.partition("=")[0] for word in overrides}
    tiny = [word for word in ("data.n_train=8", "data.n_test=3") if word.partition("=")[0] not in given]
    cells = make_cells(computing(load_experiment(name)), settings_of(name, "smoke", "data=own", *tiny, *overrides))
    with pytest.raises(UserError, match=re.escape(REFUSED[which])) as error:
        for cell in cells:
            check_images(cell)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["data=mnist"], "leave data and data.name out"),
        (["data.name=mnist"], "leave data and data.name out"),
        (["data.source=tfds"], "data.source=tfds is not for data.path"),
        (["model=cnn"], "needs images"),
    ],
)
@pytest.mark.parametrize("stage", ["run", "plan", "data"])
def test_bad_input_is_one_line_and_exit_code_2_at_every_stage(ntkrun, here, typed, says, stage):
    code, _, err = ntkrun(*SMALL, VEC, f"stage={stage}", *typed)
    assert code == 2 and says in err and err.count("\n") == 1 and not (here / "results").exists(), err


def test_the_stage_data_needs_no_experiment_and_writes_nothing(ntkrun, here):
    code, out, err = ntkrun("stage=data", *TINY, REG)
    assert code == 0 and "vectors of 5 numbers" in out and "k = 2" in out and "16 train, 4 test" in out, err
    assert ntkrun("stage=data", REG) == (0, out, "")  # whatever number of examples a run takes
    code, _, err = ntkrun("stage=data", REG, "data.n_train=17")
    assert code == 2 and "use data.n_train=1..16, or null for all" in err
    assert out.startswith("regression.npz (own)") and "lockstep" not in out, "nothing but the data"
    assert not (here / "results").exists()


def test_a_part_that_has_a_data_set_of_its_own_takes_a_file_by_its_own_settings(ntkrun, here):
    figure = ["experiment=figs6", "scale=smoke", "stage=data", "data.n_train=8", "parts.tanh3=null"]
    own = ["parts.relu1.data.name=own", "parts.relu1.data.path=two.npz", "parts.relu1.data.classes=null"]
    code, out, err = ntkrun(*figure, *own)
    assert code == 0 and "two.npz (own)" in out, err
    code, out, err = ntkrun(*figure[:-1], "data.path=two.npz")
    assert code == 0 and out.startswith("two.npz (own)") and "cifar10" not in out, err


def test_a_file_that_will_not_do_is_told_once_by_a_plan(ntkrun, here):
    np.savez(here / "unnamed.npz", images=X)
    code, _, err = ntkrun("experiment=lockstep", "scale=smoke", "stage=plan", "data.path=unnamed.npz")
    assert code == 2 and err.count("\n") == 1 and "it needs x_train" in err, err


def test_a_file_takes_the_place_of_the_data_sets_that_tell_parts_apart(settings_of, here):
    figs7 = load_experiment("figs7")
    cells = make_cells(figs7, settings_of("figs7", "smoke", "data=own", "data.path=two.npz"))
    assert {cell.part for cell in cells} == {""} and not any("mnist" in cell.name for cell in cells)
    (other,) = {cell.part for cell in make_cells(figs7, settings_of("figs7", "smoke", "data.name=fashion_mnist"))}
    assert other == ""
    raw = settings_of("figs6", "smoke", "data.name=fashion_mnist")
    found: list[Any] = make_cells(load_experiment("figs6"), raw)
    assert {(cell.part, cell.settings.data.name, cell.settings.data.classes) for cell in found} == {
        ("relu1", "fashion_mnist", None),
        ("tanh3", "fashion_mnist", None),
    }
    changed = changes(settings_of("figs7", "smoke", "data=own", "data.path=two.npz"), settings_of("figs7", "smoke"))
    assert {"data.path", "data.name"} <= changed.keys() and not [name for name in changed if name.startswith("parts")]


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_carries_the_arrays_and_what_the_file_is_known_by(here, settings_of, monkeypatch, name):
    raw = settings_of("lockstep", "smoke", "data=own", f"data.path={name}", "data.n_train=8", "data.n_test=3")
    (cell,) = make_cells(load_experiment("lockstep"), raw)
    before, images = load(images_of(cell.settings), "mse", Silent()), load_images("own", path=name)
    (here / "images").mkdir()
    rows = rows_of(images, None, 8, 3, 0)
    write_carried(here / "images", images, dict(zip(("train", "test"), map(np.sort, rows), strict=True)))
    write_list(here / "images", [name])
    for file in here.glob("*.npz"):
        file.unlink()
    monkeypatch.setenv(CARRIED, str(here / "images"))
    (there,) = make_cells(load_experiment("lockstep"), raw)
    after = load(images_of(there.settings), "mse", Silent())
    assert there.config_hash == cell.config_hash and after.describe() == before.describe()
    np.testing.assert_array_equal(after.x_train, before.x_train)
    np.testing.assert_array_equal(after.y_test, before.y_test)
    with pytest.raises(UserError, match=r"carries no data\.path=other"):
        make_cells(load_experiment("lockstep"), raw | {"data": raw["data"] | {"path": "other.npz"}})


@pytest.mark.parametrize("experiment", ["fig3", "figs8", "figs2", "figs5", "figs6"])
@pytest.mark.parametrize("scale", ["cpu", "paper"])
def test_another_data_set_does_not_have_the_classes_of_the_shipped_one(settings_of, experiment, scale):
    def classes(*typed: str) -> list:
        parts = parts_of(settings_of(experiment, scale, *typed)).values()
        return [part["data"]["classes"] for part in parts]

    assert ["airplane", "horse"] in classes() or ["frog", "horse"] in classes()
    assert set(map(str, classes("data=mnist"))) == {"None"}
    assert set(map(str, classes("data=own", "data.path=x.npz"))) == {"None"}
    assert classes("data=mnist", "data.classes=[3,8]")[0] == [3, 8]
    if experiment != "figs6":
        assert classes("data=cifar10_binary")[0] == ["airplane", "horse"]
