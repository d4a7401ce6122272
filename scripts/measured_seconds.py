"""Seconds that every cell of the committed reports took on a CPU, into ntkrun/runner/measured.json: what a first run is told
to expect on one.

    python scripts/measured_seconds.py      (make readme)

It reads what git would commit, like scripts/readme_table.py.
"""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "ntkrun" / "runner" / "measured.json"


def measured() -> dict[str, float]:
    """{config hash: wall seconds}, of the longest of several runs of one cell (two figures may share it)."""
    command = ["git", "ls-files", "results/*/provenance.json"]
    found: dict[str, float] = {}
    for path in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split():
        shown = subprocess.run(["git", "show", f":{path}"], cwd=ROOT, capture_output=True, text=True, check=True)
        for cell in json.loads(shown.stdout)["cells"]:
            if cell["device"]["platform"] != "cpu":
                continue
            seconds = round(cell["wall_seconds"], 1)
            found[cell["config_hash"]] = max(seconds, found.get(cell["config_hash"], 0.0))
    return dict(sorted(found.items()))


def main() -> None:
    FILE.write_text(json.dumps(measured(), indent=0) + "\n")


if __name__ == "__main__":
    main()
