"""Sets of TFDS beyond MNIST and CIFAR-10, prepared on this machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntkrun.data.dataset import load_dataset
from ntkrun.data.sources.load import load_images
from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.planned_work import sizes
from ntkrun.runner.plan import make_cells


@pytest.fixture
def prepared(no_data: Path, monkeypatch: pytest.MonkeyPatch, mini_data: Path) -> Callable[..., None]:
    """Prepares the small MNIST under another name; what is given changes its dataset_info.json or its features.json."""

    def made(name: str, info: dict[str, Any] | None = None, label: str | None = None) -> None:
        short, _, configuration = name.partition("/")
        old, new = mini_data / "mnist" / "3.0.1", no_data / "data" / name / "1.0.0"
        new.mkdir(parents=True)
        for file in old.iterdir():
            (new / file.name.replace("mnist", short)).write_bytes(file.read_bytes())
        told = json.loads((old / "dataset_info.json").read_text())
        told |= {"name": short, "version": "1.0.0"} | ({"configName": configuration} if configuration else {})
        (new / "dataset_info.json").write_text(json.dumps(told | (info or {})))
        if label is not None:
            features = (new / "features.json").read_text()
            (new / "features.json").write_text(features.replace('"label"', json.dumps(label)))
        monkeypatch.setenv("NTKRUN_DATA_DIR", str(no_data / "data"))

    return made


@pytest.mark.parametrize("name", ["fashion_mnist", "emnist/letters"])
def test_a_prepared_set_is_read_under_its_name(prepared, digits_of, name):
    prepared(name)
    for source in ("auto", "tfds"):
        images = load_images(name, source)
        assert (images.name, images.source, images.is_stand_in) == (name, "tfds", False)
        assert images.train_images.shape == (60, 28, 28, 1)
        assert int(np.asarray(images.train_images).sum()) == int(digits_of("train")[0].sum(dtype=np.int64))


def test_classes_sizes_and_cells_are_its_own(prepared, settings_of):
    prepared("fashion_mnist")
    lockstep = load_experiment("lockstep")
    raw = settings_of(
        "lockstep", "smoke", "data.name=fashion_mnist", "data.classes=[3,5]", "data.n_train=null", "data.n_test=3"
    )
    (cell,) = make_cells(lockstep, raw)
    data = cell.settings.images
    assert data is not None and sizes(data, "mse") == (12, 3, 1)
    options: dict[str, Any] = dict(
        preprocess="global", targets="one_hot", seed=0, source="auto", n_train=20, n_test=5, classes=None
    )
    assert load_dataset(name="fashion_mnist", **options).describe()["name"] == "fashion_mnist"
    (other,) = make_cells(
        lockstep,
        settings_of("lockstep", "smoke", "data=mnist", "data.classes=[3,5]", "data.n_train=null", "data.n_test=3"),
    )
    assert cell.config_hash != other.config_hash


SPLIT = {"filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", "numBytes": "1", "shardLengths": ["60"]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(info={"splits": [SPLIT | {"name": "train"}]}), "has the splits train: it needs train and test"),
        (dict(info={"fileFormat": "tfrecord"}), "need TensorFlow to read.*prepare it again"),
        (dict(label="weight"), "features image, weight: it needs image and a class, label"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused_in_one_line(prepared, changes, says):
    prepared("svhn", **changes)
    with pytest.raises(UserError, match=says) as error:
        load_images("svhn")
    assert "\n" not in str(error.value) and "stage=data" not in str(error.value)


@pytest.mark.parametrize("source", ["auto", "tfds", "stand_in"])
def test_a_set_that_is_not_there_is_neither_downloaded_nor_replaced(prepared, source):
    prepared("fashion_mnist")
    with pytest.raises(UserError) as error:
        load_images("svhn", source)
    line = str(error.value)
    assert "\n" not in line and "svhn" in line
    assert ("mnist and cifar10 alone" if source == "stand_in" else "there: fashion_mnist") in line
