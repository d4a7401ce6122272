"""The snippets of the notes run as they stand, in order."""

import re

import yaml

import ntkrun


def test_the_snippets_of_the_theory_notes_run(root):
    snippets = re.findall(r"```python\n(.*?)```", (root / "docs" / "theory.md").read_text(), flags=re.DOTALL)
    assert len(snippets) == 3
    names: dict = {}
    for snippet in snippets:
        exec(compile(snippet, "docs/theory.md", "exec"), names)


def test_the_citation_is_of_this_version(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert str(citation["version"]) == ntkrun.__version__ and citation["license"] == "Apache-2.0"
    assert len(citation["references"][0]["authors"]) == 7


def test_files_that_the_guide_for_contributors_names_are_there(root):
    text = (root / "CONTRIBUTING.md").read_text()
    named = [name for name in re.findall(r"`((?:ntkrun|configs)/[\w/.]+\.py)`", text)]
    assert len(named) == 2 and all((root / name).is_file() for name in named)
    for target in re.findall(r"^    make (\w+)", text, flags=re.MULTILINE):
        assert f"\n{target}:" in (root / "Makefile").read_text()
