"""Tab completes what can be typed: `ntkrun -sc`, what it prints for a shell and what it answers that function."""

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)
from processes import ran

from ntkrun.cli.arguments import completed
from ntkrun.cli.candidates import candidates
from ntkrun.cli.configs import groups, options
from ntkrun.cli.help_text import closed_lists
from ntkrun.cli.hydra.compose import compose
from ntkrun.experiments.figures import experiment_names


@pytest.fixture
def offered(ntkrun, monkeypatch):
    """What Tab offers at the end of a line, as the query answers it."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("COMP_LINE", f"ntkrun {line}")
        code, out, err = ntkrun("-sc", "query=zsh")
        assert (code, err) == (0, "")
        return out.splitlines()

    return ask


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ex", ["experiment="]),
        ("model=w", ["model=wide_resnet"]),
        ("stage=re", ["stage=report"]),
        ("experiment=fig1,loc", ["experiment=fig1,lockstep"]),
        ("experiment=fig1,fig1", []),
        ("experiment=fig3 mod", ["model=", "model."]),
        ("experiment=fig3 model.w", ["model.width="]),
        ("experiment=fig3 model.width=32 model.w", []),
        ("experiment=fig3 model=cnn model.po", ["model.pool="]),
        ("experiment=fig1,fig3 networks", ["networks="]),
        ("experiment=fig3 networks", []),
        ("experiment=figs5 parts.R1", ["parts.R10.", "parts.R16."]),
        ("experiment=figs5 parts.R10.model.norm=", ["parts.R10.model.norm=batch", "parts.R10.model.norm=none"]),
        ("experiment=theorem21 model.activation=t", ["model.activation=tanh"]),
        ("experiment=fig1 inputs=", ["inputs=full", "inputs=span"]),
        ("experiment=figs9 inputs=", []),
        ("optimizer.schedule.name=cos", ["optimizer.schedule.name=cosine"]),
        ("optimizer.schedule.f", ["optimizer.schedule.factors=", "optimizer.schedule.final_factor="]),
        ("retry=", ["retry=true", "retry=false"]),
        ("experiment=fig3 --cfg j", ["job"]),
        ("--mu", ["--multirun"]),
        ("-sc un", ["uninstall=bash", "uninstall=zsh", "uninstall=fish"]),
        ("experiment=nothing model=nothing model.w", ["model.width="]),
        ("no_such_setting=", []),
    ],
)
def test_a_word_becomes_what_may_stand_there(offered, line, words):
    assert offered(line) == words


def test_groups_and_closed_lists_are_offered_whole():
    for group in set(groups()) - {"experiment"}:
        assert candidates(f"ntkrun {group}=") == [f"{group}={option}" for option in sorted(options(group))]
    assert set(candidates("ntkrun experiment=")) == {f"experiment={name}" for name in [*experiment_names(), "all"]}
    for name, words in closed_lists().items():
        assert candidates(f"ntkrun experiment=lockstep {name}=") == [f"{name}={word}" for word in words]


def test_every_name_that_is_offered_can_be_set():
    line = "ntkrun experiment=lockstep optimizer.schedule.name=cosine "
    found, waiting = [], [""]
    while waiting:
        words = candidates(line + waiting.pop())
        waiting += [word for word in words if word.endswith(".")]
        found += [word for word in words if word.endswith("=")]
    settings = [name for name in found if name[:-1] not in {*groups(), "hydra/launcher"}]
    assert {"theory.flow.rtol=", "optimizer.schedule.final_factor=", "from="} < {*settings}
    compose(["experiment=lockstep", *completed([f"{name}null" for name in settings])])  # raises for an unknown one


def test_settings_that_name_files_become_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results/old").mkdir(parents=True)
    for name in ("cells.tar.gz", ".hidden", "two words", "results/x;y"):
        Path(name).touch()
    for name in ("results_dir", "into", "from", "other", "target"):
        assert candidates(f"ntkrun {name}=") == [f"{name}=cells.tar.gz", f"{name}=results/"]
        assert candidates(f"ntkrun {name}=results/") == [f"{name}=results/old/"]
    assert candidates("ntkrun from=.h") == ["from=.hidden"]
    assert candidates("ntkrun from=nowhere/") == candidates("ntkrun from=~nobody_of_that_name/") == []


def test_an_answer_needs_nothing_that_trains_or_draws():
    script = (
        "import os, sys\n"
        "from ntkrun.cli.entry import guarded\n"
        "for word in ('model=', 'model.'):\n"
        "    os.environ['COMP_LINE'] = f'ntkrun experiment=fig3 {word}'\n"
        "    assert guarded(['-sc', 'query=bash']) == 0\n"
        "slow = {'jax', 'flax', 'matplotlib', 'pandas', 'tensorflow_datasets'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    done = ran(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    assert "model=fc \n" in done.stdout and "model.width=\n" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["-sc"], ["-sc", "install=tcsh"], ["-sc", "install"], ["experiment=fig3", "-sc", "install=bash"],
     ["--shell-completion", "query=bash"], ["-sc", "remove=bash"]],
    ids=" ".join,
)  # fmt: skip
def test_anything_else_is_answered_by_one_line(ntkrun, monkeypatch, arguments):
    monkeypatch.delenv("COMP_LINE", raising=False)
    code, out, err = ntkrun(*arguments)
    assert code == 2 and not out and err.startswith("error: -sc") and err.count("\n") == 1 and "install=" in err


@pytest.fixture
def shell(tmp_path, root):
    """Run a script in a shell that finds `ntkrun`; its lines of output."""
    program = tmp_path / "ntkrun"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ntkrun.cli "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(root)}

    def run(name: str, *options: str) -> list[str]:
        if shutil.which(name) is None:
            pytest.skip(f"no {name} here")
        done = ran(name, *options, cwd=tmp_path, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return run


def test_bash_replaces_what_its_word_breaks_leave_of_a_word(shell):
    at = r"""
