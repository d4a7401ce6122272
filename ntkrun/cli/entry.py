"""Where the program begins: it listens for Ctrl-C before it imports what takes a second, and ends as a program should.

What may be typed is told in `ntkrun.cli.main`.
"""

import contextlib
import os
import signal
import sys
import time

from ntkrun.cli.completion import FLAGS, shell_completion
from ntkrun.runner.stop import listening

PIPE_CLOSED = 128 + 13  # SIGPIPE, by its number everywhere


def main() -> None:
    """Exit codes: see `ntkrun.cli.main`."""
    code = guarded(sys.argv[1:])
    for signum in (signal.SIGINT, signal.SIGTERM):  # all is said; what libraries do at exit takes a moment
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, lambda *_: os._exit(code))
    sys.exit(code)


def guarded(arguments: list[str]) -> int:
    """Carry out a command line, whose reader may leave and whose user may interrupt it at any moment; its exit code."""
    began = time.monotonic()
    with listening(_ended_in_an_import) as heard:
        try:
            if FLAGS & set(arguments):  # answers at every Tab, before what takes a second is imported
                code = shell_completion(arguments)
            else:
                from ntkrun.cli.main import run

                code = run(arguments, began)
            sys.stdout.flush()
            return code
        except BrokenPipeError:  # `ntkrun ... | head`
            _say_nothing_more()
            return PIPE_CLOSED
        except KeyboardInterrupt as stop:
            return _interrupted(getattr(stop, "signum", signal.SIGINT))
        except Exception:
            if not heard:
                raise
            return _interrupted(heard[0])  # what the interruption of an import or of a library looks like


def _interrupted(signum: int) -> int:
    print("interrupted: what is finished is kept, and the same command goes on from there", file=sys.stderr)
    return 128 + signum


def _ended_in_an_import(signum: int) -> None:
    """Nothing is half done there: files are written whole, and a dead process' locks are taken over."""
    with contextlib.suppress(Exception):  # the streams may be in use
        sys.stdout.flush()
        _interrupted(signum)
        sys.stderr.flush()
    os._exit(128 + signum)


def _say_nothing_more() -> None:
    """Python flushes its streams at exit, and would complain once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
