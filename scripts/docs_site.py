"""The documentation as a site: README, docs/, a page for every figure, the public names with their docstrings.

    python scripts/docs_site.py [--into build/site]        make site; open build/site/index.html

Pages are gathered below build/site_source and built strictly: a link that leads nowhere ends it with exit code 1.  A figure's
page opens with its picture and says what it shows (the docstring of its file), how to run it, what its claims measured and
how far it is from the paper, where its settings come from, and ends with the notes of docs/, which have the same order.
The snippets of the tutorial are run, and their outputs stand below them: a snippet that fails ends it, too.  The site is read
from a folder or a server alike and loads nothing from elsewhere.
"""

import argparse
import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import as_notebook
import yaml
from origins_page import table as settings_table
from PIL import Image
from readme_table import notes

from ntkrun.experiments.figures import figure_names, load_experiment
from ntkrun.report.counts import Counts
from ntkrun.report.deviation import distance, rows_of
from ntkrun.report.report_files import caption_of

ROOT = Path(__file__).parent.parent
SCALES = ("paper", "gpu", "cpu")  # the paper's own size first
ROOT_PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
WIDTH = 1600  # of a picture on a page, pixels
EXECUTED = ("tutorial.md",)  # their snippets run when the site is built
PAGES = {
    "Using it": {
        "A first half hour": "tutorial.md",
        "Installing": "install.md",
        "Questions": "faq.md",
        "The gallery": "gallery.md",
        "Glossary": "glossary.md",
        "Any combination": "lockstep.md",
        "A network of your own": "own_network.md",
        "Data of your own": "own_data.md",
        "How linear is a run": "linearity.md",
        "Settings": "settings.md",
        "Following a run": "following.md",
        "How claims are judged": "claims.md",
        "When something breaks": "robustness.md",
        "Versions": "versions.md",
    },
    "As a library": {
        "In a notebook": "notebook.md",
        "Infinite width": "theory.md",
        "Composed networks": "kernels.md",
        "Fitted kernels": "fitted_kernels.md",
        "Coming from Neural Tangents": "from_neural_tangents.md",
        "Public names": "api.md",
    },
    "Machines": {
        "Clusters": "cluster.md",
        "GPUs": "gpu.md",
        "Without a network": "no_network.md",
        "Within so many minutes": "budget.md",
        "Speed": "speed.md",
    },
    "The paper": {
        "Conventions": "conventions.md",
        "Where settings come from": "origins.md",
        "Settings recovered together": "recovered_settings.md",
    },
    "Taking part": {"Contributing": "CONTRIBUTING.md", "Changes": "CHANGELOG.md"},
}


def gather(source: Path) -> dict:
    """Write all pages below `source`; what mkdocs needs to know of them."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source)
    for name in EXECUTED:
        as_notebook.write(ROOT / "docs" / name, source)
    for name in ROOT_PAGES:
        (source / name).write_text(at_the_top((ROOT / name).read_text()))
    (source / "index.md").write_text(at_the_top((ROOT / "README.md").read_text()))
    shutil.copy(ROOT / "CITATION.cff", source)
    figures = {load_experiment(name).title.split(":")[0]: f"figure_pages/{name}.md" for name in figure_names()}
    for name in figure_names():
        path = source / "figure_pages" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(figure_page(name, source)))
    for page in source.glob("*.md"):
        text = page.read_text().replace("](../results/", "](results/")
        text = re.sub(r"^```(\w+) [\w ]+$", r"```\1", text, flags=re.MULTILINE)  # marks are for the tests
        for picture in set(re.findall(r'(?:src="|\]\()(results/reference/[^")]+\.png)', text)):
            shown(picture, source)
        page.write_text(text)
    (source / "api.md").write_text("\n".join(public_names()))
    known = {page for group in PAGES.values() for page in group.values()} | {"index.md", *figures.values()}
    noted = {Path(note).name for name in figure_names() for note in notes(name)}
    if left_out := {str(path.relative_to(source)) for path in source.rglob("*.md")} - known - noted:
        raise SystemExit(f"PAGES of scripts/docs_site.py does not say where to put {', '.join(sorted(left_out))}")
    groups = [{title: [{name: page} for name, page in pages.items()]} for title, pages in PAGES.items()]
    return {
        "site_name": "ntkrun",
        "docs_dir": str(source),
        "use_directory_urls": False,
        "theme": {
            "name": "material",
            "font": False,
            "palette": palettes(),
            "features": ["navigation.top", "content.code.copy"],
        },
        "plugins": [
            "search",
            "offline",
            {"mkdocstrings": {"handlers": {"python": {"paths": [str(ROOT)], "options": OPTIONS}}}},
        ],
        "markdown_extensions": [
            "tables",
            "admonition",
            "pymdownx.superfences",
            {"toc": {"permalink": True, "toc_depth": 3}},
        ],
        "validation": {"links": {"not_found": "warn", "anchors": "warn"}},
        "not_in_nav": "/figure*.md\n/theorem21.md",
        "nav": [{"Start": "index.md"}, {"Figures": [{title: page} for title, page in figures.items()]}, *groups],
    }


OPTIONS = {"show_root_heading": True, "heading_level": 3, "show_source": False, "docstring_style": "google"}


def palettes() -> list[dict]:
    """Light and dark, as the system has it, and a switch."""
    return [
        {"media": f"(prefers-color-scheme: {kind})", "scheme": scheme, "toggle": {"icon": icon, "name": f"to {other}"}}
        for kind, scheme, icon, other in (
            ("light", "default", "material/weather-night", "dark"),
            ("dark", "slate", "material/weather-sunny", "light"),
        )
    ]


def at_the_top(text: str) -> str:
    """Links of a page of the project's root, which becomes a neighbour of those of docs/."""
    return text.replace("](docs/", "](").replace("](README.md", "](index.md").replace("](LICENSE", "](index.md")


