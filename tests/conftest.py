"""Strict numerics for all tests: 64-bit arithmetic, no silent broadcasting, checked shapes, warnings as errors."""

import compileall
import contextlib
import copy
import ctypes
import functools
import gc
import os
import py_compile
import shutil
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
from jaxtyping import install_import_hook

# Most of the suite's time is compilation.  Without LLVM's optimisation it takes three fifths of it, with XLA's older code
# generator half of that; products still run in Eigen.  jaxlib 0.11 has that one no more, and XLA ends a process that names a
# flag it does not know.  A program of a test is too small to be shared out over threads that compile it: another tenth and more.
# Subprocesses inherit it, flags of the user's own win.
_flags = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
    _flags.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(_flags))

# Workers and subprocesses of one session compile each program once: many tests of the command line run the same smoke cells.
_programs = Path(
    tempfile.gettempdir(), f"ntkrun-tests-{os.getuid()}", str(os.getpid())
)  # workers inherit the first one
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_programs))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", ".1")

# The source lines of every operation are looked up for XLA's messages; no test reads them there.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")

# Tracing and imports make many objects and little garbage: a tenth of the time went into looking for it.
gc.set_threshold(20_000, 20, 20)

# While the hook below imports a module of ntkrun, the compiled bytecode of all that it imports in turn is looked for under
# another name and not found: what is large comes first.
import diffrax  # noqa: E402, F401
import flax.linen  # noqa: E402, F401
import jax  # noqa: E402
import matplotlib.pyplot  # noqa: E402, F401
import optax  # noqa: E402, F401
import pandas  # noqa: E402, F401
import pydantic  # noqa: E402, F401
import scipy.stats  # noqa: E402, F401

# Before any module of ntkrun is imported.
_hook = install_import_hook("ntkrun", "annotations.checked")

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# A shell's `&` and nohup have Ctrl-C ignored, which ntkrun respects; the tests and the programs that they start listen however
# they were started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    # a relative NTKRUN_DATA_DIR must mean the same to tests that change the directory
    if os.environ.get("NTKRUN_DATA_DIR"):
        os.environ["NTKRUN_DATA_DIR"] = str(Path(os.environ["NTKRUN_DATA_DIR"]).resolve())
    # for the subprocesses, each of which compiles all it imports where PYTHONDONTWRITEBYTECODE is set; an edit is seen by the
    # text, as a file may change twice within the second that its time is kept to
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):  # of a whole run, once
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(ROOT / "ntkrun", quiet=2, invalidation_mode=mode)


THOROUGH = {
    line: False for line in (ROOT / "tests/thorough.txt").read_text().splitlines() if line and not line.startswith("#")
}  # the beginning of a test's name -> whether there is one


def pytest_itemcollected(item: pytest.Item) -> None:
    for beginning in THOROUGH:
        if item.nodeid.startswith(beginning):
            item.add_marker("thorough")
            THOROUGH[beginning] = True


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()  # what is imported stays
    looked_at = {str(item.path) for item in session.items if not any("::" in named for named in session.config.args)}
    for beginning, found in THOROUGH.items():
        if not found and str(ROOT / beginning.partition("::")[0]) in looked_at:
            raise pytest.UsageError(f"tests/thorough.txt: no test is called {beginning}")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_programs, ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def _memory():
    """Compiled programs are let go where all workers' would fill a third of the memory: the suite's are 6 GB a process."""
    yield
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if psutil.Process().memory_info().rss > max(2**30, psutil.virtual_memory().total / (3 * workers)):
        jax.clear_caches()
        with contextlib.suppress(AttributeError):  # of glibc alone, which keeps what is freed
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True)
def _what_a_run_tells_jax():
    """A run in this process sets the precision of products that name none; other tests see JAX's own."""
    yield
    jax.config.update("jax_default_matmul_precision", None)


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a few bytes: a report spends most of its time on painting, and many a test looks at no picture."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **_: file.write(b"drawn"))


@pytest.fixture
def real_data() -> str:
    """The folder of prepared TFDS data, or a skip that says how to get it."""
    folder = os.environ.get("NTKRUN_DATA_DIR", "")
    if not Path(folder, "cifar10").is_dir():
        pytest.skip("needs the real data: set NTKRUN_DATA_DIR to prepared TFDS data (make data)")
    return folder


@pytest.fixture(scope="session")
def settings_of():
    """Plain settings of an experiment at a scale, composed as the command line does; each once, a tenth of a second."""
    from ntkrun.cli.hydra.compose import compose

    composed = functools.cache(lambda *overrides: compose(list(overrides)).settings)

    def settings(experiment: str, scale: str, *overrides: str) -> dict:
        return copy.deepcopy(composed(f"experiment={experiment}", f"scale={scale}", *overrides))

    return settings
