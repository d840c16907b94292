"""The notebooks beside the chapters: made from their sources, executed, plain, and without litter."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tools import build
from tools.catalog import read_book
from tools.notebooks import derive_again, kept, read_source, without_setup
from tools.reach import Reach

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path.stem for path in build.chapters(ROOT)]
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS)
RAW = re.compile(r"^\s*(?:`{3,}|:{3,})\s*\{|\{[\w:+-]+\}`|\{glue|^\([\w:.-]+\)=|\{\{\s*\w+\s*\}\}", re.MULTILINE)
LITTER = re.compile(r"\d+%\||\bit/s\b|\bs/it\b|█|\r")


@pytest.fixture(scope="module")
def reach() -> Reach:
    """The modules of this checkout, each read once."""
    return Reach(ROOT)


def committed(chapter: str) -> NotebookNode:
    """The notebook that lies beside a chapter."""
    return nbformat.read(ROOT / "book" / f"{chapter}.ipynb", 4)


def cells(notebook: NotebookNode) -> list[tuple[str, str, str]]:
    """What must agree between two notebooks of one source."""
    return [(cell.id, cell.cell_type, cell.source) for cell in notebook.cells]


def prose(notebook: NotebookNode) -> list[str]:
    """The Markdown cells without their code and formulas."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    fenced = re.compile(r"^([> ]*)(`{3,})[^{`]*?$.*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
    return [
        re.sub(r"\$[^$\n]+\$|(?<![}`])(`{1,2})(?!`)[^`\n]+\1(?!`)", "", fenced.sub("", text)) for text in texts
    ]


def from_git(path: str) -> str | None:
    """A file as the last commit holds it, or None where there is no such thing."""
    shown = subprocess.run(["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, check=False)
    return shown.stdout.decode() if shown.returncode == 0 else None


def test_every_chapter_has_its_notebook_and_none_is_left_over() -> None:
    assert CHAPTERS, "the book has no chapter"
    assert sorted(path.stem for path in (ROOT / "book").glob("*.ipynb")) == CHAPTERS


@each_chapter
def test_matches_its_source(chapter: str) -> None:
    source = ROOT / "book" / f"{chapter}.md"
    notebook = committed(chapter)
    assert cells(derive_again(source, notebook, read_book(ROOT))) == cells(notebook), "run `make book`"
    code = [cell.source for cell in without_setup(notebook).cells if cell.cell_type == "code"]
    assert code == [cell.source for cell in kept(read_source(source)).cells if cell.cell_type == "code"]


@each_chapter
def test_is_sealed_with_todays_key(chapter: str, reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise `make book` would execute the chapter again in each clone."""
    monkeypatch.delenv("TLHELPERS_PROFILE", raising=False)
    monkeypatch.delenv("TLHELPERS_DATA", raising=False)
    source = ROOT / "book" / f"{chapter}.md"
    notebook = build.read_committed(source.with_suffix(".ipynb"))
    assert notebook is not None, "the build did not make it: run `make book` and commit the notebook"
    key = build.read_chapter(source, ROOT, reach).key
    assert notebook.metadata.book.key == key, "its code changed: run `make book` and commit the notebook"


@each_chapter
def test_matches_its_source_in_the_last_commit(chapter: str) -> None:
    """A build rewrites the notebook in the working tree; this looks at what was committed."""
    watched = ["tools", "_config.yml", "book/*.md", "book/references.bib"]
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", *watched], cwd=ROOT, capture_output=True, check=False
    )
    if changed.returncode != 0 or changed.stdout.strip():
        pytest.skip("not a clean checkout: the test above looks at the working tree")
    text = from_git(f"book/{chapter}.ipynb")
    assert text is not None, "the notebook is not committed"
    notebook = nbformat.reads(text, 4)
    assert cells(derive_again(ROOT / "book" / f"{chapter}.md", notebook, read_book(ROOT))) == cells(notebook)


@each_chapter
def test_every_code_cell_was_executed(chapter: str) -> None:
    """nbval compares nothing where the count is null, so a count must be there."""
    counts = [c.execution_count for c in committed(chapter).cells if c.cell_type == "code" and c.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


@each_chapter
def test_holds_no_raw_directive_or_role(chapter: str) -> None:
    assert [found[0] for text in prose(committed(chapter)) for found in RAW.finditer(text)] == []


@each_chapter
def test_holds_no_error_warning_or_progress_bar(chapter: str) -> None:
    for cell in committed(chapter).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error" or "raises-exception" in cell.metadata.get("tags", [])
            assert output.get("name") != "stderr", output.text
            plain = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            assert not LITTER.search(plain), plain


@each_chapter
def test_is_small_enough_to_open_and_to_keep(chapter: str) -> None:
    """Each execution adds its pictures to the history; large notebooks are not shown by code hosts either."""
    assert (ROOT / "book" / f"{chapter}.ipynb").stat().st_size < 2_500_000, (
        "show photographs as JPEG, see chapter 04"
    )


@each_chapter
def test_names_no_path_of_the_machine_it_was_made_on(chapter: str) -> None:
    for cell in committed(chapter).cells:
        for output in cell.get("outputs", []):
            assert str(ROOT) not in str(output.get("text", "")) + str(output.get("data", ""))


def test_the_look_for_raw_text_finds_it() -> None:
    bad = [
        "```{note}\nx\n```",
        "as {cite:t}`a`",
        "{glue:text}`a:.2f`",
        "(label)=\n# Title",
        ":::{tip}\nx\n:::",
    ]
    for text in bad:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        assert any(RAW.search(shown) for shown in prose(notebook)), text
    good = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("A `{brace}` and $x_{{i}}$, `{a}`.")])
    assert not any(RAW.search(shown) for shown in prose(good))
