"""Networks of the user's own: found and identified without being imported, imported only when asked for."""

import sys
from pathlib import Path
from typing import cast

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_bad_input import assert_refused

from ntkrun.cli.arguments import completed
from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.prepare import set_up_training
from ntkrun.lockstep.progress import Silent
from ntkrun.runner.plan import make_cells
from ntkrun.settings.custom_source import load, registered, source_hash
from ntkrun.settings.runs import RunSettings

TRACE = "from pathlib import Path\nPath('imported').touch()\n"  # what an import leaves behind
NETWORK = "import flax.linen as nn\nclass Net(nn.Module):\n    width: int = 4\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes modules into the current directory; they are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(**contents: str) -> None:
        for name, content in contents.items():
            path = tmp_path / f"{name.replace('__', '/', 1)}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)

    yield write
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


OWN = [
    "experiment=lockstep",
    "scale=smoke",
    "data=mnist",
    "data.source=stand_in",
    "allow_custom=true",
    "record.weights=0",
]


def test_an_edited_network_is_told_where_its_report_stands_and_the_page_has_the_whole_command(files, ntkrun, tmp_path):
    net = f"""{NETWORK}    n_outputs: int = 1
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.n_outputs)(x.reshape(len(x), -1))
"""
    files(edited_net=net)
    run = [*OWN, "model.path=edited_net:Net", "name=mine", "optimizer.steps=2"]
    assert ntkrun(*run)[0] == 0
    page = (tmp_path / "results/smoke/lockstep.html").read_text()
    assert "allow_custom=true" in page.partition("Made by <code>")[2].partition("</code>")[0]
    files(edited_net=net + "# edited\n")
    code, _, err = ntkrun(*run)
    assert code == 2 and "holds the run of edited_net:Net before it was edited; choose another name=" in err
    code, _, err = ntkrun(*run, "loss=cross_entropy")
    assert code == 2 and 'with model.source="' in err and "loss as it is shipped;" in err


def test_a_network_whose_outputs_are_no_numbers_is_not_called_dependent_on_its_batch(files, ntkrun):
    files(
        log_net=f"""import jax.numpy as jnp
{NETWORK}    n_outputs: int = 1
    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.n_outputs)(jnp.log(-1 - x.reshape(len(x), -1) ** 2))
"""
    )
    for more in ([], ["linear_route=parameter_space"]):
        code, _, err = ntkrun(*OWN, "model.path=log_net:Net", *more)
        assert code == 2 and "the outputs of Net are not finite at theta_0" in err.splitlines()[-1]


def test_the_hash_takes_in_what_the_file_imports_from_its_folder_and_runs_nothing(files, tmp_path):
    files(
        one_net=TRACE + "import json, one_layers\nfrom one_more import x\n",
        one_layers="a = 1",
        one_more="import one_last",
    )
    files(one_last="b = 2", one_other="c = 3")
    first = source_hash("one_net:Net")
    files(one_other="c = 4")
    assert source_hash("one_net:Net") == first
    seen = {first}
    for name in ("one_net", "one_layers", "one_last"):
        files(**{name: "# edited"})
        seen.add(source_hash("one_net:Net"))
        files(one_net=TRACE + "import json, one_layers\nfrom one_more import x\n")
    assert len(seen) == 4 and not (tmp_path / "imported").exists()
    assert not {"one_net", "one_layers", "one_more", "one_last"} & set(sys.modules)


@pytest.mark.parametrize(
    "inner", ["import two_nets.mlp", "from .mlp import x", "from . import mlp", "from two_nets import mlp"]
)
def test_the_hash_of_a_module_in_a_package_takes_in_the_package_around_it(files, inner):
    files(two_nets__deep=inner, two_nets__mlp="x = 1", two_nets____init__="")
    first = source_hash("two_nets.deep:Net")
    files(two_nets__mlp="x = 2")
    second = source_hash("two_nets.deep:Net")
    files(two_nets____init__="# edited")
    assert len({first, second, source_hash("two_nets.deep:Net")}) == 3
    assert "two_nets" not in sys.modules


