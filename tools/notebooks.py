"""One execution of a chapter, and the plain notebook that is derived from it."""

from __future__ import annotations

import ast
import dis
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import IO, Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools.catalog import Book, Context, ConversionError
from tools.markdown import figure_text, to_plain
from tools.reach import parse

GLUE = "application/papermill.record/"
REMOVED = "remove-cell"
TAGS = {"hide-input", "remove-input", REMOVED, "hide-output", "raises-exception", "nbval-ignore-output"}
TITLE = "# @title "  # Colab shows it in place of a closed cell
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class ExecutionFailure(RuntimeError):
    """A cell failed, wrote to stderr or took too long; the message holds its source."""


def read_source(path: Path) -> NotebookNode:
    """Read a chapter's Markdown as a notebook without outputs."""
    return jupytext.read(path, fmt="md:myst")


def code_of(notebook: NotebookNode) -> list[str]:
    """What decides the outputs: each code cell's source, whether it may raise, and whether readers get it."""
    marks = {"raises-exception": "\n# raises", REMOVED: "\n# removed"}
    return [
        cell.source + "".join(mark for tag, mark in marks.items() if tag in cell.metadata.get("tags", []))
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
    except (AssertionError, AttributeError) as error:
        # On Ctrl-C nbclient stops the kernel and forgets it, and then misses it, here or there.
        if client.km is None:
            raise KeyboardInterrupt from error
        raise
    except (CellTimeoutError, DeadKernelError) as error:
        chatter.seek(0)
        raise ExecutionFailure(f"{error}\n{chatter.read()[-2000:]}") from error


def is_removed(cell: NotebookNode) -> bool:
    """Whether neither the page nor the derived notebook shows a cell."""
    return REMOVED in cell.metadata.get("tags", [])


def kept(notebook: NotebookNode) -> NotebookNode:
    """A copy without the cells that readers do not meet."""
    result = nbformat.from_dict(notebook)
    result.cells = [cell for cell in result.cells if not is_removed(cell)]
    return result


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


def restored(source: NotebookNode, committed: NotebookNode) -> NotebookNode:
    """A copy of `source` with the outputs and the removed cells' values that the derived notebook holds.

    Raises `ValueError` when the code differs.
    """
    result = nbformat.from_dict(source)
    shown = with_outputs(kept(source), without_setup(committed))
    result.cells = [cell if is_removed(cell) else shown.cells.pop(0) for cell in result.cells]
    values = [
        nbformat.v4.new_output(
            "display_data",
            data={f"{GLUE}text/plain": plain},
            metadata={"scrapbook": {"name": name, "mime_prefix": GLUE}},
        )
        for name, plain in committed.metadata.get("book", {}).get("values", {}).items()
    ]
    for cell in filter(is_removed, result.cells):
        cell.outputs, values = values, []
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


def removed_values(executed: NotebookNode, chapter: str) -> dict[str, str]:
    """What the removed cells glued, by name, sorted.

    Raises `ConversionError` when such a cell shows something.
    """
    removed = nbformat.from_dict(executed)
    removed.cells = list(filter(is_removed, executed.cells))
    for cell in removed.cells:
        for output in cell.get("outputs", []):
            shown = [mime for mime in output.get("data", {}) if not mime.startswith(GLUE)]
            if shown or output.output_type not in ("display_data", "execute_result"):
                first = cell.source.strip().split("\n")[0]
                raise ConversionError(
                    f"book/{chapter}.md: the cell that begins {first!r} is tagged {REMOVED} and shows something "
                    "that no reader would see; show nothing there, or tag it remove-input"
                )
    return dict(sorted(glued_values(removed).items()))


def _global_names(code: CodeType) -> tuple[set[str], set[str]]:
    """The global names that code may read before it binds them itself, and those that it binds."""
    read: set[str] = set()
    bound: set[str] = set()
    for step in dis.get_instructions(code):
        if isinstance(step.argval, CodeType):
            read |= _global_names(step.argval)[0] - bound
        elif re.fullmatch(r"LOAD_(NAME|GLOBAL|FROM_DICT_OR_GLOBALS)", step.opname):
            read |= {step.argval} - bound
        elif step.opname in ("STORE_NAME", "STORE_GLOBAL"):
            bound.add(step.argval)
    return read, bound


def _changed_in_place(tree: ast.AST) -> set[str]:
    """Names whose object a cell alters by `name[...] = value` or `name.attribute = value`."""
    changed = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            owner: ast.expr = node
            while isinstance(owner, ast.Subscript | ast.Attribute):
                owner = owner.value
            if isinstance(owner, ast.Name):
                changed.add(owner.id)
    return changed


def check_removed(source: NotebookNode, chapter: str) -> None:
    """Make sure that the notebook runs without the removed cells, which it leaves out.

    Raises `ConversionError` when a removed cell defines (or alters) a name that a later cell reads which stays.
    """
    missing: set[str] = set()
    for cell in source.cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        tree = parse(cell.source, f"book/{chapter}.md")
        read, bound = _global_names(compile(tree, chapter, "exec"))
        if is_removed(cell):
            missing |= bound | _changed_in_place(tree)
        elif lost := sorted(read & missing):
            raise ConversionError(
                f"book/{chapter}.md: a cell tagged {REMOVED} defines {lost[0]!r}, which a later cell reads that "
                "stays in the notebook; define it in a cell that stays"
            )
        else:
            missing -= bound


def redrawn(notebook: NotebookNode, chapter: str, made: str = "") -> NotebookNode:
    """A copy in which claims, quizzes and cards look as today's package and texts make them.

    Their outputs carry a record, so that a new look or a quiz's text executes nothing. Cards link to the address
    `made`, which a notebook lacks.

    Raises `ConversionError` when one cannot be drawn.
    """
    result = nbformat.from_dict(notebook)
    for cell in result.cells:
        for output in cell.get("outputs", []):
            if record := output.get("metadata", {}).get("tlhelpers"):
                from tlhelpers.book._render import rerender

                try:
                    data = rerender(record, made)
                except (ValueError, KeyError, TypeError, OSError) as error:
                    raise ConversionError(f"book/{chapter}.md: {next(iter(record))}: {error}") from error
                if data is not None:
                    output["data"] = nbformat.from_dict(data)
    return result


def seal_of(notebook: NotebookNode) -> str:
    """SHA-256 over what a derived notebook says: key, values, and all of each cell."""
    made = notebook.metadata.get("book", {})
    cells = [
        [cell.get(part) for part in ("id", "cell_type", "source", "metadata", "execution_count", "outputs")]
        for cell in notebook.cells
    ]
    said = [made.get("source"), made.get("key"), made.get("values", {}), cells]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def setup_cells(book: Book, chapter: str) -> list[NotebookNode]:
    """The first two cells of a derived notebook: where it comes from, and what Colab must install."""
    source = f"{book.url}/blob/{book.branch}/book/{chapter}.md"
    text = (
        f"*This notebook was made from the book's source, [{chapter}.md]({source}). The next cell "
        "changes something only where the book's package is missing, for instance in Colab: it installs "
        "`tlhelpers` with the versions it needs, and fetches the data and weights of this book.*"
    )
    code = (
        "import importlib.util\n\n"
        'if importlib.util.find_spec("tlhelpers") is None:\n'
        f'    %pip install --quiet "git+{book.url}@{book.branch}"\n'
        "    %run -m tlhelpers.data"
    )
    return [
        nbformat.v4.new_markdown_cell(text),
        nbformat.v4.new_code_cell(code, execution_count=1, metadata={"tags": ["setup"]}),
    ]


def derive(
    executed: NotebookNode, chapter: str, book: Book, key: str = "", seconds: float | None = None
) -> NotebookNode:
    """The notebook that readers open: plain Markdown, the outputs of `executed`, cell ids that stay the same.

    Cells tagged remove-cell are left out; what they glued is kept in the metadata. A seal tells whether somebody
    edited the notebook by hand.

    Raises `ConversionError` on a construct that a notebook cannot show.
    """
    context = Context(book, chapter, glued_values(executed))
    cells = setup_cells(book, chapter)
    shown = redrawn(kept(executed), chapter)
    _count(shown, 1)
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            text = to_plain(cell.source, context)
            cells += [nbformat.v4.new_markdown_cell(text)] if text else []
        elif cell.cell_type == "code":
            cells += _code_cells(cell, context)
        else:
            raise context.fail(f"a {cell.cell_type} cell is not one that a notebook can show")
    _number(cells, chapter)
    made: dict[str, Any] = {"source": f"{chapter}.md"}
    if key:
        made["key"] = key
    if values := removed_values(executed, chapter):
        made["values"] = values
    if seconds is not None:
        made["seconds"] = seconds
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}, "book": made}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    notebook.metadata.book["seal"] = seal_of(notebook)
    return notebook


