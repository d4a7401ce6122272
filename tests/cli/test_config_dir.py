"""--config-dir: what its files may do, whatever way Hydra finds them, and which of them are looked at."""

import sys
from pathlib import Path

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.cli.hydra.as_shipped import check_composed
from ntkrun.cli.hydra.compose import compose
from ntkrun.cli.settings_files import check_files
from ntkrun.errors import UserError

HEAD = "# @package _global_\ndefaults: [fig3]\n"
CALLBACK = HEAD + "hydra: {callbacks: {x: {_target_: os.makedirs, name: pwned}}}\n"
SELECTS = ["experiment=mine", "scale=smoke"]


def written(folder: Path, content: str, name: str = "experiment/mine.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return folder


def test_a_linked_folder_is_read_as_hydra_reads_it(ntkrun, tmp_path):
    written(tmp_path / "elsewhere", CALLBACK)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "experiment").symlink_to(tmp_path / "elsewhere" / "experiment")
    (tmp_path / "mine" / "loop").symlink_to(tmp_path / "mine")
    code, _, err = ntkrun("--config-dir", "mine", *SELECTS, "stage=verify")
    assert code == 2 and "'hydra' has no place" in err
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "node",
    [
        "callbacks: {x: {_target_: os.makedirs, name: pwned}}",
        "job_logging: {version: 1, handlers: {x: {(): os.makedirs, name: pwned}}}",
        "hydra_logging: {version: 1, handlers: {x: {(): os.makedirs, name: pwned}}}",
        "launcher: {_target_: os.makedirs}",
        "sweeper: {_target_: os.makedirs}",
        "job: {env_set: {LD_PRELOAD: x}}",
        "run: {dir: /tmp}",
    ],
)
@pytest.mark.parametrize("typed", [SELECTS, ["experiment=fig3,mine"], ["experiment=glob(m*)"]])
def test_what_is_composed_keeps_the_settings_of_hydra_that_ship(node, typed, tmp_path):
    """Whatever a file looks like: the check of its words is not asked here."""
    folder = written(tmp_path / "mine", HEAD + f"hydra: {{{node}}}\n")
    with pytest.raises(UserError, match=rf"a file changes hydra\.{node.partition(':')[0]}"):
        check_composed(folder, typed)


def test_harmless_files_and_launchers_are_composed(tmp_path):
    folder = written(tmp_path / "it's mine", HEAD + "seed: 3\nresults_dir: '${oc.env:HOME}/results'\n")
    check_files(folder, SELECTS)
    check_composed(folder, [*SELECTS, "model.width=8,16", "hydra/launcher=slurm", "hydra.launcher.partition=x"])


def test_other_yaml_of_a_project_is_none_of_our_business(ntkrun, tmp_path):
    written(tmp_path, HEAD)
    for name in ("environment.yml", "environment.yaml", ".pre-commit-config.yaml", "data/hydra.yaml"):
        written(tmp_path, "- hydra-core\n", name)
    code, _, err = ntkrun("--config-dir", ".", *SELECTS, "stage=verify")
    assert code == 2 and "there is no table" in err


@pytest.mark.parametrize(
    "name, typed",
    [
        ("model/other.yaml", ["model=other"]),
        ("experiment/sub/other.yaml", ["experiment=sub/other"]),
        ("new/other.yaml", ["+new=other"]),
        ("sizes/smoke/mine.yaml", SELECTS),
        ("experiment/other.yaml", ["experiment=glob(*)"]),
    ],
)
def test_every_file_that_can_be_selected_is_looked_at(name, typed, tmp_path):
    folder = written(written(tmp_path, HEAD), "a: ${oc.create:x}", name)
    with pytest.raises(UserError, match="makes settings out of text"):
        check_files(folder, ["experiment=mine", *typed])


def test_files_named_by_the_defaults_of_a_file_are_looked_at(tmp_path):
    folder = written(tmp_path, "# @package _global_\ndefaults: [fig3, {override /model: other}]\n")
    written(folder, "- a list\n", "model/other.yaml")
    with pytest.raises(UserError, match="must be a mapping"):
        check_files(folder, SELECTS)


