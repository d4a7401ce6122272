"""All wrong command lines as processes of their own: what they say, what they leave behind, and how soon."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_bad_input import COMMANDS, FIG3, FILES, FOREIGN, assert_tells
from tried import TRIED

pytestmark = pytest.mark.faults

# seconds of the processor: 3 on an idle machine, half as much again for the caches that others beside it use
SECONDS = 4.5


def test_every_wrong_command_line_is_answered_soon_by_a_line_that_names_the_field(root):
    cases = COMMANDS | FOREIGN
    # modules are compiled once, as where they are installed: by a command line before the others
    first = [*FIG3, "stage=verify"]
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("answers.py"))],
        input=json.dumps([first, *map(list, cases)]), capture_output=True, text=True, cwd=root, timeout=580,
        env=kept,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    slowest = 0.0
    for case, (code, err, seconds, left) in zip(cases, json.loads(done.stdout)[1:], strict=True):
        lines = [line for line in err.splitlines() if line.strip() and not line.startswith("warning:")]
        assert code == 2 and len(lines) == 1 and cases[case] in lines[0] and left == [], (case, code, err, left)
        assert_tells(lines[0], case)
        assert seconds < SECONDS, (case, seconds)
        slowest = max(slowest, seconds)
    TRIED[f"wrong command lines, each answered within {slowest:.1f} s of the processor"] += len(cases)
    TRIED["wrong files (in the tests of wrong input)"] += len(FILES)
