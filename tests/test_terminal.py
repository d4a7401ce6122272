"""What a terminal does to a program: Ctrl-C at any moment, readers that leave."""

import importlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from processes import ends, started, until

from ntkrun.cli.hydra.errors import is_about_input
from ntkrun.runner.stop import Interrupted, StopRequests, listening

SMOKE = ["experiment=lockstep", "scale=smoke", "data.source=stand_in"]
# says when it listens, so that what Python itself does before is not tried
PROGRAM = "import sys; from ntkrun.cli.entry import main; print('begun', flush=True); main()"
AFTER = {130: "interrupted", 143: "interrupted", 0: "", 141: ""}


def interrupted(folder: Path, root: Path, draw: random.Random, *arguments: str) -> tuple[int, str]:
    environment = os.environ | {"PYTHONPATH": str(root), "NTKRUN_DEBUG": "0"}
    with started(sys.executable, "-c", PROGRAM, *arguments, cwd=folder, env=environment) as program:
        until(lambda: "begun" in program.said()[0], program)
        time.sleep(draw.uniform(0.01, draw.choice((0.5, 5.0))))
        for _ in range(draw.choice((1, 2))):
            program.send_signal(draw.choice((signal.SIGINT, signal.SIGINT, signal.SIGTERM)))
            time.sleep(draw.uniform(0.0, 0.05))
        (done,) = ends(program)
    # a second signal may come when all is said and Python, at its end, has given signals back to the system: a shell then
    # sees 128 + n as well
    code = done.returncode
    return 128 - code if code < 0 else code, done.stderr


def try_at_random(tmp_path: Path, root: Path, seed: int, *arguments: str) -> None:
    code, said = interrupted(tmp_path, root, random.Random(seed), *arguments, f"results_dir={tmp_path}")
    assert code in AFTER and AFTER[code] in said and "Traceback" not in said, f"{code}: {said}"


@pytest.mark.parametrize("stage", ["plan", "all"])
def test_ctrl_c_at_any_moment_is_one_line_and_no_traceback(tmp_path, root, stage):
    try_at_random(tmp_path, root, sum(map(ord, stage)), *SMOKE, f"stage={stage}")


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("arguments", [["stage=plan"], ["stage=all"], ["stage=report"], ["experiment=fig3,figs10"]])
def test_ctrl_c_at_many_moments(tmp_path, root, arguments, seed):
    given = SMOKE[1:] if "experiment" in arguments[0] else SMOKE
    try_at_random(tmp_path, root, seed, *given, *arguments)


def test_a_second_request_does_not_disturb_the_way_out_and_a_later_one_counts_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with listening(print) as heard:
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        now[0] = 2.0
        with pytest.raises(Interrupted) as later:
            signal.raise_signal(signal.SIGTERM)
    assert later.value.signum == signal.SIGTERM and heard == [signal.SIGINT, signal.SIGTERM, signal.SIGTERM]


def test_what_a_library_makes_of_an_interruption_is_not_taken_for_bad_input():
    def complaint(first: type[BaseException]) -> Exception:
        try:
            try:
                raise first
            except BaseException:
                OmegaConf.to_container(OmegaConf.create({"a": "${not_there}"}), resolve=True)
        except Exception as error:
            return error
        raise AssertionError

    assert is_about_input(complaint(ValueError)) and not is_about_input(complaint(KeyboardInterrupt))


def test_an_import_is_not_interrupted_but_ended(tmp_path, monkeypatch):
    (tmp_path / "interrupted_import.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    monkeypatch.syspath_prepend(tmp_path)

    def end(signum: int) -> None:
        raise SystemExit(signum)

    with listening(end), pytest.raises(SystemExit):
        importlib.import_module("interrupted_import")


def test_a_run_that_was_asked_twice_saves_once():
    saved = []
    with listening(print), pytest.raises(Interrupted), StopRequests() as stop:
        stop.save = lambda: saved.append(stop.busy) or signal.raise_signal(signal.SIGTERM)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
    assert saved == [True]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--hydra-help"], [*SMOKE, "--cfg", "job"], [*SMOKE, "stage=plan"], SMOKE], ids=" ".join
)
def test_a_reader_that_has_left_ends_it_without_a_word(tmp_path, root, arguments):
    """As `| head` does; what was computed before is kept."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "ntkrun.cli", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 141 and "Traceback" not in done.stderr and "rror" not in done.stderr