def _count(notebook: NotebookNode, start: int) -> None:
    """Number the executed code cells in their order, the first one `start` + 1."""
    for cell in notebook.cells:
        if cell.get("execution_count"):
            start += 1
            cell.execution_count = start
            for output in cell.outputs:
                if output.get("execution_count"):
                    output["execution_count"] = start


def _code_cells(cell: NotebookNode, context: Context) -> list[NotebookNode]:
    """A code cell as readers see it, and the caption of the figure it draws."""
    known = {"tags", "mystnb"}
    if unknown := sorted(set(cell.metadata) - known):
        raise context.fail(f"a code cell has the unknown option {unknown[0]!r}")
    tags = list(cell.metadata.get("tags", []))
    if wrong := sorted(set(tags) - TAGS):
        raise context.fail(f"a code cell has the unknown tag {wrong[0]!r}")
    metadata: dict[str, Any] = {"tags": tags} if tags else {}
    options: Mapping[str, Any] = cell.metadata.get("mystnb", {})
    code = cell.source
    if {"hide-input", "remove-input"} & set(tags):
        metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
        code = f"{TITLE}{_title(code, drawn='figure' in options)}\n{code}"
    cells = [
        nbformat.v4.new_code_cell(
            code, outputs=cell.outputs, execution_count=cell.execution_count, metadata=metadata
        )
    ]
    figure, image = options.get("figure", {}), options.get("image", {})
    if figure or image.get("alt"):
        text = figure_text(figure.get("caption", "").strip(), image.get("alt", "").strip(), context)
        cells.append(nbformat.v4.new_markdown_cell(text))
    return cells


