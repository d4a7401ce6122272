"""The device in the provenance: what is told of it, what is warned of, and to which programs a checkpoint belongs."""

import types
from pathlib import Path
from typing import Any

import jax
import pytest

from ntkrun.devices import placement as kernels_device
from ntkrun.devices import platform as accelerators
from ntkrun.runner import compiled, device


def pretend(monkeypatch, platform: str, kind: str, **stats: int) -> None:
    client = types.SimpleNamespace(platform_version="PJRT C API\ncuda 13000")
    found = types.SimpleNamespace(platform=platform, device_kind=kind, client=client, memory_stats=lambda: stats)
    monkeypatch.setattr(jax, "devices", lambda: [found])
    monkeypatch.setattr(jax, "local_devices", lambda *_, **__: [found])
    monkeypatch.setattr(jax, "default_backend", lambda: platform)


def test_flags_of_a_gpu_are_added_and_the_users_stay():
    assert accelerators.with_gpu_flags("") == (
        "--xla_gpu_exclude_nondeterministic_ops=true --xla_gpu_enable_triton_gemm=false"
    )
    own = "--xla_gpu_enable_triton_gemm=true --xla_dump_to=/x"
    assert accelerators.with_gpu_flags(own) == f"{own} --xla_gpu_exclude_nondeterministic_ops=true"
    twice = accelerators.with_gpu_flags(accelerators.with_gpu_flags(own))
    assert twice == accelerators.with_gpu_flags(own)


def test_without_an_accelerator_xla_is_told_nothing(monkeypatch):
    monkeypatch.setattr(accelerators, "may_have_accelerator", lambda: False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    accelerators.tell_xla()
    assert "XLA_FLAGS" not in device.os.environ


@pytest.mark.parametrize(
    ("flags", "deterministic"),
    [
        ("", False),
        (accelerators.with_gpu_flags(""), True),
        ("--xla_gpu_exclude_nondeterministic_ops=true --xla_gpu_exclude_nondeterministic_ops=false", False),
    ],
)
def test_a_gpu_is_described_and_what_is_left_to_chance_is_said(monkeypatch, tmp_path, flags, deterministic):
    pretend(monkeypatch, "gpu", "NVIDIA H100 80GB HBM3")
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(device, "DRIVER", tmp_path / "version")
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Release\n")
    monkeypatch.setattr(device, "cache_in_use", lambda: tmp_path)
    told = device.described(1)
    assert told["kind"] == "NVIDIA H100 80GB HBM3" and told["driver"] == "580.159.04"
    assert told["backend"] == "PJRT C API cuda 13000" and told["deterministic"] is deterministic
    assert told.get("xla_flags", "") == flags and len(told["programs"]) == 32
    assert [("XLA_FLAGS allow" in line) for line in device.warnings(1)] == [True] * (not deterministic)
    monkeypatch.setattr(device, "cache_in_use", lambda: None)
    assert "compilation_cache=true keeps them" in device.warnings(1)[-1]


def test_a_cpu_is_described_as_it_was(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert device.described(1) == {"platform": "cpu", "kind": "cpu", "used": 1}
    assert device.warnings(1) == [] and device.driver() is None


def test_programs_have_one_name_as_long_as_they_are_kept(tmp_path):
    first = compiled.programs_of(tmp_path / "cache")
    assert first and compiled.programs_of(tmp_path / "cache") == first
    other = compiled.programs_of(tmp_path / "other")
    assert other and other != first and compiled.programs_of(None) is None
    assert compiled.programs_of(Path("/proc/nowhere")) is None


def test_seconds_of_compiling_and_programs_are_counted():
    before = device.Preparation(**vars(device.prepared))
    jax.jit(lambda x: x * 3.25 + 1.5)(2.0)
    told: dict[str, Any] = device.prepared.since(before)
    assert told["programs"] >= 1 and told["compile_seconds"] > 0.0 <= told["tracing_seconds"]


def test_working_memory_is_the_devices(monkeypatch):
    assert kernels_device.working_bytes() == 2**30 and kernels_device.beyond_a_cpu(7) == 7
    pretend(monkeypatch, "gpu", "NVIDIA H100 80GB HBM3", bytes_limit=60 * 2**30)
    assert kernels_device.working_bytes() == 42 * 2**30 and kernels_device.beyond_a_cpu(7) == 7 * 42
    pretend(monkeypatch, "gpu", "one that does not say")
    assert kernels_device.working_bytes() == 2**30
