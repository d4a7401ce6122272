"""What is said beside a run."""

from ntkrun.cli.console import Console


def test_what_holds_for_every_cell_is_warned_of_once(capsys):
    console = Console()
    for line in ("stand-ins", "a rate", "stand-ins"):
        console.warn(line)
    assert capsys.readouterr().err.splitlines() == ["warning: stand-ins", "warning: a rate"]