def _title(code: str, *, drawn: bool) -> str:
    """What a closed cell is called where it shows a line instead of its code."""
    called = {"quiz(": "A question", "claim(": "What was measured, claim by claim", "card(": "The stored runs"}
    found = [name for call, name in called.items() if f"book.{call}" in code or code.startswith(call)]
    if not found and "\nclaim(" in code:
        found = [called["claim("]]
    return "Code of the figure" if drawn else found[0] if found else "Code"


def _number(cells: list[NotebookNode], chapter: str) -> None:
    """Give each cell an id made from its text, so that an unchanged cell keeps its id."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha256(f"{chapter}\n{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def without_setup(notebook: NotebookNode) -> NotebookNode:
    """A derived notebook without its installing cell and the titles of closed cells, counted from one."""
    result = nbformat.from_dict(notebook)
    result.cells = [cell for cell in result.cells if "setup" not in cell.metadata.get("tags", [])]
    for cell in result.cells:
        if cell.metadata.get("cellView") and cell.source.startswith(TITLE):
            cell.source = cell.source.partition("\n")[2]
    _count(result, 0)
    return result


def derive_again(source: Path, committed: NotebookNode, book: Book) -> NotebookNode:
    """Derive a notebook from its source with the outputs that the committed one holds.

    Raises `ConversionError` when the committed notebook was made from other code.
    """
    try:
        nb = restored(read_source(source), committed)
    except ValueError as error:
        raise ConversionError(f"{source.name}: its notebook was made from other code; run `make book`") from error
    made = committed.metadata.get("book", {})
    return derive(nb, source.stem, book, made.get("key", ""), made.get("seconds"))
