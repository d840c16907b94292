"""The pages at the end of the book: complete, and made from what the chapters say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import tlhelpers
from tlhelpers import claims, quiz
from tools import build
from tools.catalog import read_book
from tools.notebooks import read_source

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import apidoc  # noqa: E402
import ledger  # noqa: E402
import mathml  # noqa: E402
import provenance  # noqa: E402

CHAPTERS = build.chapters(ROOT)
FACTS = ledger.read_facts(ROOT)
GLOSSARY_PAGE = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
KEYS = set(read_book(ROOT).references)
PARTS = sorted(path.stem for path in (ROOT / "book" / "quizzes" / "final").glob("*.yml"))


def prose(chapter: Path) -> str:
    """The Markdown cells of a chapter, without fenced code."""
    text = "\n\n".join(cell.source for cell in read_source(chapter).cells if cell.cell_type == "markdown")
    return re.sub(r"^```(?:python|text|sh)\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def small_ledger() -> ledger.Ledger:
    """Two claims of one chapter."""
    made = [
        claims.Claim("01-a", "A < B.", True, "1 [0, 2]", "said so"),
        claims.Claim("01-b", "Two.", "open", "0 [-1, 1]", relied=False),
    ]
    return ledger.Ledger({one.id: one for one in made}, {"01": ("01-first", "First")})


# --- the post, checked -----------------------------------------------------------------------------------------


def test_the_post_has_its_25_rows_in_order() -> None:
    assert [row["number"] for row in FACTS] == list(range(1, 26))


@pytest.mark.parametrize("row", FACTS, ids=lambda row: str(row["number"]))
def test_a_row_says_what_was_said_what_is_so_and_where_that_stands(row: dict[str, Any]) -> None:
    assert set(row) <= {"number", "verdict", "says", "is", "sources", "claims"}
    assert row["verdict"] in ledger.VERDICTS and len(row["says"]) > 20 and len(row["is"]) > 20
    assert row["sources"] and set(row["sources"]) <= KEYS, "no such key in references.bib"
    if row["verdict"] == "measured":
        assert row.get("claims"), "what was measured is a claim"


def test_every_claim_that_a_row_names_exists_where_its_chapter_does() -> None:
    made = [path.with_suffix(".ipynb") for path in CHAPTERS if path.with_suffix(".ipynb").exists()]
    found = {one.id: one for path in made for one in claims.collect(path)}
    written = ledger.Ledger(found, {path.stem[:2]: (path.stem, "") for path in made})
    named = [(row["number"], name) for row in FACTS for name in row.get("claims", [])]
    assert [fault for number, name in named if (fault := ledger.missing(written, name, f"row {number}"))] == []


# --- the ledger ------------------------------------------------------------------------------------------------


def test_a_missing_claim_is_a_fault_only_where_its_chapter_is_written() -> None:
    found = small_ledger()
    assert ledger.missing(found, "01-a", "here") == "" and ledger.missing(found, "02-x", "here") == ""
    assert ledger.missing(found, "02", "here") == ""
    said = ledger.missing(found, "01-typo", "row 3")
    assert "row 3" in said and "01-typo" in said and "01-first" in said and "01-b" in said
    assert "name its claim" in ledger.missing(found, "01", "row 3")
    assert "no claim id" in ledger.missing(found, "one", "row 3")


def test_a_card_shows_verdict_text_value_and_the_way_to_the_cell() -> None:
    found = small_ledger()
    shown = ledger.claims(found)
    for text in (
        "### 01 First",
        "A &lt; B.",
        "1 [0, 2]",
        "said so",
        'href="01-first.html#claim-01-a"',
        "tl-is-open",
    ):
        assert text in shown
    assert "Open: these runs cannot tell." in shown and shown.count("does not rest on it") == 1
    assert ledger.tally(found) == "2 claims in 1 chapters: 1 hold, 0 do not, 1 are open."


def test_a_fact_names_its_answer_or_the_chapter_that_will_give_it() -> None:
    row = {"number": 7, "verdict": "wrong", "says": "x", "is": "y", "sources": ["k"], "claims": ["01-a", "09"]}
    shown = ledger.fact_card(row, small_ledger())
    assert ":name: fact-7" in shown and "{cite:p}`k`" in shown and "Chapter 09 will answer" in shown
    assert 'href="01-first.html#claim-01-a"' in shown and "Measured:</em> 1 [0, 2]" in shown


def test_a_row_whose_chapter_is_not_written_is_not_called_measured() -> None:
    row = {"number": 9, "verdict": "measured", "says": "x", "is": "y", "sources": ["k"]}
    assert "Not measured yet." in ledger.fact_card({**row, "claims": ["09"]}, small_ledger())
    assert "Measured here." in ledger.fact_card({**row, "claims": ["09", "01-a"]}, small_ledger())


def test_reading_takes_the_chapters_of_the_contents_and_complains_of_one_not_executed(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "01-first.md").write_text("# First\n")
    (tmp_path / "book" / "02-second.md").write_text("# Second\n")
    (tmp_path / "_toc.yml").write_text("parts: [{chapters: [{file: book/01-first}, {file: book/glossary}]}]")
    said: list[str] = []
    found = ledger.read(tmp_path, said.append)
    assert found.chapters == {"01": ("01-first", "First")} and "01-first.md was not executed" in said[0]


def test_every_page_asks_only_for_what_is_made() -> None:
    known = set(
        re.findall(r'^        "([\w-]+)":', (ROOT / "book" / "_ext" / "backmatter.py").read_text(), re.MULTILINE)
    )
    pages = sorted((ROOT / "book").glob("*.md"))
    asked = {
        name for page in pages for name in re.findall(r"^<!-- made: ([\w-]+)", page.read_text(), re.MULTILINE)
    }
    assert asked == known


# --- glossary (Sphinx refuses a term that stands twice, and a role for one that is missing) ----------------------


def glossary() -> list[tuple[list[str], str]]:
    """The entries in their order: names that share a definition, and the definition."""
    body = GLOSSARY_PAGE.split("```{glossary}\n")[1].split("```")[0]
    entries = []
    for block in body.strip().split("\n\n"):
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
    text = " ".join(" ".join(prose(path).split()) for path in CHAPTERS).casefold()
    assert [names for names, _ in glossary() if not any(name.casefold() in text for name in names)] == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_term_is_linked_where_the_page_introduces_it(chapter: Path) -> None:
    """One link a page: a second one to the same entry is noise."""
    linked = re.findall(r"\{term\}`(?:[^`]*<)?([^`<>]+)>?`", chapter.read_text(encoding="utf-8"))
    terms = [" ".join(term.split()).casefold() for term in linked]
    assert terms and sorted(terms) == sorted(set(terms))


# --- formulas --------------------------------------------------------------------------------------------------


def test_a_formula_becomes_mathml_that_keeps_its_source() -> None:
    inline, block = mathml.to_mathml("a < b"), mathml.to_mathml(r" \frac{s}{\sqrt{n}} ", "block")
    assert 'alttext="a &lt; b"' in inline and 'display="inline"' in inline
    assert "<mfrac>" in block and 'display="block"' in block


@pytest.mark.parametrize(("latex", "named"), [(r"\foo{x}", r"\foo"), ("a & b", "&")])
def test_latex_that_the_converter_does_not_know_is_refused_by_name(latex: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"no MathML for {re.escape(named)} in"):
        mathml.to_mathml(latex)


# --- final quiz ------------------------------------------------------------------------------------------------


def final_questions() -> list[dict[str, Any]]:
    return [one for part in PARTS for one in quiz.load(part, ROOT / "book" / "quizzes" / "final")]


def test_the_final_quiz_asks_about_each_part_and_the_page_shows_all() -> None:
    assert PARTS == ["01", "02", "03", "04", "05"] and len(final_questions()) >= 19
    page = (ROOT / "book" / "final-quiz.md").read_text(encoding="utf-8")
    assert re.findall(r"made: quiz (\d\d)", page) == PARTS
    assert all(len(quiz.load(part, ROOT / "book" / "quizzes" / "final")) >= 3 for part in PARTS)


def test_neither_place_nor_length_gives_the_answer_away() -> None:
    ones = [
        [(o["correct"], len(o["text"])) for o in q["options"]] for q in final_questions() if q["kind"] == "one"
    ]
    places = [next(i for i, (correct, _) in enumerate(options) if correct) for options in ones]
    longest = [max(options, key=lambda option: option[1])[0] for options in ones]
    assert all(places.count(place) <= len(places) / 2 for place in set(places)) and len(set(places)) >= 4
    assert sum(longest) <= len(longest) / 3


def test_explanations_begin_without_a_verdict() -> None:
    """The page says "Right." or "Not yet." before each."""
    texts = [o["explanation"] for q in final_questions() for o in q.get("options", [])]
    assert [
        text for text in texts if re.match(r"(right|correct|no|yes|wrong|true|false|exactly)\b", text, re.I)
    ] == []


# --- API and stored tables -------------------------------------------------------------------------------------


def test_the_api_page_holds_every_module_in_the_packages_order() -> None:
    assert re.findall(r"automodule:: tlhelpers\.(\w+)", apidoc.modules()) == tlhelpers.__all__
    there = {path.stem for path in (ROOT / "tlhelpers").glob("*.py")} - {"__init__"}
    assert there == set(tlhelpers.__all__), "a module is missing from tlhelpers.__all__"


def test_every_stored_table_shows_what_made_it() -> None:
    shown = provenance.tables(ROOT)
    for path in (ROOT / "book" / "results").glob("*.csv"):
        assert path.with_suffix(".json").exists() and f":name: table-{path.stem}\n" in shown
    assert shown.count("**Command:** `python -m benchmarks") == shown.count(":name: table-") > 0


def test_a_stored_table_names_its_chapters() -> None:
    assert "01-the-500-image-problem" in provenance.used_by(ROOT, "strategies")
    assert provenance.used_by(ROOT, "nothing") == []


def test_the_contents_list_every_page_at_the_end() -> None:
    toc = list(ledger.files_of(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))
    for page in ("takeaways", "final-quiz", "claims-ledger", "glossary", "how-these-numbers-were-made", "api"):
        assert f"book/{page}" in toc
