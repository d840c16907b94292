"""House rules for what is written: chapters, glossary, checked post, final quiz. Nothing runs here."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import ledger
import pytest
import yaml

from tools import build, quizzes
from tools.catalog import read_book
from tools.notebooks import read_source

ROOT = Path(__file__).resolve().parents[2]
PAGES = build.chapters(ROOT)
CHAPTERS = [page for page in PAGES if page.stem not in build.PLAIN]
each_page = pytest.mark.parametrize("source", PAGES, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize("source", CHAPTERS, ids=lambda path: path.stem)
FIRST = "You will be able to"
LAST = ["What we measured", "Pitfalls", "Exercises", "Quiz", "Further reading"]
HIDDEN = {"hide-input", "remove-input", "remove-cell"}
DRAWS = re.compile(r"plt\.subplots|plots\.(bands|dots|history|image_grid|intervals)\(|\.plot\(")
FINAL = ROOT / "book" / "quizzes" / "final"
PARTS = sorted(path.stem for path in FINAL.glob("*.yml"))


@cache
def cells(source: Path, kind: str) -> list:
    """The cells of a chapter that are of a kind, ``code`` or ``markdown``."""
    return [cell for cell in read_source(source).cells if cell.cell_type == kind]


def shown(source: Path) -> list[list[str]]:
    """The lines of each code cell whose code readers see unasked."""
    return [
        cell.source.splitlines()
        for cell in cells(source, "code")
        if not HIDDEN & set(cell.metadata.get("tags", []))
    ]


def prose(source: Path) -> str:
    """The Markdown of a chapter, without fenced code."""
    text = "\n\n".join(cell.source for cell in cells(source, "markdown"))
    return re.sub(r"^```(?:python|text|sh)\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def first_arguments(function: str, text: str) -> list[str]:
    """The first argument of each call of a function, by whatever name its module goes."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and node.args]
    named = [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", "")) == function]
    return [first.value for call in named if isinstance(first := call.args[0], ast.Constant)]


# --- chapters: the same bones, so that a reader who knows one finds the way in all ------------------------------


@each_chapter
def test_opens_with_a_question_and_its_answer_in_a_figure(source: Path) -> None:
    opening = source.read_text(encoding="utf-8").split(f"## {FIRST}")[0]
    assert re.search(r"\*\*[^*]+\?\*\*", opening), "no question in bold"
    assert "figure:\n" in opening, "no figure before the first section"


@each_chapter
def test_has_the_sections_of_the_skeleton_in_order(source: Path) -> None:
    headings = re.findall(r"^## (.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == FIRST and headings[-len(LAST) :] == LAST


@each_page
def test_code_that_is_shown_is_short_and_fits_the_page(source: Path) -> None:
    assert [lines[0] for lines in shown(source) if len(lines) > 25] == []
    assert [line for lines in shown(source) for line in lines if len(line) > 92] == []


@each_page
def test_no_page_opens_with_code_that_is_hidden(source: Path) -> None:
    assert not HIDDEN & set(cells(source, "code")[0].metadata.get("tags", []))


@each_page
def test_a_fold_holds_something_to_look_at_or_to_listen_to(source: Path) -> None:
    folded = [cell for cell in cells(source, "code") if "hide-input" in cell.metadata.get("tags", [])]
    bare = [c for c in folded if "figure" not in c.metadata.get("mystnb", {}) and "HTML(" not in c.source]
    assert [cell.source.splitlines()[0] for cell in bare] == []


@each_page
def test_every_figure_has_a_caption_a_name_and_alt_text(source: Path) -> None:
    for cell in cells(source, "code"):
        if not DRAWS.search(cell.source) or "def " in cell.source:
            continue
        options = cell.metadata.get("mystnb", {})
        figure, image = options.get("figure", {}), options.get("image", {})
        assert len(figure.get("caption", "")) > 40 and len(image.get("alt", "")) > 60, cell.source[:80]
        assert figure["name"].startswith(f"fig-{source.stem[:2]}-")


@each_page
def test_a_score_is_not_typed_into_the_description_of_a_figure(source: Path) -> None:
    """Axis ends and settings may stand there: the code of the page names them."""
    text = "\n".join(cell.source for cell in cells(source, "code"))
    for cell in cells(source, "code"):
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        typed = re.findall(r"\d+\.\d+|\d+(?=%)", alt)
        assert [number for number in typed if number not in text] == [], alt


@each_chapter
def test_states_claims_and_shows_its_quiz(source: Path) -> None:
    number, text = source.stem[:2], "\n".join(cell.source for cell in cells(source, "code"))
    slugs = first_arguments("claim", text)
    assert len(slugs) >= 3 and all(slug.startswith(f"{number}-") for slug in slugs)
    assert number in first_arguments("quiz", text)


def test_a_call_is_found_however_it_is_laid_out() -> None:
    text = 'tl.book.claim("01-a", "A.", None)\nclaim(\n    "01-b",\n    "B.",\n    True,\n)\nclaims("01-c")\n'
    assert first_arguments("claim", text) == ["01-a", "01-b"]


# --- glossary: Sphinx refuses a term that stands twice, and a role for one that is missing ----------------------


@cache
def glossary() -> list[tuple[list[str], str]]:
    """The entries in their order: names that share a definition, and the definition."""
    page = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    entries = []
    for block in page.split("```{glossary}\n")[1].split("```")[0].strip().split("\n\n"):
        lines = block.splitlines()
        names = [line for line in lines if not line.startswith(" ")]
        entries.append((names, " ".join(line.strip() for line in lines[len(names) :])))
    return entries


def test_the_glossary_is_sorted() -> None:
    first = [names[0].casefold() for names, _ in glossary()]
    assert len(first) > 50 and first == sorted(first)


def test_a_definition_has_one_or_two_sentences() -> None:
    for names, definition in glossary():
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)|`[^`]*`", r"\1x", definition)
        assert text.endswith(".") and 1 <= len(re.findall(r"[.!?](?:\s|$)", text)) <= 2, names


def test_every_term_is_used_in_a_chapter() -> None:
    text = " ".join(" ".join(prose(page).split()) for page in PAGES).casefold()
    assert [names for names, _ in glossary() if not any(name.casefold() in text for name in names)] == []


@each_page
def test_a_term_is_linked_where_the_page_introduces_it(source: Path) -> None:
    """One link a page: a second one to the same entry is noise."""
    linked = re.findall(r"\{term\}`(?:[^`]*<)?([^`<>]+)>?`", source.read_text(encoding="utf-8"))
    terms = [" ".join(term.split()).casefold() for term in linked]
    assert terms and sorted(terms) == sorted(set(terms))


# --- the post, checked ------------------------------------------------------------------------------------------


def test_the_post_has_its_25_rows_each_with_what_was_said_what_is_so_and_where_that_stands() -> None:
    rows, keys = ledger.read_facts(ROOT), set(read_book(ROOT).references)
    assert [row["number"] for row in rows] == list(range(1, 26))
    for row in rows:
        assert set(row) <= {"number", "verdict", "says", "is", "sources", "claims"}, row["number"]
        assert row["verdict"] in ledger.FACTS and len(row["says"]) > 20 and len(row["is"]) > 20, row["number"]
        assert row["sources"] and set(row["sources"]) <= keys, (
            f"row {row['number']}: no such key in references.bib"
        )
        assert row["verdict"] != "measured" or row.get("claims"), (
            f"row {row['number']}: what was measured is a claim"
        )


def test_every_claim_that_a_row_names_is_stated_in_its_chapter() -> None:
    stated: set[str] = set()
    for page in CHAPTERS:
        stated |= set(first_arguments("claim", "\n".join(cell.source for cell in cells(page, "code"))))
    written = {page.stem[:2] for page in CHAPTERS}
    named = [(row["number"], slug) for row in ledger.read_facts(ROOT) for slug in row.get("claims", [])]
    assert [pair for pair in named if pair[1][:2] in written and pair[1] not in stated] == []


# --- final quiz -------------------------------------------------------------------------------------------------


def final_questions() -> list[dict[str, Any]]:
    return [question for part in PARTS for question in quizzes.check(FINAL / f"{part}.yml")]


def test_the_final_quiz_asks_about_each_part_and_the_page_shows_all() -> None:
    assert PARTS == ["01", "02", "03", "04", "05"] and len(final_questions()) >= 19
    page = (ROOT / "book" / "final-quiz.md").read_text(encoding="utf-8")
    assert re.findall(r"^```\{quiz\} (\d\d)\n```$", page, re.MULTILINE) == PARTS
    assert all(len(quizzes.check(FINAL / f"{part}.yml")) >= 3 for part in PARTS)


def test_neither_place_nor_length_gives_the_answer_away() -> None:
    single = [question["options"] for question in final_questions() if question["kind"] == "one"]
    places = [next(i for i, option in enumerate(options) if option["correct"]) for options in single]
    longest = [max(options, key=lambda option: len(option["text"]))["correct"] for options in single]
    assert all(places.count(place) <= len(places) / 2 for place in set(places)) and len(set(places)) >= 4
    assert sum(longest) <= len(longest) / 3


def test_explanations_begin_without_a_verdict() -> None:
    """The page says "Right." or "Not yet." before each."""
    verdict = re.compile(r"(right|correct|no|yes|wrong|true|false|exactly)\b", re.IGNORECASE)
    texts = [option["explanation"] for question in final_questions() for option in question.get("options", [])]
    assert [text for text in texts if verdict.match(text)] == []


# --- contents ---------------------------------------------------------------------------------------------------


def test_the_contents_list_every_page_of_the_book() -> None:
    listed = set(ledger.files_of(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))
    pages = {f"book/{page.stem}" for page in (ROOT / "book").glob("*.md")}
    assert pages - {"book/index"} == listed - {"book/index"}