def test_folders_without_init_are_packages_too(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "three" / "nets" / "mlp.py"
    path.parent.mkdir(parents=True)
    path.write_text("x = 1")
    first = source_hash("three.nets.mlp:Net")
    path.write_text("x = 2")
    assert source_hash("three.nets.mlp:Net") != first and "three" not in sys.modules


def test_a_source_that_changes_under_way_is_refused(files):
    files(four_net=NETWORK)
    source = source_hash("four_net:Net")
    assert load("four_net:Net", source).__name__ == "Net"
    files(four_net=NETWORK + "# edited\n")
    for known in (source, source_hash("four_net:Net")):
        with pytest.raises(UserError, match="has changed"):
            load("four_net:Net", known)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no module five_net"), ("1 / 0", "ZeroDivisionError"), ("import sys; sys.exit(3)", "SystemExit"),
     ("def (:", "SyntaxError"), ("x = 1", "has no Net")],
)  # fmt: skip
def test_a_module_that_will_not_do_is_named(files, content, says):
    if content is not None:
        files(five_net=content)
    with pytest.raises(UserError, match=says):
        load("five_net:Net", source_hash("five_net:Net"))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that registers a network."""
    folder = tmp_path / "site"
    (folder / "plug-1.dist-info").mkdir(parents=True)
    (folder / "plug-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
    (folder / "plug-1.dist-info" / "entry_points.txt").write_text("[ntkrun.models]\nplugged = plug_nets:Net\n")
    (folder / "plug_nets.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(folder)
    return folder


def test_a_registered_network_needs_no_leave(installed, settings_of):
    assert registered()["plugged"] == "plug_nets:Net"
    arguments = completed(["model=plugged", "model.args.width=[8,16]", "model=fc"])
    assert arguments == ["model=own", "model.path=plugged", "++model.args.width=[8,16]", "model=fc"]
    raw = settings_of("lockstep", "smoke", *arguments[:3])
    cells = make_cells(load_experiment("lockstep"), raw)
    assert [cell.name for cell in cells] == ["width=8", "width=16"] and "plug_nets" not in sys.modules
    with pytest.raises(UserError, match=r"no package registers it .*\(there are plugged\)"):
        make_cells(load_experiment("lockstep"), settings_of("lockstep", "smoke", "model=own", "model.path=unplugged"))


def test_the_source_is_part_of_the_identity_and_of_nothing_that_is_drawn(files, settings_of):
    def cell(*overrides: str):
        given = completed(["model.path=six_net:Net", "allow_custom=true", *overrides])
        (found,) = make_cells(load_experiment("lockstep"), settings_of("lockstep", "smoke", *given))
        return found

    files(six_net=NETWORK)
    first, again, width = cell(), cell("model.args.width=32"), cell("model.args.width=64")
    assert first.config_hash == again.config_hash == cell("model.width=32").config_hash != width.config_hash
    files(six_net=NETWORK + "# edited\n")
    assert cell().config_hash != first.config_hash
    assert cell().settings.drawn_for == first.settings.drawn_for != width.settings.drawn_for
    assert first.settings.model_dump()["model"]["source"] != cell().settings.model_dump()["model"]["source"]


@pytest.mark.parametrize("typed", ["model.width=32", "model.args.width=32"])
def test_a_width_that_the_module_has_not_is_refused_where_it_is_typed(typed, files, settings_of):
    """That of the scale is for networks that have one, and the user is told."""
    files(seven_net="import flax.linen as nn\nclass Net(nn.Module):\n    n_outputs: int\n    @nn.compact\n"
          "    def __call__(self, x): return nn.Dense(self.n_outputs)(x.reshape(len(x), -1))\n")  # fmt: skip
    network = [
        "model.path=seven_net:Net",
        "allow_custom=true",
        "data.source=stand_in",
        "data.n_train=2",
        "data.n_test=2",
    ]

    def setting_up(*overrides: str):
        (cell,) = make_cells(
            load_experiment("lockstep"), settings_of("lockstep", "smoke", *completed([*network, *overrides]))
        )
        return set_up_training(cast(RunSettings, cell.settings), Silent())

    setting_up()
    with pytest.raises(UserError, match=r"Net has no field width: leave model\.args\.width=32 out"):
        setting_up(typed)
    (cell,) = make_cells(load_experiment("lockstep"), settings_of("lockstep", "smoke", *completed([*network, typed])))
    with pytest.raises(UserError, match="Net has no field width"):  # and it is not planned either
        load_experiment("lockstep").run.planned_work(cell.settings, 10**8)
    with pytest.raises(UserError, match="keep one of the two"):
        setting_up("model.width=32", "model.args.width=32")


FREE = ["experiment=lockstep", "scale=smoke", "data.source=stand_in"]
ASKED_WRONGLY = {
    ("model.path=trace:Net",): "add allow_custom=true",
    ("model=own", "model.path=trace:Net", "allow_custom=false"): "add allow_custom=true",
    ("model.path=[trace:Net,trace:Other]",): "add allow_custom=true",
    ("model.path=trace",): "model.path=trace:MyNet",
    ("model.path=trace:Net", "model.width=3", "model.args.width=4"): "model.width and model.args.width are the same",
    ("model.path=trace.py",): "model.path=trace:MyNet",
    ("model.path=trace.py:Net", "allow_custom=true"): "name the module without .py",
    ("model=trace",): "model=trace is not known",
    ("model.path=trace:Net.__init__", "allow_custom=true"): "model.path",
    ("model.path=trace:", "allow_custom=true"): "model.path",
    ("model.path=../trace:Net", "allow_custom=true"): "name a module and what it holds",
    (
        "model.path=sub/trace.py:Net",
        "allow_custom=true",
    ): "not its file, in sub or with PYTHONPATH=sub: model.path=trace:Net",
    ("model=own", "allow_custom=true"): "model.path=my_module:MyNet",
    ("model.path=trace:Net", "allow_custom=maybe"): "allow_custom",
    ("model.path=trace:Net", "allow_custom=[true,false]"): "allow_custom counts where it is typed, by itself",
    ("model.path=trace:Net", "+model.source=0", "allow_custom=true"): "model.source",
    ("model.path=trace:Net", "model.args.depth={a:1}", "allow_custom=true"): "model.args.depth",
    ("model.args.depth=3",): "model.args",
}


@pytest.mark.parametrize("arguments", list(ASKED_WRONGLY), ids=repr)
def test_nothing_is_imported_unless_asked_for(ntkrun, tmp_path, arguments):
    (tmp_path / "trace.py").write_text(TRACE + NETWORK)
    assert_refused(ntkrun(*FREE, *arguments), ASKED_WRONGLY[arguments], tmp_path, {"trace.py"})


def test_what_stops_every_cell_is_told_once(ntkrun, tmp_path):
    call = "    @nn.compact\n    def __call__(self, x, train): return nn.Dense(1)(x)\n"
    (tmp_path / "eight_net.py").write_text(NETWORK + call)
    tiny = ["model.path=eight_net:Net", "allow_custom=true", "data.n_train=2", "data.n_test=2", "seed=[0,1]"]
    assert_refused(ntkrun(*FREE, *tiny), "set model.apply_arguments.train=false", tmp_path, {"eight_net.py"})


def test_figures_take_no_networks_but_the_papers(ntkrun, tmp_path):
    (tmp_path / "trace.py").write_text(TRACE + NETWORK)
    for arguments, says in ((["model.path=trace:Net"], "'fc'"), (["allow_custom=true"], "allow_custom")):
        assert_refused(ntkrun("experiment=fig3", "scale=smoke", *arguments), says, tmp_path, {"trace.py"})


@pytest.mark.parametrize(
    "content",
    ["allow_custom: true", '? "allow\\x5fcustom"\n: true', "defaults: [lockstep]\nmodel: {x: [allow_custom]}"],
)
def test_a_file_of_settings_gives_no_leave(ntkrun, tmp_path, content):
    (tmp_path / "trace.py").write_text(TRACE + NETWORK)
    path = tmp_path / "mine" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{content}\n")
    there = {"trace.py", "mine", "mine/experiment", "mine/experiment/mine.yaml"}
    result = ntkrun("--config-dir", "mine", "experiment=mine", "scale=smoke", "model.path=trace:Net")
    assert_refused(result, "allow_custom is for the command line", tmp_path, there)


PATHS = st.one_of(
    st.sampled_from(["trace:Net", "trace.sub:Net", "os:system", "trace:Net:Net", ":Net", "trace.:Net", "."]),
    st.from_regex(r"[a-z_.]{1,12}(:[A-Za-z_.()]{0,12})?", fullmatch=True),
)
KEYS = st.sampled_from(["model.path", "+model.path", "++model.path", "model", "model.args.path", "model.name"])


def nothing_is_imported(ntkrun, folder: Path, path: str, key: str) -> None:
    (folder / "trace.py").write_text(TRACE + NETWORK)
    result = ntkrun(*FREE, f"{key}={path}", "stage=verify")
    assert_refused(result, "", folder, {"trace.py"})  # an import would have left its trace


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=PATHS, key=KEYS)
def test_no_path_is_imported_without_leave(ntkrun, tmp_path, path, key):
    nothing_is_imported(ntkrun, tmp_path, path, key)


@pytest.mark.faults
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=PATHS, key=KEYS)
def test_no_path_is_imported_without_leave_at_length(ntkrun, tmp_path, path, key):
    nothing_is_imported(ntkrun, tmp_path, path, key)
