"""What a run does where MNIST or CIFAR-10 is not prepared: it fetches the set, or says why not and runs a demo."""

from functools import partial
from pathlib import Path

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from small_web import FILES, Web, published, serving

from ntkrun.data.sources import download, load
from ntkrun.data.sources.load import forget_images, load_images
from ntkrun.data.sources.prepare import prepare
from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.runner.data_sets import at_hand
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import Store

TINY = ("experiment=lockstep", "scale=smoke", "data=mnist", "data.n_train=8", "data.n_test=4", "optimizer.steps=2")


@pytest.fixture
def web(no_data, monkeypatch):
    """A network where MNIST is published, small."""
    files = FILES["mnist"]()
    with serving(files) as web:
        monkeypatch.setattr(load, "prepare", partial(prepare, base_url=web.url, published=published(files)))
        monkeypatch.setattr(download, "PAUSE", 0.001)
        yield web


@pytest.fixture
def images_of_a_run(settings_of, tmp_path):
    """The fingerprints that a run would use, and what is said about them."""

    def found(*overrides: str) -> tuple[set[str], list[str]]:
        cells = make_cells(load_experiment("lockstep"), settings_of("lockstep", "smoke", "data=mnist", *overrides))
        hand = at_hand(cells, Store(tmp_path, "smoke", "lockstep"))
        return set(hand.of.values()), hand.notes

    return found


def test_a_run_fetches_the_set_once_and_uses_it(images_of_a_run, web: Web, no_data: Path):
    for _ in range(2):
        assert images_of_a_run() == ({load_images("mnist", "tfds", download=False).fingerprint}, [])
        forget_images()
    assert len(web.asked) == len(web.files) and (no_data / "tensorflow_datasets" / "mnist" / "3.0.1").is_dir()


def test_stage_data_fetches_also_into_a_folder_that_is_named(ntkrun, web: Web, no_data: Path, monkeypatch):
    (own := no_data / "own").mkdir()
    monkeypatch.setenv("NTKRUN_DATA_DIR", str(own))
    code, _, err = ntkrun(*TINY)
    assert code == 2 and f"NTKRUN_DATA_DIR={own} has no prepared mnist" in err and "stage=data data=mnist" in err
    assert not web.asked and not (no_data / "results").exists()
    for _ in range(2):
        code, out, _ = ntkrun(*TINY, "stage=data")
        assert code == 0 and "mnist (tfds)" in out and "60 train, 20 test" in out
    assert len(web.asked) == len(web.files) and (own / "mnist" / "3.0.1").is_dir()


def test_data_download_forbids_it(images_of_a_run, web: Web, no_data: Path):
    assert images_of_a_run("data.download=false") == ({load_images("mnist", "stand_in").fingerprint}, [])
    with pytest.raises(UserError, match=r"data\.download=false"):
        images_of_a_run("data.download=false", "data.source=tfds")
    assert not web.asked and not (no_data / "tensorflow_datasets").exists()


@pytest.mark.usefixtures("no_data")
def test_without_a_network_a_demo_takes_its_place_and_one_line_says_why(images_of_a_run):
    found, (line,) = images_of_a_run()
    assert found == {load_images("mnist", "stand_in").fingerprint}
    assert line.startswith("mnist cannot be fetched, storage.googleapis.com is not reached") and "demo" in line


def test_a_fault_on_the_way_is_no_demo(images_of_a_run, web: Web):
    web.files["t10k-labels-idx1-ubyte.gz"] = b"damaged"
    with pytest.raises(UserError, match=r"is not the published file|broke off"):
        images_of_a_run()
