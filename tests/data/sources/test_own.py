"""Files of the user's: what comes back, what is refused and in which words, and that a changed file is read again."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ntkrun.data.dataset import load_dataset, select_classes
from ntkrun.data.sources.load import forget_images, load_images
from ntkrun.data.sources.own import load_own
from ntkrun.data.summary import hints, summary
from ntkrun.errors import UserError

RNG = np.random.default_rng(0)
X, LABELS = RNG.integers(0, 256, (10, 4, 5, 3), dtype=np.uint8), np.arange(10) % 3
VECTORS, TARGETS = RNG.normal(size=(10, 6)), RNG.normal(size=(10, 2))


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., str]:
    def written(**arrays: Any) -> str:
        np.savez(tmp_path / "mine.npz", **arrays)
        return str(tmp_path / "mine.npz")

    return written


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., str]:
    def written(**columns: Any) -> str:
        pq.write_table(pa.table(columns), tmp_path / "mine.parquet", row_group_size=4)
        return str(tmp_path / "mine.parquet")

    return written


def test_a_file_with_a_split_keeps_it(npz):
    found = load_own(npz(x_train=X[:7], y_train=LABELS[:7], x_test=X[7:], y_test=LABELS[7:]))
    np.testing.assert_array_equal(found.train_images, X[:7])
    np.testing.assert_array_equal(found.test_labels, LABELS[7:])
    assert found.class_names == ("0", "1", "2") and found.source == "own" and not found.split
    assert found.train_labels.dtype == np.int64
    assert isinstance(found.train_images, np.ndarray) and not found.train_images.flags.writeable


def test_a_file_without_a_split_is_split_once_and_for_all(npz):
    x = np.arange(1, 41.0).reshape(20, 2)
    found = load_own(npz(x=x, y=x[:, :1]))
    forget_images()
    again = load_own(npz(x=x, y=x[:, :1]))
    assert len(found.train_images) == 16 and len(found.test_images) == 4 and "seed 0" in found.split
    np.testing.assert_array_equal(found.train_images, again.train_images)
    rows = np.concatenate([np.asarray(found.train_images), np.asarray(found.test_images)])
    assert sorted(rows[:, 0].tolist()) == x[:, 0].tolist() and rows[:, 0].tolist() != x[:, 0].tolist()
    np.testing.assert_array_equal(np.asarray(found.train_images)[:, :1], found.train_labels)


@pytest.mark.parametrize(
    "x", [X, X[..., 0], X / 255.0, VECTORS, VECTORS.astype(">f4"), (10 * VECTORS).astype(np.int32)]
)
@pytest.mark.parametrize("y", [LABELS, LABELS.astype(np.uint8), TARGETS, TARGETS.astype(np.float32)])
def test_inputs_and_answers_of_every_kind(npz, x, y):
    path = npz(x=x, y=y)
    kinds: dict[str, Any] = dict(targets="one_hot" if y.ndim == 1 else "given", preprocess="sphere", seed=0)
    data = load_dataset(name="own", source="auto", path=path, classes=None, n_train=None, n_test=2, **kinds)
    assert data.has_classes == (y.ndim == 1) and data.y_train.shape == (8, 3 if y.ndim == 1 else 2)
    assert data.x_train.shape[1:] == (x.shape[1:] if x.ndim != 3 else (4, 5, 1))
    np.testing.assert_allclose(np.square(data.x_test).reshape(2, -1).sum(axis=1), np.prod(x.shape[1:]))
    assert data.describe()["file"] == "mine.npz"


def test_classes_are_chosen_by_name_and_number(npz):
    path = npz(x=X, y=LABELS, class_names=np.array(["ant", "bee", "cat"]))
    options: dict[str, Any] = dict(
        name="own", source="auto", path=path, n_train=3, n_test=None, preprocess="global", targets="signed"
    )
    data = load_dataset(classes=("cat", "ant"), seed=0, **options)
    assert data.class_names == ("cat", "ant")
    np.testing.assert_array_equal(data.y_train, load_dataset(classes=(2, 0), seed=0, **options).y_train)
    with pytest.raises(UserError, match=r"no class dog; .*mine\.npz has: ant, bee, cat"):
        load_dataset(classes=("dog", "ant"), seed=0, **options)


def test_classes_without_names_are_the_labels_that_occur(npz):
    gaps = np.array([0, 2, 5])[LABELS]
    found, column = (load_own(npz(x=X, y=y)) for y in (gaps, gaps[:, None]))
    assert found.class_names == ("0", "2", "5") and "no training examples" not in summary(found)
    assert column.fingerprint == found.fingerprint
    np.testing.assert_array_equal(select_classes(found, (5, 2)), (2, 1))
    with pytest.raises(UserError, match=r"no class 1; .* has: 0, 2, 5"):
        select_classes(found, (1, 5))


def test_whole_numbers_are_told_as_they_are_saved(npz):
    given = load_own(npz(x=(10 * VECTORS).astype(np.int64), y=LABELS))
    assert "int64, taken as float64" in summary(given) and given.train_images.dtype == np.float64
    assert "taken as" not in summary(load_own(npz(x=X, y=LABELS)))


def test_what_may_not_be_meant_so_is_told(npz):
    named = load_own(npz(x=X, y=2 * (LABELS > 0), class_names=np.array(["ant", "bee", "cat"])))
    assert hints(named) and "class bee" in hints(named)[0] and "data.classes=[ant,cat]" in hints(named)[0]
    assert not hints(named, ("ant", "cat")) and "class bee" in summary(named)
    assert "y.argmax(axis=1)" in summary(load_own(npz(x=X, y=np.eye(3)[LABELS]))) and not hints(
        load_own(npz(x=X, y=TARGETS))
    )


@pytest.mark.parametrize("images", [False, True])
def test_the_same_arrays_from_both_kinds_of_file(npz, parquet, images):
    x, y = (X, LABELS) if images else (VECTORS, TARGETS)
    split = np.array(["train"] * 6 + ["test"] * 4)
    columns = {"x": pa.array(x.tolist(), pa.list_(pa.list_(pa.list_(pa.uint8()))) if images else None)}
    from_table = load_own(parquet(**columns, y=y.tolist(), split=split))
    from_archive = load_own(npz(x_train=x[:6], y_train=y[:6], x_test=x[6:], y_test=y[6:]))
    assert from_table.fingerprint == from_archive.fingerprint


def test_a_column_for_each_coordinate(parquet):
    found = load_own(parquet(height=VECTORS[:, 0], y=LABELS, age=np.arange(10), split=["train"] * 5 + ["test"] * 5))
    np.testing.assert_array_equal(found.train_images, np.stack([VECTORS[:5, 0], np.arange(5)], axis=1))


@pytest.mark.parametrize("index", [None, "patient"])
def test_an_index_of_pandas_is_no_input(tmp_path, index):
    """Rows that were shuffled or chosen keep their old numbers, which pandas writes as a column."""
    frame = pd.DataFrame({"height": VECTORS[:, 0], "age": VECTORS[:, 1], "y": LABELS}).iloc[::-1].rename_axis(index)
    frame.to_parquet(tmp_path / "frame.parquet")
    found = load_own(str(tmp_path / "frame.parquet"))
    assert found.train_images.shape[1:] == (2,)
    frame.set_index("y").to_parquet(tmp_path / "labels.parquet")  # what has a meaning here stays
    assert load_own(str(tmp_path / "labels.parquet")).fingerprint == found.fingerprint


NAN = np.where(np.arange(10)[:, None] == 3, np.nan, VECTORS)
OBJECTS = np.array([{}, []] * 5, dtype=object)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no y": (dict(x=X), r"holds x: it needs x_train, y_train, x_test, y_test, or x and y"),
    "half a split": (dict(x_train=X, y_train=LABELS), "it needs x_train, y_train, x_test, y_test"),
    "both": (dict(x=X, y=LABELS, x_train=X, y_train=LABELS, x_test=X, y_test=LABELS), "nothing else"),
    "unknown array": (dict(x=X, y=LABELS, class_name=LABELS), "class_name"),
    "objects": (dict(x=OBJECTS, y=LABELS), "x holds Python objects"),
    "words": (dict(x=X.astype(str), y=LABELS), "must hold uint8 pixels or floating-point numbers"),
    "pixels in int64": (dict(x=X.astype(int), y=LABELS), r"x\.astype\(numpy\.uint8\)"),
    "one axis": (dict(x=VECTORS[:, 0], y=LABELS), r"float64 \(10,\): it must be images"),
    "five axes": (dict(x=X[..., None], y=LABELS), "must be images"),
    "no pixels": (dict(x=X[:, :0], y=LABELS), "must be images"),
    "nan": (dict(x=NAN, y=LABELS), "x holds 6 numbers that are not finite"),
    "nan targets": (dict(x=X, y=NAN), "y holds 6 numbers that are not finite"),
    "rows": (dict(x=X, y=LABELS[:7]), "x and y have 10 and 7 rows"),
    "empty": (dict(x_train=X[:0], y_train=LABELS[:0], x_test=X, y_test=LABELS), "x_train and y_train are empty"),
    "few": (dict(x=X[:4], y=LABELS[:4]), "4 examples are too few to split"),
    "sizes": (dict(x_train=X, y_train=LABELS, x_test=X[:, :2], y_test=LABELS), "they must be alike"),
    "scales": (dict(x_train=X, y_train=LABELS, x_test=X / 255, y_test=LABELS), "they must be alike"),
    "kinds": (dict(x_train=X, y_train=LABELS, x_test=X, y_test=TARGETS), "both must be labels"),
    "number of targets": (dict(x_train=X, y_train=TARGETS, x_test=X, y_test=TARGETS[:, :1]), "both must be labels"),
    "one colour": (dict(x=0 * X, y=LABELS), "are the same"),
    "float labels": (dict(x=X, y=LABELS / 1.0), r"y\[:, None\] is one target each"),
    "one-hot whole numbers": (dict(x=X, y=np.eye(3, dtype=int)[LABELS]), r"y\.argmax\(axis=1\) are the labels"),
    "words for labels": (dict(x=X, y=LABELS.astype(str)), r"class_names, y = numpy\.unique\(y, return_inverse=True\)"),
    "truth for labels": (dict(x=X, y=LABELS == 1), r"y\.astype\(int\) are labels"),
    "three axes": (dict(x=X, y=np.zeros((10, 2, 2))), r"y\.reshape\(len\(y\), -1\)\.astype\(float\) is 4 targets each"),
    "complex targets": (dict(x=X, y=TARGETS * 1j), "real numbers alone"),
    "negative label": (dict(x=X, y=LABELS - 1), "labels run from -1 to 1: number the classes 0..K-1"),
    "huge label": (dict(x=X, y=LABELS + 20260101), "number the classes"),
    "label without a name": (dict(x=X, y=LABELS, class_names=np.array(["a", "b"])), r"from 0 to 2: .* 0\.\.1"),
    "one class": (dict(x=X, y=0 * LABELS), "all labels are 0"),
    "names twice": (dict(x=X, y=LABELS, class_names=np.array(["a", "b", "a"])), "each once"),
    "names of targets": (dict(x=X, y=TARGETS, class_names=np.array(["a", "b"])), "class_names is for labels"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_an_archive_that_does_not_fit_is_refused_in_one_line(npz, which):
    arrays, says = REFUSED[which]
    with pytest.raises(UserError, match=says) as error:
        load_own(npz(**arrays))
    assert "\n" not in str(error.value) and "mine.npz" in str(error.value)


ROWS = list(range(10))
TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "no y": (dict(x=ROWS), "it needs y"),
    "no inputs": (dict(y=ROWS), "it has no inputs"),
    "x and others": (dict(x=ROWS, y=ROWS, z=ROWS), "it has x and z"),
    "empty entries": (dict(a=[None, *ROWS[1:]], y=ROWS), "column a has 1 empty entries"),
    "empty entries in lists": (dict(x=[[1.0, None]] * 10, y=ROWS), "column x has 10 empty entries"),
    "lengths": (dict(x=[[1.0], [1.0, 2.0]] * 5, y=ROWS), "2 lengths"),
    "words": (dict(a=ROWS, b=["u"] * 10, y=ROWS), "column b holds no numbers"),
    "split": (dict(a=ROWS, y=ROWS, split=["train", "valid"] * 5), "split holds train, valid: it must be train or test"),
    "no test rows": (dict(a=ROWS, y=ROWS, split=["train"] * 10), "both must be there"),
}


@pytest.mark.parametrize("which", TABLES)
def test_a_table_that_does_not_fit_is_refused_in_one_line(parquet, which):
    columns, says = TABLES[which]
    with pytest.raises(UserError, match=says) as error:
        load_own(parquet(**columns))
    assert "\n" not in str(error.value) and "mine.parquet" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("mine.pkl", b"cos\nsystem\n", "ends in .npz or .parquet"),
        ("mine.npz", b"cos\nsystem\n", "it is no .npz archive"),
        ("mine.parquet", b"cos\nsystem\n", "cannot be read"),
        ("none.npz", None, "not a file that is there"),
    ],
)
def test_files_of_other_kinds_are_refused_in_one_line(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says) as error:
        load_own(str(tmp_path / name))
    assert "\n" not in str(error.value) and name in str(error.value)


def test_a_changed_file_is_read_again(npz):
    before = load_own(path := npz(x=X, y=LABELS))
    status = os.stat(path)
    assert load_images("own", path=npz(x=X[::-1], y=LABELS)).fingerprint != before.fingerprint
    npz(x=X, y=LABELS[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_own(path).fingerprint != before.fingerprint


def test_the_summary_names_sizes_classes_and_range(npz):
    of_labels = summary(load_own(npz(x=X, y=LABELS, class_names=np.array(["ant", "bee", "cat"]))))
    assert "images of 4 x 5 x 3" in of_labels and "8 train, 2 test" in of_labels and "ant (" in of_labels
    x = np.where(np.arange(10)[:, None] < 9, VECTORS, 1e6)
    of_targets = summary(load_own(npz(x_train=x, y_train=TARGETS, x_test=x, y_test=TARGETS)))
    assert "vectors of 6 numbers" in of_targets and "1e+06" in of_targets and "k = 2" in of_targets
