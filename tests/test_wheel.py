"""The installed wheel, far from the checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ran


@pytest.mark.end_to_end
def test_the_wheel_runs_anywhere(tmp_path: Path, root: Path):
    built, site, elsewhere = (tmp_path / name for name in ("built", "site", "elsewhere"))
    elsewhere.mkdir()

    def python(*arguments: str, **options) -> subprocess.CompletedProcess:
        done = ran(sys.executable, *arguments, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(root))
    (wheel,) = built.glob("*.whl")
    python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    environment = {k: v for k, v in os.environ.items() if k not in ("NTKRUN_DATA_DIR", "TFDS_DATA_DIR")}
    environment["PYTHONPATH"] = str(site)
    where = python("-c", "import ntkrun; print(ntkrun.__file__)", cwd=elsewhere, env=environment).stdout
    assert where.startswith(str(site)), "the test must not run the checkout"
    arguments = ["experiment=fig3", "scale=smoke", "data.source=stand_in"]
    python("-m", "ntkrun.cli", *arguments, cwd=elsewhere, env=environment)
    folder = elsewhere / "results" / "smoke" / "fig3" / "demo"
    assert (folder / "figure.png").stat().st_size > 10_000
    assert "fig3/demo/thumbnail.png" in (folder.parent.parent / "index.html").read_text()
    assert "new uPlot" in (folder.parent.parent / "fig3.html").read_text(), "the library of the charts came along"
    assert "MIT" in (site / "ntkrun" / "report" / "pages" / "uplot" / "LICENSE").read_text()
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["stand_in_data"] == ["photos"]
    assert "n = 32 instead of 2048" in provenance["departures"]["differs"]
