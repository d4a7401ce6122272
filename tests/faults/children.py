"""Runs of the command line in processes that can be killed; what takes long to import is imported once for all of them."""

import contextlib
import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["ntkrun.cli", "ntkrun.experiments.lockstep", "ntkrun.report.render", "ntkrun.runner.run", "orbax.checkpoint"]
)


def run(arguments: list[str], folder: Path) -> None:
    """`ntkrun arguments` in this process, called in `folder`; what it prints is added to `folder`/log."""
    from ntkrun import cli

    os.chdir(folder)
    sys.argv = ["ntkrun", *arguments]
    with open("log", "a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        cli.main()


def start(arguments: list[str], folder: Path) -> BaseProcess:
    process = CONTEXT.Process(target=run, args=(arguments, folder))
    process.start()
    return process
