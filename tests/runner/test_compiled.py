"""The cache of compiled programs: where it lies, and that the user's own comes first."""

import jax
import pytest

from ntkrun.runner import compiled


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = (
        jax.config.values["jax_compilation_cache_dir"],
        jax.config.values["jax_persistent_cache_min_compile_time_secs"],
    )
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before[0])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])


def test_the_folder_is_the_users_and_named_after_versions_and_processor(no_cache):
    compiled.keep_compiled_programs()
    folder = compiled.programs_folder()
    assert folder.is_dir() and folder.parent == no_cache / "ntkrun" and jax.__version__ in folder.name
    assert jax.config.values["jax_compilation_cache_dir"] == str(folder)


def test_another_processor_has_another_folder(monkeypatch, no_cache):
    here = compiled.programs_folder()
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert compiled.programs_folder() != here


def test_a_cache_of_the_users_own_stays(monkeypatch, no_cache):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    compiled.keep_compiled_programs()
    assert jax.config.values["jax_compilation_cache_dir"] is None and not list(no_cache.iterdir())


def test_a_folder_that_cannot_be_made_means_no_cache(monkeypatch, no_cache):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    compiled.keep_compiled_programs()
    assert jax.config.values["jax_compilation_cache_dir"] is None
