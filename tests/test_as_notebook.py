"""A page as a notebook, and with its outputs: scripts/as_notebook.py."""

import base64
import importlib
import json
import sys

import nbformat
import pytest

PAGE = """# A page

Text, and `ntkrun` in it.

```bash
printf 'here\\n'
```

```python
# mine.py
X = 3
```

```python
import mine

mine.X
```

```bash composed
ntkrun experiment=fig3 scale=paper
```

The end.
"""


@pytest.fixture
def script(monkeypatch, root):
    monkeypatch.syspath_prepend(root / "scripts")
    return importlib.import_module("as_notebook")


def test_snippets_are_cells_and_all_else_is_text(script):
    notebook = script.notebook_of(PAGE)
    nbformat.validate(notebook)
    assert [(cell.cell_type, cell.source.splitlines()[0]) for cell in notebook.cells] == [
        ("markdown", "# A page"),
        ("code", "%%bash -e"),
        ("code", "%%writefile mine.py"),
        ("code", "import mine"),
        ("markdown", "```bash composed"),
    ]
    assert notebook == script.notebook_of(PAGE)


def test_outputs_stand_below_their_snippets(script, tmp_path):
    notebook = script.notebook_of(PAGE)
    first, second, third = (cell for cell in notebook.cells if cell.cell_type == "code")
    first.outputs = [nbformat.v4.new_output("stream", text=text) for text in ("warning: <b>\n", "\n", "end\n")]
    second.outputs = [nbformat.v4.new_output("stream", text="".join(f"<i>{line}\n\n" for line in range(20)))]
    picture = base64.b64encode(b"a picture").decode()
    third.outputs = [nbformat.v4.new_output("execute_result", data={"image/png": picture, "text/plain": "<Image>"})]
    page = script.page_with_outputs(PAGE, notebook, tmp_path / "pictures")
    bash, wrote, shown = page.split("```python\n")
    assert "```text\nwarning: <b>\n\nend\n```" in bash
    assert "<summary>Output, 39 lines</summary>" in wrote and "&lt;i&gt;19" in wrote
    assert "\n\n" not in wrote.split("<details>")[1].split("</details>")[0], "Markdown would end the block there"
    assert "](pictures/1.png)\n\n```bash composed" in shown and "<Image>" not in shown
    assert (tmp_path / "pictures" / "1.png").read_bytes() == b"a picture"


def test_a_page_is_run_and_a_snippet_that_fails_is_told(script, tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.setattr(sys, "argv", ["as_notebook.py", str(page), "--into", str(tmp_path / "into")])
    assert script.main() == 0
    assert "```text\nhere\n```" in (tmp_path / "into/page.md").read_text()
    assert "```text\n3\n```" in (tmp_path / "into/page.md").read_text()
    cells = json.loads((tmp_path / "into/page.ipynb").read_text())["cells"]
    assert [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"] == [1, 2, 3]
    page.write_text(PAGE.replace("printf 'here\\n'", "printf 'there\\n'\nfalse\ntrue"))
    assert script.main() == 1
    told = capsys.readouterr().err
    assert str(page) in told and "printf 'there\\n'\nfalse" in told