@pytest.mark.parametrize("merged", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_are_counted_before_they_are_written_out(merged, tmp_path):
    levels = [f"a{i}: &a{i} {merged.format(', '.join([f'*a{i - 1}'] * 9))}" for i in range(1, 10)]
    folder = written(tmp_path, "\n".join(["a0: &a0 {x: 1}", *levels]))
    with pytest.raises(UserError, match="too large with its aliases"):
        check_files(folder, SELECTS)


def test_importing_a_network_takes_consent_that_is_typed():
    own = ["experiment=lockstep", "scale=smoke", "model=own", "model.path=m:N"]
    assert compose([*own, "allow_custom=true"]).settings["allow_custom"] is True
    for item in (
        "allow_custom=${compilation_cache}",
        "+parts={a: {allow_custom: true}}",
        "+parts=\"${oc.decode:'{a: {allow_custom: true}}'}\"",
    ):
        with pytest.raises(UserError, match="counts where it is typed"):
            compose([*own, item])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (
            "defaults: [figs6]\nmodel: {depth: 5}\n",
            "model.depth=5 of your file changes nothing: every part has a model.depth",
        ),
        ("defaults: [figs6]\nmodel: {activation: erf}\n", "write it there, parts.relu1.model.activation"),
        ("defaults: [figs6]\nmodel: {sigma_b2: 0.3}\n", ""),  # of which no part has a value
        ("defaults: [figs6]\nparts: {relu1: {model: {depth: 5}}}\n", ""),
        ("defaults: [figs6, {override /model: cnn}]\n", ""),  # which brings another width
    ],
)
def test_a_setting_of_a_file_that_every_part_replaces_is_refused(content, error, ntkrun, tmp_path):
    written(tmp_path / "mine", f"# @package _global_\n{content}")
    code, _, err = ntkrun("--config-dir", "mine", *SELECTS, "stage=check", "data.source=stand_in")
    assert code == 2 and (error or "nothing is stored") in err and "Traceback" not in err
    assert ("changes nothing" in err) == bool(error)


NETWORK = """import flax.linen as nn
class Net(nn.Module):
    n_outputs: int
    @nn.compact
    def __call__(self, x): return nn.Dense(self.n_outputs)(x.reshape(len(x), -1))
"""


@pytest.mark.parametrize(
    ("typed", "width"),
    [
        ((), "model.width=48"),
        *(((one,), one) for one in ("model.width=12", "model.args.width=12")),
        (("model.width=null",), None),
    ],
)
def test_a_width_that_the_module_has_not_is_refused_from_a_file_as_from_the_command_line(
    typed, width, ntkrun, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "flat_net", raising=False)
    (tmp_path / "flat_net.py").write_text(NETWORK)
    written(
        tmp_path / "mine",
        "# @package _global_\ndefaults: [lockstep, {override /model: own}]\nmodel: {path: 'flat_net:Net', width: 48}\n"
        "data: {n_train: 2, n_test: 2, source: stand_in}\noptimizer: {steps: 1}\n",
    )
    code, _, err = ntkrun("--config-dir", "mine", *SELECTS, "allow_custom=true", "stage=run", *typed)
    if width is None:
        assert code == 0 and "width" not in err
    else:
        assert code == 2 and f"Net has no field width: leave {width} out" in err


def test_a_file_without_sizes_of_the_scale_says_so_and_how_it_gets_those_of_its_figure(ntkrun, tmp_path):
    mine = ["--config-dir", "mine", "experiment=mine", "stage=verify"]
    written(tmp_path / "mine", HEAD + "seed: 3\n")
    (line,) = (line for line in ntkrun(*mine, "scale=smoke")[2].splitlines() if line.startswith("warning: "))
    assert "no sizes of scale=smoke" in line and "write sizes/smoke/mine.yaml" in line
    assert "no sizes" not in ntkrun(*mine, "scale=paper")[2]
    written(tmp_path / "mine", f"# @package _global_\n{line.split('`')[1]}\n", "sizes/smoke/mine.yaml")
    assert "no sizes" not in ntkrun(*mine, "scale=smoke")[2]
    shown = ntkrun(*mine[:3], "scale=smoke", "--cfg", "job", "--package", "optimizer")[1]
    assert shown == ntkrun("experiment=fig3", "scale=smoke", "--cfg", "job", "--package", "optimizer")[1] != ""
