"""The command line called in this process."""

import sys

import pytest

from ntkrun.cli import main as cli

NOWHERE = "http://127.0.0.1:9"  # a proxy that is not there: no image is fetched from outside this machine


@pytest.fixture
def ntkrun(monkeypatch, capsys, tmp_path):
    """Call the entry point in this process; returns (exit code, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ntkrun", *arguments])
        with monkeypatch.context() as patch:
            patch.setenv("https_proxy", NOWHERE)
            try:
                cli.main()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        out, err = capsys.readouterr()
        return code, out, err

    return call
