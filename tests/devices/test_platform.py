"""How an accelerator is noticed without JAX: by the plug-ins that JAX itself looks for."""

import os
import sys
from pathlib import Path

import pytest
from processes import ran

SAYS = "from ntkrun.devices.platform import may_have_accelerator; print(may_have_accelerator())"


def said(script: str, folder: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("JAX_PLATFORMS", "TPU_LIBRARY_PATH")}
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = ran(sys.executable, "-c", script, env=clean | {"PYTHONPATH": paths} | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A folder with a plug-in as JAX's vendors ship them, which says when JAX calls it."""
    package = tmp_path / "jax_plugins" / "made_up"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def initialize():\n    print('called by JAX')\n")
    return tmp_path


def test_what_jax_would_load_is_noticed(plugin):
    assert said("import jax; jax.devices()", plugin) == "called by JAX", "plug-ins are found in another way by now"
    assert said(SAYS, plugin) == "True"
    assert said(SAYS, plugin, JAX_PLATFORMS="cpu") == "False"


def test_without_a_plugin_jax_need_not_be_asked(tmp_path):
    assert said(SAYS, tmp_path) == "False"


def test_a_platform_that_is_not_here_is_told_with_what_to_do(tmp_path):
    count = (
        "from ntkrun.lockstep.mesh import count_devices\ntry: count_devices(1)\nexcept Exception as error: print(error)"
    )
    told = said(count, tmp_path, JAX_PLATFORMS="cuda")
    assert told.startswith("JAX finds no device; JAX_PLATFORMS=cuda: unset it") and "ntkrun[cuda13]" in told
