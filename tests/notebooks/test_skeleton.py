"""Every chapter has the same bones, so that a reader who knows one finds the way in all."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tools import build
from tools.notebooks import read_source

ROOT = Path(__file__).resolve().parents[2]
PAGES = build.chapters(ROOT)
CHAPTERS = [page for page in PAGES if page.stem != build.TEMPLATE]
each_page = pytest.mark.parametrize("source", PAGES, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize("source", CHAPTERS, ids=lambda path: path.stem)
FIRST = "You will be able to"
LAST = ["What we measured", "Pitfalls", "Exercises", "Quiz", "Further reading"]
HIDDEN = {"hide-input", "remove-input", "remove-cell"}
DRAWS = re.compile(r"plt\.subplots|plots\.(bands|history|grid_of_images)\(|\.plot\(")


def headings(source: Path) -> list[str]:
    return re.findall(r"^## (.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)


@each_chapter
def test_opens_with_a_question_and_its_answer_in_a_figure(source: Path) -> None:
    opening = source.read_text(encoding="utf-8").split(f"## {FIRST}")[0]
    assert re.search(r"\*\*[^*]+\?\*\*", opening), "no question in bold"
    assert "figure:\n" in opening, "no figure before the first section"


@each_chapter
def test_has_the_sections_of_the_skeleton_in_order(source: Path) -> None:
    found = headings(source)
    assert found[0] == FIRST and found[-len(LAST) :] == LAST


@each_page
def test_code_that_is_shown_is_short_and_fits_the_page(source: Path) -> None:
    shown = [cell.source.splitlines() for cell in code(source) if not HIDDEN & set(cell.metadata.get("tags", []))]
    assert [lines[0] for lines in shown if len(lines) > 25] == []
    assert [line for lines in shown for line in lines if len(line) > 92] == []


@each_page
def test_every_figure_has_a_caption_a_name_and_alt_text(source: Path) -> None:
    for cell in code(source):
        if not DRAWS.search(cell.source) or "def " in cell.source:
            continue
        options = cell.metadata.get("mystnb", {})
        figure, image = options.get("figure", {}), options.get("image", {})
        assert len(figure.get("caption", "")) > 40 and len(image.get("alt", "")) > 60, cell.source[:80]
        assert figure["name"].startswith(f"fig-{source.stem[:2]}-")


@each_chapter
def test_states_claims_and_shows_its_quiz(source: Path) -> None:
    number, text = source.stem[:2], "\n".join(cell.source for cell in code(source))
    slugs = first_arguments("claim", text)
    assert len(slugs) >= 3 and all(slug.startswith(f"{number}-") for slug in slugs)
    assert number in first_arguments("show", text)


def test_a_call_is_found_however_it_is_laid_out() -> None:
    text = 'tl.book.claim("01-a", "A.", None)\nclaim(\n    "01-b",\n    "B.",\n    True,\n)\nclaims("01-c")\n'
    assert first_arguments("claim", text) == ["01-a", "01-b"]


def first_arguments(function: str, text: str) -> list[str]:
    """The first argument of each call of a function, by whatever name its module goes."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and node.args]
    named = [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", "")) == function]
    return [first.value for call in named if isinstance(first := call.args[0], ast.Constant)]


def code(source: Path) -> list:
    return [cell for cell in read_source(source).cells if cell.cell_type == "code"]
