"""What is said beside a run."""

import io
import os
import sys

from ntkrun.cli.console import Console
from ntkrun.runner.remaining_work import RemainingWork


def test_what_holds_for_every_cell_is_warned_of_once(capsys):
    console = Console()
    for line in ("stand-ins", "a rate", "stand-ins"):
        console.warn(line)
    assert capsys.readouterr().err.splitlines() == ["warning: stand-ins", "warning: a rate"]


class Terminal(io.StringIO):
    """Keeps what is drawn."""

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch) -> Terminal:
    """In place of stderr, of 100 columns."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((100, 30)))
    return terminal


def lines(terminal: Terminal) -> list[str]:
    return [line.rstrip() for line in terminal.getvalue().replace("\n", "\r").split("\r") if line.strip()]


def test_the_bar_tells_loss_and_what_is_under_way_on_one_line(monkeypatch):
    drawn = on_a_terminal(monkeypatch)
    console = Console()
    with console.cell("fig3", "seed=0", "a"):
        console.phase("fig3 seed=0", "kernels")
        console.start("fig3 seed=0", 1000)
        console.advance(500)
        console.recorded(500, 2.0, {"loss/network/train": 0.0123456, "loss/linear/train": 7.0})
        console.advance(500)
    shown = lines(drawn)
    assert shown[0] == "fig3 seed=0: kernels" and "loss" not in shown[1]
    assert shown[-1].startswith("fig3 seed=0: 100%") and "1000/1000" in shown[-1] and "loss 0.0123]" in shown[-1]


def test_in_a_run_of_several_figures_the_line_says_which_and_fits_100_columns(monkeypatch):
    drawn = on_a_terminal(monkeypatch)
    cells = {("fig3", f"cell {number}"): 100_000.0 for number in range(57)}
    remaining = RemainingWork(dict(cells), figure="13/17")
    console = Console(remaining)
    with console.cell("fig3", "width=2048,seed=0", "cell 0"):
        label = "fig3 width=2048,seed=0,learning_rate=0.125"
        console.phase(label, "gradient flow")
        assert lines(drawn) == [f"[13/17] {label}: gradient flow, {remaining.brief()}"]
        console.start(label, 262_144)
        console.advance(131_072)
        console.recorded(131_072, 2.0, {"loss/network/train": 1.23456e-05})
        last = lines(drawn)[-1]
    assert last.startswith("[13/17] fig3 wid...:  50%|") and "131072/262144" in last
    assert "loss 1.23e-05, 0/57 cells, " in last and last.endswith(" left]") and len(last) <= 100
    assert all(len(line) <= 100 for line in lines(drawn) if "all figures" not in line)


def test_plain_lines_tell_the_same(capsys, monkeypatch):
    monkeypatch.setattr(Console, "PLAIN_SECONDS", 0.0)
    console = Console()
    console.phase("fig3 seed=0", "kernels")
    console.start("fig3 seed=0", 1000, done=200)
    console.recorded(200, 1.0, {"loss/network/train": 0.5})
    console.advance(300)
    phase, begun, at = capsys.readouterr().err.splitlines()
    assert phase == "fig3 seed=0: kernels" and begun == "fig3 seed=0: 1000 steps, going on from step 200"
    assert at == "fig3 seed=0: 500/1000 steps, loss 0.5, about 0 s left"


def test_a_loss_of_the_run_before_is_not_shown(capsys, monkeypatch):
    monkeypatch.setattr(Console, "PLAIN_SECONDS", 0.0)
    console = Console()
    for label in ("first", "second"):
        console.start(label, 10)
        console.advance(5)
        console.recorded(5, 1.0, {"loss/network/train": 0.5})
    assert "loss" not in capsys.readouterr().err
