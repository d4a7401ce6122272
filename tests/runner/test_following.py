"""What `log` writes while a cell computes: what the table will have, whole at any moment, the same after an interruption."""

import importlib
import importlib.util
import os
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun import tables
from ntkrun.dynamics.network import Network
from ntkrun.experiments.base import CellResult, Run
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.recorded import rate_at, tell
from ntkrun.lockstep.loop import FullBatch, run_lockstep
from ntkrun.lockstep.progress import Silent
from ntkrun.models import build_model
from ntkrun.runner.following import Csv, TensorBoard, how_to_follow
from ntkrun.runner.plan import make_cells
from ntkrun.runner.run import Tally, run_cells
from ntkrun.runner.stop import Interrupted
from ntkrun.runner.store import Store, read_table

STEPS = [0, 1, 2, 4, 8, 16, 32]
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5)), jnp.float32)
Y = X[:, :1]
MODEL = build_model("fc", width=4, depth=1, n_outputs=1, activation="erf", sigma_w2=1.5, sigma_b2=0.1)
CURVE = "loss/network"


class Killed(BaseException):
    """Nothing is done any more."""


class Watching(Silent):
    """`at`: what happens once the point of step 8 is recorded."""

    def __init__(self, at=lambda: None) -> None:
        super().__init__()
        self.at = at

    def recorded(self, step: int, time: float, values) -> None:
        super().recorded(step, time, values)
        if step == 8:
            self.at()


def compute(settings, name, progress) -> CellResult:
    theta0 = MODEL.init(jax.random.key(0), X[:1])["params"]
    network = Network(theta0, X, Y, X[:1], model=MODEL, tx=optax.sgd(0.1), loss="mse", watched=())
    losses = []
    for step, seen in run_lockstep({"network": network}, STEPS, FullBatch(), progress, name):
        losses.append(float(np.mean((np.asarray(seen["network"]["train"], np.float64) - np.asarray(Y)) ** 2) / 2))
        tell(progress, step, 0.1 * step, 0.1, {(CURVE, "train"): losses[-1]})
    frames = [tables.rows(CURVE, "train", STEPS, [0.1 * step for step in STEPS], np.asarray(losses))]
    return CellResult(tables.tidy(frames, figure="fig3", cell=name, seed=settings.seed, width=4))


class Runs:
    """One cell in a results folder, computed as often as asked."""

    def __init__(self, settings_of, folder: Path, log: str, experiment: str = "fig3") -> None:
        self.experiment = replace(load_experiment(experiment), run=Run(__name__))
        raw = settings_of(experiment, "smoke", "data.source=stand_in", f"log={log}")
        self.cells, self.store = make_cells(self.experiment, raw), Store(folder, "smoke", experiment)
        self.store.prepare()

    def compute(self, progress: Silent | None = None) -> Silent:
        progress = progress or Silent()
        run_cells(self.experiment, self.cells, self.store, progress, Tally(1))
        return progress

    def interrupted(self, by: type[BaseException], at) -> None:
        with pytest.raises(by):
            self.compute(Watching(at))

    def forget(self) -> None:
        (table,) = self.store.cells.glob("*.parquet")
        table.unlink()

    @property
    def table(self) -> pd.DataFrame:
        (table,) = self.store.cells.glob("*.parquet")
        return read_table(table)[0]

    @property
    def csv(self) -> Path:
        (path,) = self.store.logs.iterdir()
        return path

    def rows(self) -> pd.DataFrame:
        return pd.read_csv(self.csv)


def killed() -> None:
    raise Killed


def asked_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def events(path: Path) -> Iterator[Any]:
    """The records of an event file: a length, its checksum, the message, its checksum."""
    message, content = importlib.import_module("tensorboardX.proto.event_pb2"), path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield message.Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def scalars(folder: Path) -> list[tuple[int, dict[str, float]]]:
    (path,) = folder.glob("events.out.tfevents.*")
    points = [event for event in events(path) if event.HasField("summary")]
    return [(event.step, {value.tag: value.simple_value for value in event.summary.value}) for event in points]


def test_the_rows_of_a_file_are_the_numbers_of_the_table(settings_of, tmp_path):
    runs = Runs(settings_of, tmp_path, "csv")
    runs.compute()
    rows, table = runs.rows(), runs.table
    assert runs.csv.name.startswith("seed=0-") and runs.cells[0].config_hash in runs.csv.name
    assert list(rows) == ["step", "time", "learning_rate", "loss/network/train"] and list(rows["step"]) == STEPS
    assert [float(line.split(",")[3]) for line in runs.csv.read_text().splitlines()[1:]] == list(table["value"])
    assert np.allclose(rows["time"], table["time"]) and set(rows["learning_rate"]) == {0.1}


def test_a_log_is_no_part_of_what_is_computed(settings_of, tmp_path):
    without, with_log = Runs(settings_of, tmp_path / "a", "off"), Runs(settings_of, tmp_path / "b", "csv")
    without.compute()
    with_log.compute()
    assert without.cells[0].config_hash == with_log.cells[0].config_hash
    pd.testing.assert_frame_equal(without.table, with_log.table, check_exact=True)
    assert not without.store.logs.exists()


