"""One execution of a chapter, and the plain notebook that is derived from it."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools.catalog import Book, Context, ConversionError
from tools.markdown import figure_text, to_plain

GLUE = "application/papermill.record/"
TAGS = {"hide-input", "remove-input", "hide-output", "raises-exception", "nbval-ignore-output"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class ExecutionFailure(RuntimeError):
    """A cell failed, wrote to stderr or took too long; the message holds its source."""


def read_source(path: Path) -> NotebookNode:
    """Read a chapter's Markdown as a notebook without outputs."""
    return jupytext.read(path, fmt="md:myst")


def code_of(notebook: NotebookNode) -> list[str]:
    """What decides the outputs: each code cell's source, and whether it may raise."""
    return [
        cell.source + ("\n# raises" if "raises-exception" in cell.metadata.get("tags", []) else "")
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def execute(notebook: NotebookNode, folder: Path, timeout: int = 900) -> NotebookNode:
    """Run a copy of the notebook in `folder` and return it with its outputs.

    Raises `ExecutionFailure` when a cell raises, writes to stderr, runs longer than `timeout` seconds or
    takes the kernel down.
    """
    run = nbformat.from_dict(notebook)
    client = NotebookClient(
        run,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    # A kernel's own chatter is kept out of sight, unless it dies.
    with tempfile.TemporaryFile("w+", errors="replace") as chatter:
        _run(client, chatter)
    for cell in run.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise ExecutionFailure(f"a cell wrote to stderr:\n{cell.source}\n-----\n{output.text}")
    return run


def _run(client: NotebookClient, chatter: IO[str]) -> None:
    try:
        client.execute(stderr=chatter)
    except CellExecutionError as error:
        raise ExecutionFailure(re.sub(r"\x1b\[[0-9;]*m", "", str(error))) from error
    except (CellTimeoutError, DeadKernelError) as error:
        chatter.seek(0)
        raise ExecutionFailure(f"{error}\n{chatter.read()[-2000:]}") from error


def with_outputs(source: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """A copy of `source` whose code cells carry the outputs of the same cells in `executed`.

    Raises `ValueError` when the code differs.
    """
    if code_of(source) != code_of(executed):
        raise ValueError("the executed notebook belongs to other code")
    result = nbformat.from_dict(source)
    done = (cell for cell in executed.cells if cell.cell_type == "code")
    for cell in result.cells:
        if cell.cell_type == "code":
            other = next(done)
            cell.outputs = nbformat.from_dict(other.outputs)
            cell.execution_count = other.execution_count
    return result


def glued_values(notebook: NotebookNode) -> dict[str, str]:
    """The `text/plain` of every value that a cell glued, by name."""
    values: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            glued = output.get("metadata", {}).get("scrapbook")
            if glued and (plain := output["data"].get(glued["mime_prefix"] + "text/plain")):
                values[glued["name"]] = plain
    return values


def setup_cells(book: Book, chapter: str) -> list[NotebookNode]:
    """The first two cells of a derived notebook: where it comes from, and what Colab must install."""
    source = f"{book.url}/blob/{book.branch}/book/{chapter}.md"
    text = (
        f"*This notebook was made from the book's source, [{chapter}.md]({source}). The next cell "
        "installs the book's package and its data where they are missing, for instance in Colab; elsewhere it "
        "does nothing.*"
    )
    code = (
        "import importlib.util\n\n"
        'if importlib.util.find_spec("tlhelpers") is None:\n'
        f'    %pip install --quiet "git+{book.url}@{book.branch}"\n'
        "    %run -m tlhelpers.fetch"
    )
    return [
        nbformat.v4.new_markdown_cell(text),
        nbformat.v4.new_code_cell(code, execution_count=1, metadata={"tags": ["setup"]}),
    ]


def derive(executed: NotebookNode, chapter: str, book: Book, key: str = "") -> NotebookNode:
    """The notebook that readers open: plain Markdown, the outputs of `executed`, cell ids that stay the same.

    Raises `ConversionError` on a construct that a notebook cannot show.
    """
    context = Context(book, chapter, glued_values(executed))
    cells = setup_cells(book, chapter)
    for cell in executed.cells:
        if cell.cell_type == "markdown":
            text = to_plain(cell.source, context)
            cells += [nbformat.v4.new_markdown_cell(text)] if text else []
        elif cell.cell_type == "code":
            cells += _code_cells(cell, context)
        else:
            raise context.fail(f"a {cell.cell_type} cell is not one that a notebook can show")
    _number(cells, chapter)
    metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        "book": {"source": f"{chapter}.md"},
    }
    if key:
        metadata["book"]["key"] = key
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _code_cells(cell: NotebookNode, context: Context) -> list[NotebookNode]:
    """A code cell as readers see it, and the caption of the figure it draws."""
    known = {"tags", "mystnb"}
    if unknown := sorted(set(cell.metadata) - known):
        raise context.fail(f"a code cell has the unknown option {unknown[0]!r}")
    tags = list(cell.metadata.get("tags", []))
    if wrong := sorted(set(tags) - TAGS):
        raise context.fail(f"a code cell has the unknown tag {wrong[0]!r}")
    metadata: dict[str, Any] = {"tags": tags} if tags else {}
    if {"hide-input", "remove-input"} & set(tags):
        metadata["jupyter"] = {"source_hidden": True}
    # The installing cell runs first, so every count is one higher than in the execution.
    count = cell.execution_count + 1 if cell.execution_count else None
    outputs = nbformat.from_dict(cell.outputs)
    for output in outputs:
        if output.get("execution_count"):
            output["execution_count"] = count
    cells = [nbformat.v4.new_code_cell(cell.source, outputs=outputs, execution_count=count, metadata=metadata)]
    options: Mapping[str, Any] = cell.metadata.get("mystnb", {})
    figure, image = options.get("figure", {}), options.get("image", {})
    if figure or image.get("alt"):
        text = figure_text(figure.get("caption", "").strip(), image.get("alt", "").strip(), context)
        cells.append(nbformat.v4.new_markdown_cell(text))
    return cells


def _number(cells: list[NotebookNode], chapter: str) -> None:
    """Give each cell an id made from its text, so that an unchanged cell keeps its id."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha256(f"{chapter}\n{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def without_setup(notebook: NotebookNode) -> NotebookNode:
    """A derived notebook without its installing cell and with the counts of the execution behind it."""
    result = nbformat.from_dict(notebook)
    result.cells = [cell for cell in result.cells if "setup" not in cell.metadata.get("tags", [])]
    for cell in result.cells:
        if cell.cell_type == "code" and cell.execution_count:
            cell.execution_count -= 1
            for output in cell.outputs:
                if output.get("execution_count"):
                    output["execution_count"] = cell.execution_count
    return result


def derive_again(source: Path, committed: NotebookNode, book: Book) -> NotebookNode:
    """Derive a notebook from its source with the outputs that the committed one holds.

    Raises `ConversionError` when the committed notebook was made from other code.
    """
    try:
        nb = with_outputs(read_source(source), without_setup(committed))
    except ValueError as error:
        raise ConversionError(f"{source.name}: its notebook was made from other code; run `make book`") from error
    return derive(nb, source.stem, book, committed.metadata.get("book", {}).get("key", ""))
