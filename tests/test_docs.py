"""The snippets of the notes run as they stand, in order."""

import re


def test_the_snippets_of_the_theory_notes_run(root):
    snippets = re.findall(r"```python\n(.*?)```", (root / "docs" / "theory.md").read_text(), flags=re.DOTALL)
    assert len(snippets) == 3
    names: dict = {}
    for snippet in snippets:
        exec(compile(snippet, "docs/theory.md", "exec"), names)
