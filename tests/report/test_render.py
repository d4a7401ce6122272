"""PNG and PDF are drawn side by side in two processes; what comes out, and what is raised, is as in one."""

import sys

import pytest
from processes import ran

PROGRAM = """
import os, sys
from ntkrun.report.render import _side_by_side

def who() -> bytes:
    return b"x" * 10**6 + str(os.getpid()).encode()  # more than a pipe holds

def broken() -> bytes:
    raise OSError("no font")

assert "jax" not in sys.modules
here, beside = _side_by_side(who, who)
assert here[: 10**6] == beside[: 10**6] and int(here[10**6 :]) == os.getpid() != int(beside[10**6 :])
try:
    _side_by_side(who, broken)
except OSError as error:
    print("raised:", error)
sys.modules["jax"] = sys  # what has threads is not copied
assert _side_by_side(who, who)[1] == who()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="one process elsewhere")
def test_side_by_side_gives_and_raises_what_one_process_would():
    done = ran(sys.executable, "-c", PROGRAM)
    assert (done.returncode, done.stdout, done.stderr) == (0, "raised: no font\n", "")
