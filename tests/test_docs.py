"""The snippets of the README and of docs/ run as they stand, a page's in their order.

```python          runs; a snippet whose first line is `# name.py` is that file
```bash            runs: lines of `ntkrun`, the command line of this package
```python insert   what is to be added to a file, likewise yaml: carried out by tests/test_contributing.py
```bash composed   takes longer than a test may: its `ntkrun` lines are composed and validated to the last cell, and targets
                   of make looked for; likewise with commands that stand indented
"""

import importlib
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun import __version__
from ntkrun.cli.arguments import check_arguments, completed
from ntkrun.cli.hydra.compose import compose
from ntkrun.experiments.figures import computing, experiment_names, figure_names, load_experiment
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import read_table

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def snippets(page: Path) -> list[tuple[str, str, str]]:
    """(language, marks, text) of every snippet."""
    return [(language, marks.strip(), text) for language, marks, text in SNIPPET.findall(page.read_text())]


def added(page: Path) -> set[str]:
    """Files that the page tells to add, or to add to."""
    return {text.split()[1].rstrip(",") for _, marks, text in snippets(page) if marks == "insert"}


def commands(page: Path) -> list[str]:
    """Lines that call the command line or make and are not run: in marked snippets, and in indented ones."""
    marked = [text for language, marks, text in snippets(page) if (language, marks) == ("bash", "composed")]
    prose = SNIPPET.sub("", page.read_text())
    lines = [line for text in marked for line in text.splitlines()]
    lines += [line.strip() for line in prose.splitlines() if line.startswith("    ")]
    return [line for line in lines if re.match(r"(\w+=\S+ )*(ntkrun|make) ", line)]


def run(page: Path, language: str, text: str, names: dict, ntkrun: Callable[..., tuple[int, str, str]]) -> None:
    """In the current directory."""
    if language == "bash":
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "ntkrun", f"{page.name} runs another program: {line}"
            code, _, err = ntkrun(*arguments)
            assert code == 0, err
    elif match := re.match(r"# (\w+\.py)\n", text):
        Path(match[1]).write_text(text)
    else:
        exec(compile(text, str(page), "exec"), names)


RUN = [
    page
    for page in PAGES
    if any(language in ("python", "bash") and not marks for language, marks, _ in snippets(page))
    and page.name != "tutorial.md"  # which make site runs, for its outputs
]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run(page, tmp_path, monkeypatch, ntkrun):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    for language, marks, text in snippets(page):
        if language in ("python", "bash") and not marks:
            run(page, language, text, names, ntkrun)
    if page.name == "own_network.md":
        of_the_residual_mlp(tmp_path)


def of_the_residual_mlp(folder: Path) -> None:
    """What the page promises of its two commands."""
    table, provenance = max(
        map(read_table, folder.glob("results/smoke/lockstep/*/table.parquet")), key=lambda found: len(found[0])
    )
    assert sorted(table["width"].unique()) == [16, 64]
    assert {"rmse/linear", "rmse/flow_empirical", "loss/network", "weight_change/linear"} <= set(table["curve"])
    network = provenance["cells"][0]["settings"]["model"]
    assert network["path"] == "residual:ResidualMLP" and len(network["source"]) == 16
    assert {cell["facts"]["theta_hat_by"] for cell in provenance["cells"]} == {"structured"}
    assert not (folder / "__pycache__").exists(), "nothing is written beside the user's file"


def test_every_snippet_says_what_it_is():
    known = {
        ("python", ""),
        ("bash", ""),
        ("bash", "composed"),
        ("toml", ""),
        ("python", "insert"),
        ("yaml", "insert"),
        ("toml", "insert"),
    }
    for page in PAGES:
        assert {snippet[:2] for snippet in snippets(page)} <= known, page
        assert page.read_text().count("```") == 2 * len(snippets(page)), page


def test_commands_that_are_not_run_are_composed_and_validated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_module.py").touch()  # which some of them name
    lines = {(line, page) for page in PAGES for line in commands(page)}
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    tried = 0
    for line, page in sorted(lines, key=str):
        words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
        if words[0] == "make":
            assert words[1] in targets, (page.name, line)
        elif "NAME" not in line:
            valid(words[1:], f"{page.name}: {line}")
            tried += 1
    assert tried > 20


