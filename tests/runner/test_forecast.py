"""Machines, times and the table of a plan."""

import dataclasses
from typing import Any, get_args

import jax
import jax.numpy as jnp
import pytest
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.costs import Kernel
from ntkrun.devices.placement import SHARE
from ntkrun.errors import UserError
from ntkrun.experiments.figures import load_experiment
from ntkrun.experiments.runs.planned_rate import planned_eta_critical
from ntkrun.experiments.runs.prepare import check_learning_rate, set_up_training
from ntkrun.lockstep.progress import Silent
from ntkrun.runner import forecast as forecasts
from ntkrun.runner.amounts import duration, memory
from ntkrun.runner.forecast import Forecast, expected, forecast
from ntkrun.runner.machines import KNOWN, Machine, at_hand, machine_of
from ntkrun.runner.plan import make_cells
from ntkrun.runner.plan_table import forecast_table
from ntkrun.runner.plan_warnings import possible, warnings
from ntkrun.settings.base import CommonSettings

PLAIN = Machine("m", "gpu", {"float32": 1e12, "tf32": 4e12, "default": 4e12}, 1e12, 4e9, 1e-6, 1.0, 0.1, "made up")


def kernel(**fields) -> Kernel:
    return Kernel("product", {0: fields.pop("bytes", 0.0)}, {}, **fields)


@pytest.mark.parametrize(
    ("of", "seconds"),
    [
        (kernel(), 1e-6),  # its launch
        (kernel(bytes=3e6), 3e-6),
        (kernel(bytes=3e6, flops={"float32": 5e6}), 5e-6),
        (kernel(bytes=3e6, flops={"tf32": 5e6}), 3e-6),
        (kernel(bytes=3e6, flops={"float32": 5e6, "default": 4e6}, turns=7), 7 * 6e-6),
    ],
)
def test_a_kernel_takes_its_launch_its_bytes_or_its_flops(of, seconds):
    assert PLAIN.seconds([of]) == pytest.approx(seconds) and PLAIN.seconds([of, of]) == pytest.approx(2 * seconds)


def test_every_device_that_can_be_named_is_known():
    named = set(get_args(CommonSettings.model_fields["device"].annotation))
    assert named == {"auto", "cpu", *KNOWN}
    for machine in KNOWN.values():
        assert machine.rates["float64"] < machine.rates["float32"] < machine.rates["tf32"] < machine.rates["bfloat16"]
        assert machine.block_bytes == int(SHARE * machine.memory) > 2**30


def test_a_rate_that_is_asked_for_replaces_the_machines_own():
    asked = machine_of("h100", 1e14)
    assert set(asked.rates.values()) == {1e14} and asked.bandwidth == KNOWN["h100"].bandwidth
    assert "as asked" in asked.source and machine_of("h100", "auto") is KNOWN["h100"]


def test_the_cpu_is_measured(monkeypatch):
    machine = at_hand("cpu")
    assert machine.platform == "cpu" and "measured" in machine.source and machine is at_hand("cpu")
    # a product measured here, by another clock: both see the same load within a factor of a few
    assert 1e8 < machine.rates["float64"] < machine.rates["float32"] * 2 < 1e14
    assert machine.rates["tf32"] == machine.rates["bfloat16"] == machine.rates["float32"]
    assert 1e8 < machine.bandwidth < 1e13 and 1e-8 < machine.launch < 1e-3
    assert machine.block_bytes == 2**30


def test_a_gpu_is_found_by_its_name_and_another_one_is_measured(monkeypatch):
    @dataclasses.dataclass
    class Device:
        device_kind: str
        platform: str = "gpu"

    def here(kind: str) -> Machine:
        at_hand.cache_clear()
        monkeypatch.setattr(jax, "local_devices", lambda backend=None: [Device(kind)])
        return at_hand()

    monkeypatch.setattr("ntkrun.runner.machines.measured", lambda device: PLAIN)
    assert here("NVIDIA H100 80GB HBM3") is KNOWN["h100"] and here("NVIDIA H200") is KNOWN["h200"]
    assert here("NVIDIA A100-SXM4-80GB") is KNOWN["a100"] and here("NVIDIA RTX A1000") is PLAIN
    at_hand.cache_clear()


def test_a_platform_that_is_not_there_is_refused(monkeypatch):
    def none(backend=None):
        raise RuntimeError("no such backend")

    at_hand.cache_clear()
    monkeypatch.setattr(jax, "local_devices", none)
    with pytest.raises(
        UserError, match=r"device=cpu: JAX runs on .* only here .* use device=auto or one of a100, h100"
    ):
        at_hand("cpu")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0 s"), (9.94, "9.9 s"), (14.2, "14 s"), (59.4, "59 s"), (60.0, "1 min"), (200.0, "3 min 20 s"),
        (3599.7, "60 min"), (12000.0, "3 h 20 min"), (86400.0 * 2 + 3600 * 3, "2 d 3 h"), (86400.0 * 400, "400 d"),
    ],
)  # fmt: skip
def test_durations_are_read_by_people(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(10_800, "10.5 KiB"), (1.64e6, "1.56 MiB"), (2**33, "8 GiB"), (1.2e9, "1.12 GiB"), (2e13, "18,626 GiB")],
)
def test_sizes_are_read_by_people(size, text):
    assert memory(size) == text