at() {  # words, the last of them under the cursor
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _ntkrun ntkrun "${COMP_WORDS[COMP_CWORD]#=}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '<%s>' "${COMPREPLY[@]}"; echo
}
eval "$(ntkrun -sc install=bash)"
complete -p ntkrun
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
COMP_LINE='ntkrun model=wi stage=all' COMP_POINT=15; at ntkrun model = wi
COMP_LINE='ntkrun style=' COMP_POINT=13; at ntkrun style =
COMP_LINE='ntkrun experiment=fig3 model.wi' COMP_POINT=31; at ntkrun experiment = fig3 model.wi
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
COMP_LINE='ntkrun model=wi' COMP_POINT=15; at ntkrun model=wi
eval "$(ntkrun -sc uninstall=bash)"
complete -p ntkrun 2>/dev/null || echo gone
"""
    expected = ["complete -o nospace -F _ntkrun ntkrun", "<wide_resnet >", "<paper ><slides >", "<model.width=>"]
    assert shell("bash", "--norc", "-c", at) == [*expected, "<model=wide_resnet >", "gone"]


def test_zsh_adds_no_space_after_half_a_word(shell):
    script = r"""
compdef() { print -- compdef "$@" }
compadd() { print -- "$@" }
eval "$(ntkrun -sc install=zsh)"
words=(ntkrun) LBUFFER='ntkrun experiment=fig3 mod' && _ntkrun
LBUFFER='ntkrun model=wi' && _ntkrun
eval "$(ntkrun -sc uninstall=zsh)"
"""
    expected = ["compdef _ntkrun ntkrun", "--", "-S  -- model= model.", "-- model=wide_resnet", "-S  --"]
    assert shell("zsh", "-f", "-c", script) == [*expected, "compdef -d ntkrun"]


def test_fish_completes(shell):
    script = (
        "ntkrun -sc install=fish | source; complete -C 'ntkrun experiment=fig3 model.wi'; complete -C 'ntkrun model=wi'; "
        "ntkrun -sc uninstall=fish | source; functions -q _ntkrun; or echo gone"
    )
    assert shell("fish", "--no-config", "-c", script) == ["model.width=", "model=wide_resnet", "gone"]