def valid(words: list[str], where: str) -> None:
    """The words are settings of an experiment, and every cell of them is one; sweeps of Hydra by their first value."""
    check_arguments(words)
    overrides = [word for word in words if not word.startswith(("-", "hydra")) and word != "job"]
    overrides = [re.sub(r"^shard=range\(\d+\)$", "shard=0", word) for word in completed(overrides)]
    if not any(word.startswith("scale=") for word in overrides):
        overrides.append("scale=cpu")
    overrides = [re.sub(r"^experiment=all$", "experiment=fig1", word) for word in overrides]
    overrides = [re.sub(r"^experiment=([^,]+),.*", r"experiment=\1", word) for word in overrides]
    if "stage=list" in overrides:  # of all runs that are there
        overrides.append("experiment=fig1")
    if "stage=data" in overrides and not any(word.startswith("experiment=") for word in overrides):  # of any run
        overrides.append("experiment=lockstep")
    assert any(word.startswith("experiment=") for word in overrides), where
    settings = compose(overrides).settings
    experiment = load_experiment(settings["experiment"])
    source = computing(experiment)
    assert make_cells(source, settings | {"experiment": source.name}), where


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_names_its_page(name):
    text = (ROOT / "ntkrun" / "experiments" / "figures" / f"{name}.py").read_text().split('"""')[1]
    notes = re.findall(r"docs/\w+\.md", text)
    assert notes, f"the docstring of {name} names no page of docs/"
    assert all((ROOT / note).is_file() for note in notes)


@pytest.mark.parametrize("name", experiment_names())
def test_a_page_of_a_figure_has_the_order_of_all(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    for note in importlib.import_module("docs_site").notes(name):
        if not re.search(r"/figure|/theorem", note):
            continue
        opening, *sections = re.split(r"^## ", (ROOT / note).read_text(), flags=re.MULTILINE)
        title, picture, *_, sentence = [part for part in opening.split("\n\n") if part.strip()]
        assert title.startswith("# ") and picture.startswith("[![") and sentence.rstrip().endswith("."), note
        found = [heading.splitlines()[0] for heading in sections]
        order = [
            next(k for k, h in enumerate(found) if h.startswith(s)) for s in ("Running it", "What ours", "The setting")
        ]
        assert order == sorted(order) and order[0] == 0, (note, found)


def test_links_between_the_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
        named_files = re.findall(r"(?<![\w/])(?:docs|scripts|tests|configs|ntkrun)/[\w/]+\.\w+", page.read_text())
        for named in set(named_files) - added(page):
            assert (ROOT / named).exists(), (page.name, named)


def test_terms_that_pages_link_to_are_in_the_glossary():
    terms = re.findall(r"^### (.+)$", (ROOT / "docs" / "glossary.md").read_text(), flags=re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", term.lower()).replace(" ", "-") for term in terms]
    linked = {
        anchor for page in PAGES for anchor in re.findall(r"\]\((?:docs/)?glossary\.md#([\w-]+)\)", page.read_text())
    }
    assert len(anchors) == len(set(anchors)) > 30 and len(linked) > 10
    assert linked <= set(anchors)


def test_the_page_on_installing_names_what_can_be_installed(root):
    page = (root / "docs" / "install.md").read_text()
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"\.\[(\w+)\]", page))
    assert named == set(project["optional-dependencies"]) - {"docs", "dev"}, "extras for users"
    assert f"Python {project['requires-python'].removeprefix('>=')}" in page
    assert all((root / name).is_file() for name in re.findall(r"constraints[\d.-]*\.txt", page))
    assert f"ntkrun-{__version__}-py3-none-any.whl" in page


def test_the_citation_is_of_this_version(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert str(citation["version"]) == __version__ and citation["license"] == "Apache-2.0"
    assert len(citation["references"][0]["authors"]) == 7


def test_files_that_the_guide_for_contributors_names_are_there(root):
    text = (root / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:ntkrun|configs)/[\w/.]+\.py)`", text)) - added(root / "CONTRIBUTING.md")
    assert named and all((root / name).is_file() for name in named)
    for target in re.findall(r"^    make ([\w-]+)", text, flags=re.MULTILINE):
        assert f"\n{target}:" in (root / "Makefile").read_text()


def test_the_page_of_ratios_has_the_markers_that_make_bench_writes_between(root):
    page, script = (root / "docs" / "speed.md").read_text(), (root / "scripts" / "bench.py").read_text()
    for name in ("BEGIN", "END"):
        assert page.count(re.findall(r"<!-- [^>]+ -->", script)[name == "END"]) == 1


def test_what_is_not_run_here_is_run_with_the_site(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    executed = importlib.import_module("docs_site").EXECUTED
    runnable = {
        page.name for page in PAGES for language, marks, _ in snippets(page) if (language, marks) == ("bash", "")
    }
    assert runnable <= set(executed) | {page.name for page in RUN}


def test_every_page_has_its_place_on_the_site(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    site = importlib.import_module("docs_site")
    placed = {page for group in site.PAGES.values() for page in group.values()} | {"api.md"}
    of_figures = {Path(note).name for name in figure_names() for note in site.notes(name)}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= placed | of_figures
