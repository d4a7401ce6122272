"""Paths are taken as a shell passes them, whatever letters they have; what means more to Hydra than a path stays."""

import numpy as np
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.cli.hydra.compose import compose
from ntkrun.cli.typed_paths import with_paths_quoted


@pytest.mark.parametrize(
    "path",
    [
        "~/x.npz",
        "Maße (neu)/ä.npz",
        "数据/x.npz",
        "of O'Brien.npz",
        "a=b.npz",
        "a#1;b!.npz",
        "x[1]/y{2}.npz",
        "a b/c-1.npz",
    ],
)
def test_a_path_is_what_was_typed(path):
    typed = with_paths_quoted([f"data.path={path}", f"results_dir={path}"])
    settings = compose(["experiment=lockstep", "scale=smoke", *typed]).settings
    assert settings["data"]["path"] == path and settings["results_dir"] == path


@pytest.mark.parametrize(
    "argument",
    [
        "data.path=[ä.npz,b.npz]",
        "data.path='ä.npz'",
        "results_dir=glob(*)",
        "data.path=a.npz,b.npz",
        "model.path=nets:Maße",
        "data.path=null",
        "--cfg",
    ],
)
def test_what_is_no_single_path_or_quoted_stays(argument):
    assert with_paths_quoted([argument]) == [argument]


def test_the_command_line_takes_such_paths(ntkrun, tmp_path):
    folder = tmp_path / "Maße (neu)"
    folder.mkdir()
    np.savez(folder / "größe.npz", x=np.random.default_rng(0).normal(size=(10, 3)), y=np.arange(10) % 2)
    sizes = ("data.n_train=8", "data.n_test=2")
    code, out, err = ntkrun("stage=data", f"data.path={folder}/größe.npz", *sizes)
    assert (code, err) == (0, "") and "vectors of 3 numbers" in out
    code, out, err = ntkrun("stage=list", f"results_dir={folder}")
    assert code == 0, err
