"""Every chapter has the same bones, so that a reader who knows one finds the way in all."""

from __future__ import annotations

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
def test_code_cells_stay_short(source: Path) -> None:
    long = {cell.source.splitlines()[0]: n for cell in code(source) if (n := len(cell.source.splitlines())) > 25}
    assert long == {}


@each_page
def test_code_that_is_shown_fits_the_page(source: Path) -> None:
    shown = [
        cell for cell in code(source) if not {"hide-input", "remove-input"} & set(cell.metadata.get("tags", []))
    ]
    assert [line for cell in shown for line in cell.source.splitlines() if len(line) > 92] == []


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
    text = "\n".join(cell.source for cell in code(source))
    ids = re.findall(r"claim\(\n    \"([\w-]+)\"", text)
    assert len(ids) >= 3 and all(name.startswith(f"{source.stem[:2]}-") for name in ids)
    assert f'tl.quiz.show("{source.stem[:2]}")' in text


def code(source: Path) -> list:
    return [cell for cell in read_source(source).cells if cell.cell_type == "code"]
