"""A bundle from end to end: made here, run in a bare folder without network, taken back, compared."""

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from pandas.testing import assert_frame_equal

from ntkrun.bundle.manifest import Sizes
from ntkrun.bundle.needs import NOT_FOR_A_RUN
from ntkrun.cli.configs import PACKAGE
from ntkrun.data.sources import carried
from ntkrun.errors import UserError
from ntkrun.runner.provenance import code_version
from ntkrun.runner.store import read_table

FIGURES = "experiment=fig3,fig1"
# What imports these fails: all that a run in a bundle does without, and what the tests bring besides.
BLOCKED = {name.replace("-", "_") for name in NOT_FOR_A_RUN} - {"packaging"} | {
    "skimage",
    "sklearn",
    "beartype",
    "submitit",
}
SITECUSTOMIZE = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " is not on this machine")

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def packages(tmp_path) -> Path:
    """All that is installed here, so that nothing has to be fetched."""
    path = tmp_path / "packages.txt"
    path.write_text(
        "".join(f"{d.name}=={d.version}\n" for d in importlib.metadata.distributions() if d.name != "ntkrun")
    )
    return path


@pytest.fixture
def no_network() -> list[str]:
    """What a command starts with to have no network at all."""
    prefix = ["unshare", "--net"]
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("unshare is not there: util-linux has it")
    if done.returncode:
        pytest.skip(f"a process without network cannot be made here: {done.stderr.strip()}")
    return prefix