def one(name: str = "a", **fields) -> Forecast:
    given = dict(
        parameters=10, steps=4, known="exactly", flops_per_step=1e3, kernels_per_step=7, flops={"float32": 1e9}
    )
    given |= dict(bytes=1e6, calls=1, peak_bytes=2**31, compile_seconds=3.0, run_seconds=12000.0)
    return Forecast(name, **(given | fields))  # type: ignore[arg-type]


def test_the_table_sums_up_and_says_what_is_not_exact():
    text = forecast_table([one(), one("b", known="at most", flops={"float32": 1e9, "tf32": 2e9})], PLAIN)
    header, first, second, total, *notes = text.splitlines()
    assert header.split()[0] == "cell" and "3 h 20 min" in first and "2 GiB" in first
    assert "<= 4" in second and "<= 3 h 20 min" in second
    assert total.startswith("all: <= 6 h 40 min") and "4e+09" in total
    assert "1 TFLOP/s in float32 (50 % of the FLOPs)" in notes[0] and "made up" in notes[0]
    assert any(note.startswith("<=") for note in notes) and not any(note.startswith("~") for note in notes)


def cells_of(settings_of, name: str, *overrides: str):
    return make_cells(load_experiment(name), settings_of(name, "smoke", "data.source=stand_in", *overrides))


def test_what_does_not_fit_or_takes_months_is_said_with_what_to_lower():
    fits, large, slow = one(), one("b", peak_bytes=2**33), one("c", run_seconds=90 * 86400.0)
    assert warnings([fits], [], PLAIN) == []
    said_of_memory, said_of_time = warnings([fits, large, slow, slow], [], PLAIN)
    assert said_of_memory.startswith("b needs 8 GiB, and m has 3.73 GiB: lower data.n_train")
    assert (
        said_of_time.startswith("2 of 4 cells take longer than 30 d")
        and "c 90 d: lower optimizer.steps" in said_of_time
    )


def test_a_cell_without_enough_images_is_named_and_the_others_are_planned(settings_of):
    cells = cells_of(settings_of, "fig3", "data.n_train=[16,10000000]", "data.n_test=[4,9999]")
    kept, lines = possible(cells)
    assert kept == cells[:1] and len(lines) == 2
    assert "data.n_train=10000000" in lines[1] and "use data.n_train=1.." in lines[1] and "data.n_test=1.." in lines[0]
    with pytest.raises(UserError, match=r"use data.n_train=1\.\."):
        possible(cells[2:])


@pytest.mark.parametrize(
    "stage", [["stage=plan"], ["stage=all"], ["minutes=1"], ["stage=plan", "device=h100"]], ids=" ".join
)
@pytest.mark.parametrize("figure", ["fig3", "fig1", "theorem21"])
def test_too_few_images_are_one_line_before_anything_else_is_looked_at(ntkrun, figure, stage):
    code, out, err = ntkrun(
        f"experiment={figure}", "scale=smoke", "data.source=stand_in", "data.n_train=10000000", *stage
    )
    assert code == 2 and "FLOP" not in out
    assert len(err.splitlines()) == 1 and "use data.n_train=1.." in err and "linear_route" not in err


RISING = [
    "optimizer.schedule.name=exponential",
    "+optimizer.schedule.decay_steps=1",
    "+optimizer.schedule.decay_rate=2",
]


@pytest.mark.parametrize(
    ("figure", "overrides"),
    [
        ("fig1", ["optimizer.learning_rate=1e9"]),
        ("fig2", ["optimizer.learning_rate=1e9"]),
        ("fig3", ["model.parameterization=standard", "optimizer.learning_rate=1e9"]),
        ("figs3", ["optimizer.learning_rate=1e9"]),
        ("lockstep", ["optimizer=momentum", "optimizer.batch_size=4", "optimizer.learning_rate=1e9"]),
        ("lockstep", [*RISING, "optimizer.steps=40", "optimizer.learning_rate=1e-3"]),
    ],
)
def test_a_rate_above_eta_critical_is_told_with_one_that_is_not(settings_of, figure, overrides):
    cells = cells_of(settings_of, figure, *overrides)
    lines = warnings([], cells, PLAIN)  # one for each kernel
    assert lines and all("is not below eta_critical" in line for line in lines)
    below = min(float(line.rpartition(" below ")[2].rstrip(")")) for line in lines)
    settings: list[Any] = [cell.settings for cell in cells]
    assert all(below < one.optimizer.learning_rate for one in settings)
    lower = cells_of(settings_of, figure, *overrides, f"optimizer.learning_rate={0.99 * below}")
    assert warnings([], lower, PLAIN) == []


