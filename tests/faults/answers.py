"""Command lines one after the other, each in a process of its own that has imported what every command line imports.

    python answers.py <<< '[["experiment=fig3", "seed=-1"], ...]'

prints a JSON list of [exit code, standard error, seconds of the processor with those imports, files that are there].
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

from ntkrun.cli import main as cli

IMPORTED = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def answer(arguments: list[str]) -> tuple[int, str, float, list[str]]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            os.dup2(err.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv = ["ntkrun", *arguments]
            code = 1  # of a traceback
            try:
                cli.main()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status, used = os.wait4(child, 0)
        err.seek(0)
        left = [str(path.relative_to(folder)) for path in Path(folder).rglob("*")]
        return os.waitstatus_to_exitcode(status), err.read(), IMPORTED + used.ru_utime + used.ru_stime, left


if __name__ == "__main__":
    print(json.dumps([answer(arguments) for arguments in json.load(sys.stdin)]))