@pytest.fixture
def elsewhere(tmp_path) -> dict[str, str]:
    """The environment of another machine: no data, no home, none of ntkrun's variables, packages blocked."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    (home / "sitecustomize.py").write_text(SITECUSTOMIZE)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("XLA", "JAX")) or name == "PATH"}
    return kept | {"HOME": str(home), "PYTHONPATH": str(home), "PYTHON": sys.executable}


def tables(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.glob("*/*/cells/*.parquet")}


@pytest.mark.end_to_end
def test_a_bundle_runs_without_network_and_comes_back(
    ntkrun,
    tmp_path,
    packages,
    elsewhere,
    no_network,
):
    code, out, err = ntkrun(FIGURES, "scale=smoke", "stage=bundle", "into=bundle", f"target={packages}", "limit_mb=5")
    assert code == 0, err
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    whole = sum(path.stat().st_size for path in (tmp_path / "bundle").rglob("*") if path.is_file())
    assert "wheels: none" in out and f"{whole / 1e6:.3f} MB  all" in out
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "packages.txt", "elsewhere"}, "nothing half-written"
    bare = tmp_path / "elsewhere" / "bundle"
    shutil.move(tmp_path / "bundle", bare)

    def run(*further: str) -> subprocess.Popen:
        command, pipe = [*no_network, "sh", "bundle/run.sh", *further], subprocess.PIPE
        return subprocess.Popen(command, cwd=bare.parent, env=elsewhere, stdout=pipe, stderr=pipe, text=True)

    there = run("checkpoint_minutes=3", "minutes=4.5", "jobs=2")
    out, err = there.communicate(timeout=300)
    assert (
        there.returncode == 0 and f"{len(manifest['cells'])} of {len(manifest['cells'])} cells finished now" in out
    ), out + err
    came = tables(bare / "results")
    with tarfile.open(bare / "results" / "cells.tar.gz") as archive:
        assert set(archive.getnames()) == came.keys(), "no locks, no checkpoints"
    assert {path.name for path in came.values()} == {cell["file"] for cell in manifest["cells"]}

    # not meanwhile: what is compiled there is not compiled again
    for name in FIGURES.partition("=")[2].split(","):
        assert ntkrun(f"experiment={name}", "scale=smoke", "stage=run", "results_dir=direct")[0] == 0
    direct = tables(tmp_path / "direct")
    assert direct.keys() == came.keys() and len(came) >= 3
    for name, path in direct.items():
        table, facts = read_table(came[name])
        ours = read_table(path)
        assert_frame_equal(table.drop(columns="value"), ours[0].drop(columns="value"))
        # last digits of products, which another process need not share
        np.testing.assert_allclose(table["value"], ours[0]["value"], rtol=1e-9, atol=1e-12)
        assert facts["facts"]["data"] == ours[1]["facts"]["data"] and facts["code"] == code_version()

    # images that are not in the bundle, and others than were put there
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(carried.VARIABLE, str(bare / "images"))
        code, _, err = ntkrun("experiment=fig3", "scale=smoke", "stage=run", "data.n_train=17", "results_dir=other")
    assert code == 2 and "1 of the 17 images asked for are not among the 16" in err and err.count("\n") == 1
    assert not (tmp_path / "other").exists()
    path = next((bare / "images").iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    changed = run()
    _, err = changed.communicate(timeout=60)
    assert changed.returncode == 2 and f"images/{path.name}; copy the bundle here again" in err

    back = ["experiment=all", "scale=smoke", "results_dir=home"]
    code, out, _ = ntkrun(*back, "stage=merge", f"from={bare}/results/cells.tar.gz")
    assert code == 0 and f"{len(came)} merged, 0 there already and equal" in out
    code, out, _ = ntkrun(*back, "stage=merge", f"from={bare}")
    assert code == 0 and f"0 merged, {len(came)} there already and equal" in out
    assert ntkrun("experiment=fig3", *back[1:], "stage=verify")[0] == 0
    code, out, _ = ntkrun(FIGURES, "scale=smoke", "results_dir=direct", "stage=compare", "other=home")
    assert code == 0 and "11 of 11 claims fare alike" in out


def test_what_a_bundle_cannot_be_is_said_before_anything_is_written(ntkrun, tmp_path, packages):
    bundle = ["experiment=fig3", "scale=smoke", "stage=bundle", f"target={packages}", "data.source=stand_in"]
    (tmp_path / "there").mkdir()
    wrong = {
        ("into=there",): "is there already: name a new folder",
        ("into=no/such/place",): "needs a folder to lie in",
        ("into=b", "limit_mb=.1"): "larger than limit_mb=0.1 with ntkrun 0.",
        ("into=b", "limit_mb=1", "data.n_train=1000", "data.classes=null"): "images of photos at least ",
        ("into=b", "data.n_train=70000"): "use data.n_train=1..1000",
        ("into=b", "model.width=0"): "greater than or equal to 1",
    }
    before = set(tmp_path.rglob("*"))
    for arguments, text in wrong.items():
        code, _, err = ntkrun(*bundle, *arguments)
        assert code == 2 and text in err and err.count("\n") == 1, err
        assert set(tmp_path.rglob("*")) == before


def test_a_limit_is_held_against_every_part_and_names_them():
    sizes = Sizes(3.0)
    sizes.add("ntkrun", 500_000)
    sizes.add("nothing", 0)
    sizes.expect({"images": 2_500_000.0})
    with pytest.raises(UserError, match=r"limit_mb=3 with ntkrun 0.5 MB, images at least 2.6 MB: bundle fewer"):
        sizes.expect({"images": 2_600_000.0})
    sizes.add("wheels", 2_500_000)
    assert str(sizes).split() == ["0.500", "MB", "ntkrun", "2.500", "MB", "wheels", "3.000", "MB", "all"]
    with pytest.raises(UserError, match=r"ntkrun 0.5 MB, wheels 2.5 MB, manifest 0.001 MB"):
        sizes.add("manifest", 1_000)
    Sizes(None).add("everything", 10**12)


STAGES = {
    ("stage=bundle",): "name it, into=bundle",
    ("stage=merge",): "name it, from=results-elsewhere",
    ("stage=compare",): "or name the results of another machine, other=results-elsewhere",
    ("into=x",): "into=x is for stage=bundle: leave it out, or type stage=bundle",
    ("stage=run", "limit_mb=64"): "limit_mb=64.0 is for stage=bundle",
    ("stage=bundle", "into=x", "from=y"): "from=y is for stage=merge",
    ("stage=merge", "from=y", "other=x"): "other=x is for stage=compare",
    ("stage=merge", "from=y"): "from=y is not there: name a folder of results",
    ("stage=compare", "other=packages.txt"): "is no folder and no tar archive",
    ("stage=bundle", "into=x", "target=y"): "cannot read target=y",
    ("stage=bundle", "into=x", "target_python=2.7"): "target_python=2.7",
    ("stage=bundle", "into=x", "target_platform=win32"): "target_platform=win32",
    ("stage=bundle", "into=x", "-m"): "without -m, --config-dir",
    ("stage=bundle", "into=[a,b]"): "into takes one value",
    ("stage=merge", "from=[a,b]"): "from takes one value",
}


@pytest.mark.parametrize("arguments", STAGES, ids=" ".join)
def test_a_setting_belongs_to_its_stage(ntkrun, tmp_path, packages, arguments):
    code, _, err = ntkrun("experiment=fig3", "scale=smoke", *arguments)
    assert code == 2 and STAGES[arguments] in err and err.count("\n") == 1, err
    assert {path.name for path in tmp_path.iterdir()} == {"packages.txt"}


def test_lists_of_experiments(ntkrun):
    for names, text in (("fig3,fig99", "'fig99' is not known; choose from fig1"), ("fig3,fig3", "named twice")):
        code, _, err = ntkrun(f"experiment={names}", "scale=smoke")
        assert code == 2 and text in err and err.count("\n") == 1
    code, out, err = ntkrun("experiment=figs9,figs10", "scale=smoke", "stage=verify")
    assert code == 2 and "[1/2] figs9" in out and "[2/2] figs10" in out and err.count("there is no table") == 2


def test_a_network_of_the_users_goes_along_with_what_it_imports(ntkrun, tmp_path, packages, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "parts.py").write_text("WIDTH = 3\n")
    (tmp_path / "mine" / "net.py").write_text("from mine.parts import WIDTH\n\nclass Net:\n    pass\n")
    free = ["experiment=lockstep", "scale=smoke", "data.source=stand_in", "allow_custom=true", f"target={packages}"]
    code, _, err = ntkrun(*free, "model.path=mine.net:Net", "model.args.depth=2", "stage=bundle", "into=bundle")
    assert code == 0 and "photos" in err, err
    own = tmp_path / "bundle" / "own"
    assert sorted(path.relative_to(own).as_posix() for path in own.rglob("*.py")) == [
        "mine/__init__.py", "mine/net.py", "mine/parts.py"
    ]  # fmt: skip
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    # where it comes to, the same modules have the same hash, and so has the cell
    shutil.rmtree(tmp_path / "mine")
    script = (
        "import sys\n"
        "from ntkrun.cli.hydra.compose import compose\n"
        "from ntkrun.experiments.figures import load_experiment\n"
        "from ntkrun.runner.plan import make_cells\n"
        "raw = compose(sys.argv[1:]).settings\n"
        "print(make_cells(load_experiment('lockstep'), raw)[0].config_hash)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(own), str(PACKAGE.parent)])}
    done = subprocess.run(
        [sys.executable, "-c", script, *manifest["command"][1:]], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == manifest["cells"][0]["config_hash"], done.stderr


def test_data_of_the_users_go_along(ntkrun, tmp_path, packages, monkeypatch):
    rng = np.random.default_rng(0)
    (tmp_path / "mine").mkdir()
    for name, seed in (("a", 0), ("b", 1)):
        np.savez(tmp_path / "mine" / f"{name}.npz", x=rng.normal(size=(20, 4)), y=np.arange(20) % (2 + seed))
    shutil.copy(tmp_path / "mine" / "a.npz", tmp_path / "mine" / "c.npz")
    files = "data.path=[mine/a.npz,mine/b.npz]"
    small = ["experiment=lockstep", "scale=smoke", "data.n_train=8", "data.n_test=3", "optimizer.steps=2"]
    code, out, err = ntkrun(*small, files, "stage=bundle", "into=bundle", f"target={packages}")
    whole = sum(path.stat().st_size for path in (tmp_path / "bundle").rglob("*") if path.is_file())
    assert (
        code == 0 and "mine/a.npz (own): 8 of 16 train, 3 of 4 test" in out and f"{whole / 1e6:.3f} MB  all" in out
    ), err
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    shutil.rmtree(tmp_path / "mine")
    monkeypatch.setenv(carried.VARIABLE, str(tmp_path / "bundle" / "images"))
    code, out, err = ntkrun(*manifest["command"][1:], "stage=data")
    assert code == 0 and all(one["fingerprint"][:12] in out for one in manifest["images"]), err
    assert len({cell["file"] for cell in manifest["cells"]}) == len(manifest["images"]) == 2
    code, _, err = ntkrun(*small, "data.path=mine/c.npz", "stage=data")
    assert code == 2 and "carries no data.path=mine/c.npz" in err and err.count("\n") == 1


def test_parameters_in_a_file_are_not_carried_and_said_so(ntkrun, tmp_path, packages, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "stored_net.py").write_text("class Net:\n    pass\n")
    (tmp_path / "theta.safetensors").write_bytes(b"theta")
    own = ["model.path=stored_net:Net", "allow_custom=true", "model.parameters=theta.safetensors"]
    free = ["experiment=lockstep", "scale=smoke", "data.source=stand_in", *own, "stage=bundle", f"target={packages}"]
    code, _, err = ntkrun(*free, "into=bundle")
    assert code == 2 and "model.parameters=theta.safetensors is a file that a bundle does not carry" in err
    assert err.count("\n") == 1 and not (tmp_path / "bundle").exists(), err


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("further", "said"),
    [
        ((), "interrupted: 1 of 2 cells finished"),
        # with a time: of a device that is said to be fast, so that the long cell is begun
        (("minutes=600", "flop_rate=1e15"), "stopped, goes on from its checkpoint"),
    ],
)
def test_a_request_to_stop_reaches_ntkrun_and_what_is_finished_is_packed(
    ntkrun,
    tmp_path,
    packages,
    elsewhere,
    further,
    said,
):
    bundle = ["experiment=lockstep", "scale=smoke", "optimizer.steps=[16,3000000]", "data.source=stand_in"]
    assert ntkrun(*bundle, "stage=bundle", "into=bundle", f"target={packages}")[0] == 0
    out = tmp_path / "out"
    command = ["sh", str(tmp_path / "bundle" / "run.sh"), *further]
    run = subprocess.Popen(
        command, env=elsewhere | {"OUT": str(out)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("*/*/cells/*.parquet")) and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        while not list(out.glob("*/*/cells/*.lock")) and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1.0)
        run.send_signal(signal.SIGTERM)
        told, err = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 128 + signal.SIGTERM, err
    assert said in told + err
    with tarfile.open(out / "cells.tar.gz") as archive:
        assert archive.getnames() == [path.relative_to(out).as_posix() for path in out.glob("*/*/cells/*.parquet")]


def test_another_python_is_refused_in_one_line(tmp_path, root):
    text = (root / "ntkrun" / "bundle" / "run.sh").read_text().replace("@PYTHON@", "3.999")
    (tmp_path / "run.sh").write_text(text)
    done = subprocess.run(
        ["sh", str(tmp_path / "run.sh")], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 2 and "set PYTHON=/path/to/python3.999" in done.stderr and done.stderr.count("\n") == 1
    assert carried.VARIABLE in text and not (tmp_path / "results").exists()
