"""Which packages are missing on a machine: the real pip, on an index of our own."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from tiny_wheels import add_source, add_wheel

from ntkrun.bundle import own_wheel
from ntkrun.bundle.needs import NOT_FOR_A_RUN, requirements
from ntkrun.bundle.target import PLATFORM, Target, read_packages
from ntkrun.bundle.wheels import Closure, missing_wheels
from ntkrun.errors import UserError

real_pip = pytest.mark.end_to_end  # a process and a second each time it is asked


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def closure(folder: Path, roots: list[str], python: str = "3.12", **there: str | None) -> tuple[set[str], Closure]:
    packages = {name: Version(version) if version else None for name, version in there.items()}
    folder.mkdir(exist_ok=True)
    found = missing_wheels([Requirement(root) for root in roots], Target(python, PLATFORM, packages), folder)
    named = {f"{wheel.name} {wheel.version}" for wheel in found.wheels}
    assert {path.name for path in folder.iterdir()} == {wheel.path.name for wheel in found.wheels}
    return named, found


@real_pip
def test_the_closure_on_the_target_less_what_is_there(index, tmp_path):
    """Markers are those of the target, whichever Python runs this; extras are followed; what is there is not brought."""
    on = ['b>=2 ; python_version == "3.{0}"', 'wrong ; python_version != "3.{0}"']
    markers = [text.format(12) for text in on] + ['wrong ; sys_platform == "win32"', 'c[more] ; os_name == "posix"']
    add_wheel(index, "a", "1.0", [*markers, "there>=1"])
    add_wheel(index, "b", "2.5", ["there"], tag="cp312-cp312-manylinux_2_17_x86_64")
    add_wheel(index, "b", "2.6", tag="cp312-cp312-manylinux_2_35_x86_64")  # for a newer glibc
    add_wheel(index, "b", "2.7", tag="cp313-cp313-manylinux_2_17_x86_64")
    add_wheel(index, "b", "2.8", tag="cp312-cp312-musllinux_1_2_x86_64")
    add_wheel(index, "b", "2.9", tag="cp312-cp312-manylinux_2_17_aarch64")
    add_wheel(index, "c", "1.0", ['d ; extra == "more"', 'wrong ; extra == "most"'])
    add_wheel(index, "d", "3.0", tag="cp38-abi3-manylinux2014_x86_64")
    named, found = closure(tmp_path / "out", ["a", "there"], there="1.5")
    assert named == {"a 1.0", "b 2.5", "c 1.0", "d 3.0"} and found.there == ["there"] and not found.replaced


@real_pip
def test_versions_that_others_narrow_are_chosen_again_and_what_is_there_is_left_alone(index, tmp_path):
    """`core` stands for JAX: what asks for another one than there is is taken in an older version."""
    for version, core in (("1.0", "core>=1"), ("1.1", "core>=1,<3"), ("2.0", "core>=9"), ("2.1", "core>=9")):
        add_wheel(index, "flax", version, [core, "late==1.0"] if version < "2" else [core])
    add_wheel(index, "late", "1.0")
    add_wheel(index, "late", "1.5")
    add_wheel(index, "core", "9.0")
    named, found = closure(tmp_path / "out", ["flax", "late"], core="2.0")
    assert named == {"flax 1.1", "late 1.0"} and found.there == ["core"] and not found.replaced


@real_pip
def test_what_is_there_in_a_wrong_version_is_brought_and_said(index, tmp_path):
    add_wheel(index, "old", "2.0", ["only>=1,<2", "new>=1", "plain[with]"])
    add_wheel(index, "only", "1.7")
    add_wheel(index, "plain", "1.0")
    # of `only` and `new` no version is listed: they are taken for new ones, which an upper bound excludes
    named, found = closure(tmp_path / "out", ["old>=2"], old="1.9", only=None, new=None, plain="0.9")
    assert named == {"old 2.0", "only 1.7", "plain 1.0"} and found.there == ["new"]
    assert found.replaced == [
        "old 1.9: ntkrun needs old>=2",
        "only of unknown version: old needs only<2,>=1",
        "plain 0.9: old needs plain[with]",
    ]


@real_pip
def test_where_no_version_leaves_what_is_there_alone_the_newest_brings_its_own(index, tmp_path):
    for version in ("1.0", "1.1"):
        add_wheel(index, "flax", version, ["core>=9"])
    add_wheel(index, "core", "9.0")
    named, found = closure(tmp_path / "out", ["flax"], core="2.0")
    assert named == {"flax 1.1", "core 9.0"} and found.replaced == ["core 2.0: flax needs core>=9"]


@real_pip
def test_what_has_no_wheel_is_built_if_it_runs_anywhere(index, tmp_path):
    add_wheel(index, "beside", "1.0")
    add_source(index, "source", "4.9.3")
    named, _ = closure(tmp_path / "out", ["beside", "source==4.9.*"])
    assert named == {"beside 1.0", "source 4.9.3"}
    add_source(index, "machine", "1.0", tag="cp311-cp311-linux_x86_64")
    with pytest.raises(UserError, match=r"no wheel of machine for Python 3.13 on manylinux_2_28_x86_64"):
        closure(tmp_path / "none", ["machine"], "3.13")
    with pytest.raises(UserError, match=r"no wheel of absent>=1 for Python 3.12 .*name it in target="):
        closure(tmp_path / "none", ["absent>=1"])


def test_an_index_that_is_not_reached_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    with pytest.raises(UserError, match=r"no package index is reached from here.*PIP_FIND_LINKS") as caught:
        closure(tmp_path / "out", ["a"])
    assert "\n" not in str(caught.value)


LISTS = {
    "freeze": "a==1.0\nb @ file:///somewhere/b.whl\n# Editable install with no version control (e==0.3)\n-e /home/e\n",
    "columns": "Package   Version  Editable project location\n--------- -------- ----\na         1.0\ne  0.3  /home/e\nb\n",
    "conda": "# packages in environment\na 1.0 py312_0 conda-forge\ne 0.3 0\nb\n",
    "by hand": "\n  A == 1.0\nb\ne===0.3   # ours\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_packages_are_read_as_the_tools_write_them(kind, tmp_path):
    path = tmp_path / "packages.txt"
    path.write_text(LISTS[kind])
    assert read_packages(path) == {"a": Version("1.0"), "b": None, "e": Version("0.3")}


def test_a_line_that_names_no_package_is_refused(tmp_path):
    path = tmp_path / "packages.txt"
    for line in ("a>=1", "two words", "{}"):
        path.write_text(f"a==1\n{line}\n")
        with pytest.raises(UserError, match=r"packages.txt, line 2: .* is no package: write NAME or NAME==VERSION"):
            read_packages(path)


def test_a_run_needs_all_that_pyproject_names_but_what_reads_draws_and_bundles(root):
    text = (root / "pyproject.toml").read_text()
    named = {requirement.name for requirement in requirements()}
    assert {"jax", "flax", "optax", "pydantic", "hydra-core", "matplotlib", "orbax-checkpoint"} <= named
    assert not named & NOT_FOR_A_RUN.keys() and "pytest" not in named
    assert all(name in text.replace("_", "-") for name in NOT_FOR_A_RUN), "nothing is excepted that is not there"


def test_the_tags_of_the_target_are_those_of_its_glibc():
    names = Target("3.12", "manylinux_2_18_aarch64", {}).platforms()
    assert names == ["manylinux_2_18_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]
    assert "manylinux1_x86_64" in Target("3.12", PLATFORM, {}).platforms()


def test_a_wheel_packed_again_from_where_it_is_installed_is_the_same_but_for_its_stamp(tmp_path, root, monkeypatch):
    """From a checkout and from an installed package: what pip installs of both has the same files."""
    built = own_wheel.own_wheel(tmp_path, {"commit": "abc"})
    site, again = tmp_path / "site", tmp_path / "again"
    again.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(built)], check=True, capture_output=True)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(own_wheel, "PACKAGE", site / "ntkrun")
    monkeypatch.setattr(own_wheel, "checkout", lambda: None)
    packed = own_wheel.own_wheel(again, {"commit": "abc"})
    with zipfile.ZipFile(built) as one, zipfile.ZipFile(packed) as other:
        assert sorted(one.namelist()) == sorted(other.namelist()) and "ntkrun/configs/config.yaml" in one.namelist()
        for name in one.namelist():
            assert name.endswith("RECORD") or one.read(name) == other.read(name), name
    monkeypatch.setattr(own_wheel, "PACKAGE", tmp_path / "elsewhere")
    with pytest.raises(UserError, match="neither a checkout nor installed"):
        own_wheel.own_wheel(again, {})