def shown(picture: str, source: Path) -> None:
    """A picture of results/reference, no wider than a page needs it."""
    path = source / picture
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(ROOT / picture) as image:
        image.thumbnail((WIDTH, 10 * WIDTH))
        image.save(path, optimize=True)


def figure_page(name: str, source: Path) -> Iterator[str]:
    """The picture, what it shows, how to run it, what ours says, its setting, and where the rest is told."""
    experiment, caption = load_experiment(name), caption_of(name, ROOT / "results")
    reports = [report for scale in SCALES if (report := Report.read(name, scale))]
    yield f"# {experiment.title}\n"
    for report in sorted(reports, key=lambda one: not one.whole)[:1]:  # the largest of which all cells are there
        picture = f"results/reference/{report.scale}/{name}/figure.png"
        shown(picture, source)
        paper = "; light dots: the paper's own curves" if report.apart else ""
        yield f"[![{experiment.title}](../{picture})](../{picture})\n\n*`scale={report.scale}`{paper}.*\n"
    yield caption.headline + "\n"
    yield "## Running it\n"
    yield f"    ntkrun experiment={name}                          # a size for this machine"
    yield f"    ntkrun experiment={name} scale=paper stage=plan   # what the paper's size takes here\n"
    for report in reports:
        yield f"## What `scale={report.scale}` says\n"
        yield report.sentence() + "\n"
        yield from claims(report.claims)
        yield from report.distances()
    yield "## Its setting, and where it comes from\n"
    for label, text in caption.parts.items():
        yield f"**{label}.** {text}\n"
    yield from settings_table(name)
    yield "\n## Departures, causes, how settings were found\n"
    yield from (
        f"- [{(ROOT / note).read_text().splitlines()[0].lstrip('# ')}](../{Path(note).name})" for note in notes(name)
    )


@dataclass
class Report:
    """What results/reference has of a figure at one scale."""

    scale: str
    claims: list[dict]
    curves: list[dict[str, str]]  # the rows of deviation.csv
    cells: int
    missing: int

    @classmethod
    def read(cls, name: str, scale: str) -> "Report | None":
        folder = ROOT / "results" / "reference" / scale / name
        if not (folder / "claims.json").is_file():
            return None
        told = json.loads((folder / "provenance.json").read_text())
        curves = rows_of((folder / "deviation.csv").read_text()) if (folder / "deviation.csv").is_file() else []
        found = json.loads((folder / "claims.json").read_text())
        return cls(scale, found, curves, len(told["cells"]), len(told["missing_cells"]))

    @property
    def whole(self) -> bool:
        return not self.missing

    @property
    def apart(self) -> str:
        return distance(self.curves)

    def sentence(self) -> str:
        n = Counts.of(self.claims)
        told = f"{n.passed} of {n.judged} judged claims pass"
        told += f", {n.fitted_passed} of {n.fitted} {term('fitted')} ones" if n.fitted else ""
        told += f"; {self.cells} of {self.cells + self.missing} cells are there" if self.missing else ""
        told += f". {term('Distance')} from the paper's curves: {self.apart}" if self.apart else ""
        return told + "."

    def distances(self) -> Iterator[str]:
        """Every curve's, folded; of those that show another draw than the paper's the note says it."""
        compared = [row for row in self.curves if row["median"]]
        if compared:
            yield f"<details><summary>Distance of each of {len(compared)} curves</summary>\n<table>"
            yield "<tr><th>panel</th><th>curve</th><th>median</th><th>largest</th><th></th><th></th></tr>"
            for row in compared:
                cells = (html.escape(row[key]) for key in ("panel", "curve", "median", "largest", "unit", "note"))
                yield f"<tr><td>{'</td><td>'.join(cells)}</td></tr>"
            yield "</table></details>\n"


def claims(records: list[dict]) -> Iterator[str]:
    yield f"| {term('claim')} | {term('verdict')} | measured | {term('band')} | the paper, or theory |\n|---|---|---|---|---|"
    for one in records:
        verdict = one["verdict"].replace("_", " ") + (", fitted" if one["fitted_to"] else "")
        measured = "" if one["measured"] is None else f"{one['measured']:.3g}"
        band = f"{one['low']:.3g} to {one['high']:.3g}" if None not in (one["low"], one["high"]) else ""
        reason = f"<br>*{one['reason'].strip()}*" if one["reason"] else ""
        cells = [f"{one['sentence']}{reason}", verdict, measured, band, one["expected"]]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def term(word: str) -> str:
    return f"[{word}](../glossary.md#{word.lower()})"


def public_names() -> Iterator[str]:
    """Every name of ntkrun/__init__.pyi with its docstring, by package."""
    yield "# Public names\n\n`import ntkrun` offers these; each is imported when it is first used.\n"
    package = ""
    for module, name in re.findall(
        r"^from \.([\w.]+) import (\w+) as", (ROOT / "ntkrun/__init__.pyi").read_text(), re.M
    ):
        if module.split(".")[0] != package:
            package = module.split(".")[0]
            yield f"## {package}\n"
        yield f"::: ntkrun.{module}.{name}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the documentation as a site.")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "site")
    into = parser.parse_args().into.absolute()
    source = into.parent / f"{into.name}_source"
    settings = into.parent / f"{into.name}.yml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    try:
        settings.write_text(yaml.safe_dump(gather(source), sort_keys=False))
    except RuntimeError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(settings), "-d", str(into)]
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