def test_the_planned_eta_critical_is_that_of_a_run_whose_network_is_wide(settings_of):
    """Theta_hat_0 of 1,024 units is within some per cent of the limit; the run warns by it."""
    overrides = ["model.width=1024", "model.depth=1", "optimizer.learning_rate=1e9"]
    (cell,) = cells_of(settings_of, "lockstep", *overrides)
    settings: Any = cell.settings
    setup = set_up_training(settings, Silent())
    seen = check_learning_rate(setup, Silent())["eta_critical"]
    assert planned_eta_critical(settings) == pytest.approx(seen, rel=0.1)


@pytest.mark.parametrize(
    ("figure", "overrides"), [("lockstep", ["optimizer=adam"]), ("lockstep", ["model=cnn"]), ("figs7", [])]
)
def test_of_rates_that_nothing_is_known_of_nothing_is_said(settings_of, figure, overrides):
    assert warnings([], cells_of(settings_of, figure, *overrides), PLAIN) == []


def test_the_plan_of_a_gpu_is_printed_without_one(ntkrun):
    code, out, _ = ntkrun("experiment=fig1", "scale=paper", "model.width=[16,4096]", "stage=plan", "device=h100")
    lines = out.splitlines()
    assert code == 0 and lines[2].split()[:3] == ["cell", "parameters", "steps"]
    assert "on h100 (estimates, see docs/gpu.md)" in out and "131,072" in lines[3]
    assert next(line for line in lines if line.startswith("all: ")).count("min") >= 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["device=h100"], ["device=h100", "stage=plan"]),
        (["device=tpu", "stage=plan"], ["device", "h100"]),
        (["flop_rate=fast", "stage=plan"], ["flop_rate"]),
        (["flop_rate=0", "stage=plan"], ["flop_rate"]),
    ],
    ids=" ".join,
)
def test_a_wrong_device_or_rate_is_refused_in_one_line(ntkrun, arguments, words):
    code, _, err = ntkrun("experiment=fig3", "scale=smoke", *arguments)
    assert code == 2 and len(err.strip().splitlines()) == 1 and all(word in err for word in words), err


def test_what_is_expected_of_a_missing_cell_is_its_plan(settings_of, monkeypatch):
    experiment, raw = load_experiment("fig3"), settings_of("fig3", "smoke")
    (cell,) = make_cells(experiment, raw)
    rates = dict.fromkeys(("float64", *PLAIN.rates), 1e12)
    monkeypatch.setattr(forecasts, "machine_of", lambda device, rate: dataclasses.replace(PLAIN, rates=rates))
    (found,) = forecast(experiment, [cell], forecasts.machine_of("auto", "auto"))
    assert found.compile_seconds > 3.0  # of three programs
    assert expected(experiment, [cell])[cell.config_hash].seconds == pytest.approx(found.seconds)
    assert expected(experiment, []) == {}


def test_programs_of_one_shape_are_compiled_once(settings_of):
    experiment = load_experiment("fig2")
    cells = make_cells(experiment, settings_of("fig2", "paper", "seed=[0,10]"))
    found = forecast(experiment, cells, KNOWN["h100"])
    assert [one.compile_seconds > 0 for one in found] == [True, False, True, False]


def test_programs_are_traced_for_the_planned_device_and_not_kept(settings_of):
    """On a GPU convolutions are the library's, on a CPU matrix products: as many FLOPs, other kernels."""
    experiment = load_experiment("figs2")
    (cell,) = make_cells(experiment, settings_of("figs2", "smoke", "data.source=stand_in"))
    cpu = dataclasses.replace(PLAIN, platform="cpu", rates=KNOWN["h100"].rates)
    on_cpu, on_gpu, again = (forecast(experiment, [cell], machine)[0] for machine in (cpu, KNOWN["h100"], cpu))
    assert on_cpu == again and on_cpu.kernels_per_step != on_gpu.kernels_per_step
    x = jnp.ones((3, 3))
    assert float((x @ x).sum()) == 27.0


@pytest.mark.parametrize("experiment", ["theorem21", "figs5"])
def test_images_that_are_not_there_leave_a_bound_and_a_warning(experiment, ntkrun, monkeypatch):
    monkeypatch.delenv("NTKRUN_DATA_DIR", raising=False)
    parts = ["parts.D32=null", "parts.C4=null"] if experiment == "figs5" else ["model.activation=erf"]
    arguments = [f"experiment={experiment}", "scale=smoke", "stage=plan", "device=h100", "data.n_train=99999", *parts]
    code, out, err = ntkrun(*arguments)
    assert code == 0 and "<= " in out.splitlines()[3] and "99999" in err + out


def test_cells_that_differ_in_width_and_seed_alone_are_planned_together_and_no_others(settings_of):
    raw = settings_of(
        "theorem21", "smoke", "data.source=stand_in", "model.activation=[relu,tanh]", "model.width=[16,32]"
    )
    cells = make_cells(load_experiment("theorem21"), raw)
    found = forecasts.families(cells)
    kinds = [{cell.settings.identity["model"]["activation"] for cell in some} for some in found]
    assert kinds == [{"relu"}, {"tanh"}]
    assert sorted(cell.name for some in found for cell in some) == sorted(cell.name for cell in cells)
