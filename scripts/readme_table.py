"""The table of figures in README.md, from the reports that are committed under results/cpu.

    python scripts/readme_table.py          write it between its two markers (make readme)

It reads what git would commit (its index), so that a run of one's own in results/cpu changes nothing before `git add`.
Minutes are those of the run whose tables are there.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from ntkrun.experiments import figures
from ntkrun.experiments.base import load_experiment

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- figures: make readme -->", "<!-- end of figures -->"


def committed(path: str) -> str | None:
    """The content of a file in git's index; None if it is not there."""
    found = subprocess.run(["git", "show", f":{path}"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout if found.returncode == 0 else None


def notes(name: str) -> list[str]:
    """Files of docs/ that the figure's docstring names."""
    return sorted(set(re.findall(r"docs/\w+\.md", (ROOT / "ntkrun" / "experiments" / f"{name}.py").read_text())))


def row(name: str) -> str:
    folder, experiment = f"results/cpu/{name}", load_experiment(name)
    title = experiment.title
    links = "".join(f", [notes]({note})" for note in notes(name))
    command = f"`ntkrun experiment={name}`"
    provenance, claims = (committed(f"{folder}/{file}.json") for file in ("provenance", "claims"))
    if provenance is None or claims is None:
        return f"| | {title}{links} | {command} | | not committed |"
    cells = json.loads(provenance)["cells"]
    minutes = f"{sum(cell['wall_seconds'] for cell in cells) / 60:.1f}"
    minutes = f"with {experiment.cells_of}" if experiment.cells_of else minutes
    verdicts = [claim["verdict"] for claim in json.loads(claims)]
    passed, failed, left = (verdicts.count(kind) for kind in ("pass", "fail", "not_judged"))
    judged = f"{passed} of {passed + failed}" + (f", {left} not judged" if left else "")
    picture = f'<a href="{folder}/figure.png"><img src="{folder}/figure.png" width="220" alt="{title}"></a>'
    return f"| {picture} | {title}{links} | {command} | {minutes} | {judged} |"


def table() -> str:
    head = ["| at `scale=cpu` | figure | command | minutes | claims passed |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(row, figures())])


def rewritten(readme: str) -> str:
    """README with the table between its markers; ValueError when they are not there once each."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"README.md must hold {BEGIN} and {END} once each")
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    path = ROOT / "README.md"
    old, new = path.read_text(), rewritten(path.read_text())
    path.write_text(new)
    print("README.md: the table of figures is " + ("as it was" if old == new else "new"), file=sys.stderr)


if __name__ == "__main__":
    main()
