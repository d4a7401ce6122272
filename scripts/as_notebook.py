"""A page of docs/ as an executed notebook, and with what came out below each snippet.

    python scripts/as_notebook.py docs/tutorial.md [--into build/tutorial]     writes tutorial.ipynb, tutorial.md, its pictures

Snippets are marked as tests/test_docs.py reads them: ```python is a cell, one that begins with `# name.py` writes that file,
```bash a cell that stops at the first command that fails; whatever else stands on the page is text.  They run in their order in
one kernel of this Python, in an empty folder.  A cell that fails ends it with exit code 1, the cell and its error.
"""

import argparse
import base64
import html
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

SNIPPET = re.compile(r"^```(python|bash)\n(.*?)^```\n", flags=re.DOTALL | re.MULTILINE)
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # colours of a traceback
SECONDS = 300  # of one cell
LINES = 12  # of output that a page shows at once; more are folded


def notebook_of(page: str) -> NotebookNode:
    """Its text and its snippets as cells, none of them run."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    at = 0
    for found in SNIPPET.finditer(page):
        add_text(notebook, page[at : found.start()])
        notebook.cells.append(nbformat.v4.new_code_cell(source_of(*found.groups())))
        at = found.end()
    add_text(notebook, page[at:])
    for number, cell in enumerate(notebook.cells):  # the same page makes the same notebook
        cell["id"] = f"cell-{number}"
    return notebook


def add_text(notebook: NotebookNode, text: str) -> None:
    if text.strip():
        notebook.cells.append(nbformat.v4.new_markdown_cell(text.strip()))


def source_of(language: str, snippet: str) -> str:
    if language == "bash":
        return f"%%bash -e\n{snippet.rstrip()}"
    if name := re.match(r"# (\w+\.py)\n", snippet):
        return f"%%writefile {name[1]}\n{snippet.rstrip()}"
    return snippet.rstrip()


def run(notebook: NotebookNode, folder: Path, sockets: Path) -> None:
    """Fill in the outputs, with paths as they are seen from `folder`."""
    environment = {name: value for name, value in os.environ.items() if name != "NTKRUN_DATA_DIR"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # this Python's ntkrun
    kernel = KernelManager(kernel_name="python3", transport="ipc", ip=str(sockets / "kernel"))  # files, no ports
    client = NotebookClient(notebook, km=kernel, timeout=SECONDS, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment, cleanup_kc=True)  # which ends the kernel, that it did not make
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # its times of day
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = output["text"].replace(f"{folder}/", "")


def page_with_outputs(page: str, notebook: NotebookNode, pictures: Path) -> str:
    """The page with every cell's text and pictures below its snippet; pictures as files of that folder, beside the page."""
    cells = iter([cell for cell in notebook.cells if cell.cell_type == "code"])
    numbers = iter(range(1, 1000))

    def shown(found: re.Match[str]) -> str:
        return found[0] + "".join(shown_output(output, pictures, numbers) for output in joined(next(cells).outputs))

    return SNIPPET.sub(shown, page)


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """What a cell wrote in pieces, as one."""
    streams = [output for output in outputs if output.output_type == "stream"]
    others = [output for output in outputs if output.output_type != "stream"]
    text = "".join(output["text"] for output in streams)
    return [*([nbformat.v4.new_output("stream", text=text)] if text.strip() else []), *others]


def shown_output(output: NotebookNode, pictures: Path, numbers) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        name = f"{next(numbers)}.png"
        pictures.mkdir(parents=True, exist_ok=True)
        (pictures / name).write_bytes(base64.b64decode(data["image/png"]))
        return f"\n![what the snippet above draws]({pictures.name}/{name})\n"
    text = output["text"] if "text" in output else data.get("text/plain", "")
    lines = ESCAPES.sub("", text).strip("\n").splitlines()
    if len(lines) <= LINES:
        return "\n```text\n" + "\n".join(lines) + "\n```\n"
    folded = html.escape("\n".join(lines), quote=False)
    # a blank line would end the block for the reader of Markdown
    folded = folded.replace("\n\n", "\n&nbsp;\n")
    return f"\n<details><summary>Output, {len(lines)} lines</summary>\n<pre><code>{folded}</code></pre>\n</details>\n"


def write(path: Path, into: Path) -> None:
    """The executed notebook, the page with its outputs and its pictures; RuntimeError with the snippet that fails."""
    page = path.read_text()
    notebook = notebook_of(page)
    with tempfile.TemporaryDirectory(prefix="page_") as folder, tempfile.TemporaryDirectory() as sockets:
        try:
            run(notebook, Path(folder).resolve(), Path(sockets))
        except (CellExecutionError, CellTimeoutError) as err:
            raise RuntimeError(f"{path}: a snippet fails:\n{ESCAPES.sub('', str(err))}") from err
    into.mkdir(parents=True, exist_ok=True)
    title, rest = page_with_outputs(page, notebook, into / f"{path.stem}_pictures").split("\n", 1)
    link = f'<a href="{path.stem}.ipynb" download>This page as a notebook, with its outputs</a>'
    (into / path.name).write_text(f"{title}\n\n{link}\n{rest}")
    nbformat.write(notebook, into / f"{path.stem}.ipynb")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the snippets of a page and put their outputs below them.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--into", type=Path, default=Path("build") / "tutorial")
    arguments = parser.parse_args()
    try:
        write(arguments.page, arguments.into)
    except RuntimeError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