@pytest.mark.parametrize(("by", "at"), [(Killed, killed), (Interrupted, asked_to_stop)])
def test_after_an_interruption_the_file_goes_on_without_a_row_twice_or_missing(settings_of, tmp_path, by, at):
    whole = Runs(settings_of, tmp_path / "whole", "csv")
    whole.compute()
    runs = Runs(settings_of, tmp_path / "cut", "csv")
    runs.interrupted(by, at)
    so_far = runs.csv.read_bytes()
    assert whole.csv.read_bytes().startswith(so_far) and so_far.endswith(b"\n") and list(runs.rows()["step"])[-1] >= 8
    with runs.csv.open("ab") as file:
        file.write(b"16,1.6,0.")  # as a machine leaves it that loses its power
    runs.compute()
    assert runs.csv.read_bytes() == whole.csv.read_bytes()


def test_rows_of_another_computation_are_replaced(settings_of, tmp_path):
    runs = Runs(settings_of, tmp_path, "csv")
    runs.compute()
    whole = runs.csv.read_bytes()
    lines = whole.splitlines(keepends=True)
    for other in (
        [*lines[:3], b"2,0.2,0.1,9.5\n", *lines[4:]],
        [*lines, b"64,6.4,0.1,9.5\n"],
        [b"step,time,eta\n", *lines[1:]],
        lines[:-1],
        [],
    ):
        runs.csv.write_bytes(b"".join(other))
        runs.forget()
        runs.compute()
        assert runs.csv.read_bytes() == whole


def test_a_disk_that_takes_no_log_is_a_warning(settings_of, tmp_path):
    runs = Runs(settings_of, tmp_path, "csv")
    runs.store.logs.write_text("a file where the folder should be")
    warnings = runs.compute().warnings
    assert len(warnings) == 1 and "the log cannot be written" in warnings[0] and len(runs.table) == len(STEPS)


def test_scalars_of_tensorboard_are_the_numbers_of_the_table(settings_of, tmp_path):
    runs = Runs(settings_of, tmp_path, "tensorboard")
    runs.compute()
    assert runs.csv.is_dir() and runs.csv.name.startswith("seed=0-")
    found = scalars(runs.csv)
    assert [step for step, _ in found] == STEPS and {tuple(values) for _, values in found} == {
        ("learning_rate", "loss/network/train")
    }
    expected = runs.table["value"].to_numpy().astype(np.float32)
    np.testing.assert_array_equal([values["loss/network/train"] for _, values in found], expected)


def test_after_an_interruption_tensorboard_has_every_step_once(settings_of, tmp_path):
    runs = Runs(settings_of, tmp_path, "tensorboard")
    runs.interrupted(Interrupted, asked_to_stop)
    assert [step for step, _ in scalars(runs.csv)][-1] >= 8
    runs.compute()
    assert [step for step, _ in scalars(runs.csv)] == STEPS
    (path,) = runs.csv.iterdir()
    starts = [event for event in events(path) if event.HasField("session_log")]
    assert [(event.step, event.session_log.status) for event in starts] == [(0, 1)]


@pytest.mark.parametrize("writer", [Csv, TensorBoard])
def test_a_point_can_be_read_as_soon_as_it_is_recorded(writer, tmp_path):
    log = writer(tmp_path / "cell")
    for step, value in enumerate((2.0, 1.0)):
        log.record(step, 0.1 * step, {"loss": value})
        if writer is Csv:
            assert pd.read_csv(tmp_path / "cell.csv")["loss"].iloc[-1] == value
        else:
            assert scalars(tmp_path / "cell")[-1] == (step, {"loss": value})
    log.close()


def test_the_rate_behind_the_last_step_is_the_last():
    assert [rate_at(np.array([0.3, 0.2]), step) for step in range(4)] == [0.3, 0.2, 0.2, 0.2]


def test_without_its_package_tensorboard_is_one_line(ntkrun, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    code, out, err = ntkrun("experiment=lockstep", "scale=smoke", "data.source=stand_in", "log=tensorboard")
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and "pip install 'ntkrun[tensorboard]'" in err
    code, _, err = ntkrun("experiment=lockstep", "scale=smoke", "data.source=stand_in", "log=tensorboard", "minutes=3")
    assert code == 2 and "pip install 'ntkrun[tensorboard]'" in err.splitlines()[-1]
    assert not any(tmp_path.iterdir())


def test_what_to_type_is_told_of_cells_that_will_write(settings_of, tmp_path):
    def told(experiment: str, log: str) -> str:
        store = Store(tmp_path, "smoke", experiment)
        return how_to_follow(
            make_cells(load_experiment(experiment), settings_of(experiment, "smoke", f"log={log}")), store
        )

    assert told("fig3", "csv") == f"to follow the run: tail -f {tmp_path}/smoke/fig3/log/*.csv"
    assert told("fig3", "tensorboard") == f"to follow the run: tensorboard --logdir {tmp_path}/smoke/fig3/log"
    assert told("fig3", "off") == told("figs7", "csv") == ""


def test_a_log_that_would_stay_empty_is_told_before_the_run(settings_of):
    from ntkrun.runner.no_effect import without_effect

    for name, why in (("figs7", "looked at once"), ("figs9", "no network is trained")):
        cells = make_cells(load_experiment(name), settings_of(name, "smoke", "log=csv"))
        (line,) = without_effect(cells, {})
        assert line.startswith(f"log=csv writes nothing for experiment={name}: ") and why in line
