"""The table of figures in README.md, from the reports that are committed under results/reference/.

    python scripts/readme_table.py          write it between its two markers (make readme)

It reads what git would commit (its index), so that what is published there counts from `git add` on.
Minutes are those of the run whose tables are there.  The picture is that of the largest size of which all cells are there.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ntkrun.experiments.figures import figure_names, load_experiment
from ntkrun.report.counts import Counts
from ntkrun.report.deviation import distance, rows_of

ROOT = Path(__file__).parent.parent
PAPER_SIZE = ("paper", "gpu")  # scales of the paper's widths, networks and times
BEGIN, END = "<!-- figures: make readme -->", "<!-- end of figures -->"


def committed(path: str) -> str | None:
    """The content of a file in git's index; None if it is not there."""
    found = subprocess.run(["git", "show", f":{path}"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout if found.returncode == 0 else None


def notes(name: str) -> list[str]:
    """Files of docs/ that the figure's docstring names."""
    return sorted(
        set(re.findall(r"docs/\w+\.md", (ROOT / "ntkrun" / "experiments" / "figures" / f"{name}.py").read_text()))
    )


@dataclass
class Committed:
    """A report of one scale: its cells, how many the figure has, and how its claims fare."""

    folder: str
    scale: str
    cells: list[dict]
    of: int
    counts: Counts
    distance: str  # of its curves from the paper's

    @classmethod
    def read(cls, name: str, scale: str) -> "Committed | None":
        folder = f"results/reference/{scale}/{name}"
        provenance, claims = (committed(f"{folder}/{file}.json") for file in ("provenance", "claims"))
        if provenance is None or claims is None:
            return None
        told = json.loads(provenance)
        cells = told["cells"]
        apart = distance(rows_of(committed(f"{folder}/deviation.csv") or ""))
        return cls(folder, scale, cells, len(cells) + len(told["missing_cells"]), Counts.of(json.loads(claims)), apart)

    @property
    def whole(self) -> bool:
        return len(self.cells) == self.of

    def judged(self) -> str:
        n = self.counts
        fitted = f", fitted {n.fitted_passed} of {n.fitted}" if n.fitted else ""
        left = f", {n.not_judged} not judged" if n.not_judged else ""
        missing = "" if self.whole else f", of {len(self.cells)} of {self.of} cells"
        apart = f"; {self.distance}" if self.distance else ""
        return f"{n.passed} of {n.judged}{fitted}{left}{missing}{apart}"

    def picture(self, title: str) -> str:
        small, large = (f"{self.folder}/{name}.png" for name in ("thumbnail", "figure"))
        return f'<a href="{large}"><img src="{small}" width="220" alt="{title}"></a><br>`scale={self.scale}`'


def row(name: str) -> str:
    experiment = load_experiment(name)
    title = experiment.title
    links = "".join(f", [notes]({note})" for note in notes(name))
    command = f"`ntkrun experiment={name}`"
    cpu, *others = found = [Committed.read(name, scale) for scale in ("cpu", *PAPER_SIZE)]
    # the one that is whole before the one that has more cells, the paper's own steps before others
    large = max((one for one in others if one), key=lambda one: len(one.cells) / one.of, default=None)
    shown = next((one for one in (large, *reversed(found)) if one and one.whole), cpu)
    picture = shown.picture(title) if shown else ""
    at_paper_size = f"{large.judged()} (`scale={large.scale}`)" if large else "not run"
    if cpu is None:
        return f"| {picture} | {title}{links} | {command} | | not committed | {at_paper_size} |"
    minutes = f"{sum(cell['wall_seconds'] for cell in cpu.cells) / 60:.1f}"
    minutes = f"with {experiment.cells_of}" if experiment.cells_of else minutes
    return f"| {picture} | {title}{links} | {command} | {minutes} | {cpu.judged()} | {at_paper_size} |"


def table() -> str:
    head = [
        "| | figure | command | minutes, `scale=cpu` | claims passed and distance from the paper, `scale=cpu` | "
        "at the paper's size |",
        "|" + 6 * "---|",
    ]
    return "\n".join([*head, *map(row, figure_names())])


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
