"""What every figure runs, compiled for an H100 without one: it compiles, stays on the device, and has few kernels."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

LOOP = """\
HloModule jit_advance, is_scheduled=true

%fused_add (p.1: s32[]) -> s32[] {
  %p.1 = s32[] parameter(0)
  ROOT %add.1 = s32[] add(%p.1, %p.1)
}

%gemm_fusion (p.2: f32[4,4]) -> f32[4,4] {
  %p.2 = f32[4,4]{1,0} parameter(0)
  ROOT %dot.1 = f32[4,4]{1,0} dot(%p.2, %p.2), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%graph (p.3: f32[4,4]) -> f32[4,4] {
  %p.3 = f32[4,4]{1,0} parameter(0)
  %copy-start.1 = (f32[4,4]{1,0}, f32[4,4]{1,0}, u32[]) copy-start(%p.3)
  %copy-done.1 = f32[4,4]{1,0} copy-done(%copy-start.1)
  ROOT %wide = f64[4,4]{1,0} fusion(%copy-done.1), kind=kLoop, calls=%fused_add
}

%step (state.1: (s32[], /*index=1*/f32[4,4])) -> (s32[], f32[4,4]) {
  %state.1 = (s32[], /*index=1*/f32[4,4]{1,0}) parameter(0)
  %w = f32[4,4]{1,0} get-tuple-element(%state.1), index=1
  %new = f32[4,4]{1,0} fusion(%w), kind=kCustom, calls=%gemm_fusion
  %gemm = (f64[4,4]{1,0}, s8[64]{0}) custom-call(%w, %w), custom_call_target="__cublas$gemm", backend_config={"a":"(b"}
  %other = f32[4,4]{1,0} call(%new), to_apply=%graph
  %i = s32[] get-tuple-element(%state.1), index=0
  %next = s32[] fusion(%i), kind=kLoop, calls=%fused_add
  ROOT %out = (s32[], f32[4,4]{1,0}) tuple(%next, %other)
}

%outer (state.2: (s32[], f32[4,4])) -> (s32[], f32[4,4]) {
  %state.2 = (s32[], f32[4,4]{1,0}) parameter(0)
  ROOT %inner = (s32[], f32[4,4]{1,0}) while(%state.2), condition=%less, body=%step, backend_config={"known_trip_count":{"n":"32"}}
}

%less (state.3: (s32[], f32[4,4])) -> pred[] {
  %state.3 = (s32[], f32[4,4]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (arg.1: (s32[], f32[4,4])) -> (s32[], f32[4,4]) {
  %arg.1 = (s32[], f32[4,4]{1,0}) parameter(0)
  %told = f32[] custom-call(), custom_call_target="xla_ffi_python_gpu_callback"
  ROOT %steps = (s32[], f32[4,4]{1,0}) while(%arg.1), condition=%less, body=%outer
}
"""


@pytest.fixture(scope="module")
def hlo(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("hlo", root / "scripts" / "hlo.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hlo"] = module
    spec.loader.exec_module(module)
    return module


def test_a_compiled_loop_is_read(hlo):
    """By hand: a step launches the fused product, the library's, a copy, a cast and the counter."""
    module = hlo.Module(LOOP)
    outer, inner = module.loops()
    assert (outer.turns, outer.inner, outer.kernels, outer.products) == (None, False, 32 * 5, 32 * 2)
    assert (inner.turns, inner.inner, inner.kernels, inner.products) == (32, True, 5, 2)
    assert (inner.wide_kernels, inner.wide_products) == (2, 1)
    assert module.kernels(module.entry) == 1 + 32 * 5
    assert module.callbacks() == ["xla_ffi_python_gpu_callback"]


@pytest.mark.gpu_compile
def test_every_figures_programs_compile_for_an_h100_and_stay_there(root: Path):
    plugin = os.environ.get("NTKRUN_GPU_COMPILE", "")
    if not Path(plugin, "jax_plugins").is_dir():
        pytest.skip("needs JAX's compiler for CUDA: make test-gpu-compile")
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [plugin, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "scripts/compile_for.py", "--check", "tests/gpu_compile/kernels_per_step.json"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=1200)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_record_is_of_versions_that_are_known(root: Path):
    record = json.loads((root / "tests/gpu_compile/kernels_per_step.json").read_text())
    pinned = next(
        line.partition("==")[2].split()[0]
        for line in (root / "constraints.txt").read_text().splitlines()
        if line.startswith("jax==")
    )
    assert pinned in record and all(kernels > 0 for cells in record.values() for kernels in cells.values())
