"""The pages at the end of the built book: the sheet fits its paper, the ledger filters, the final quiz answers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import tlhelpers

from .conftest import MODES

PAGES = {
    "sheet": "book/takeaways.html",
    "ledger": "book/claims-ledger.html",
    "quiz": "book/final-quiz.html",
    "glossary": "book/glossary.html",
    "api": "book/api.html",
}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a fresh desktop page."""
    context = browser.new_context(**MODES["light"], reduced_motion="reduce")
    yield context.new_page()
    context.close()


def text_of(book: Path, name: str) -> str:
    """The markup of a page."""
    return (book / PAGES[name]).read_text(encoding="utf-8")


def test_the_seven_takeaways_print_on_one_sheet_of_a4(page: Page, book: Path) -> None:
    page.goto((book / PAGES["sheet"]).as_uri(), wait_until="load")
    assert page.locator(".tl-sheet li").count() == 7
    for scheme in ("light", "dark"):
        page.emulate_media(media="print", color_scheme=scheme)
        printed = page.pdf(format="A4", margin={side: "1cm" for side in ("top", "right", "bottom", "left")})
        assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 1


def test_the_sheet_links_each_takeaway_to_a_claim(book: Path) -> None:
    items = text_of(book, "sheet").split('class="tl-sheet')[1].split("<li>")[1:]
    assert all("#claim-" in item for item in items)


def test_every_claim_of_a_page_stands_in_the_ledger_and_leads_back(book: Path) -> None:
    text = text_of(book, "ledger")
    for chapter in book.glob("book/[0-9][0-9]-*.html"):
        for name in re.findall(r'id="claim-([\w-]+)"', chapter.read_text(encoding="utf-8")):
            assert f'id="ledger-{name}"' in text and f'href="{chapter.name}#claim-{name}"' in text, name


def test_the_ledger_filters_and_is_whole_without_a_script(browser: Browser, page: Page, book: Path) -> None:
    address = (book / PAGES["ledger"]).as_uri()
    page.goto(address, wait_until="load")
    cards = page.locator("section:has(> #filter-facts) .tl-card:visible")
    assert cards.count() == 25
    page.locator("#filter-facts button[data-show=wrong]").click()
    shown = cards.count()
    assert 0 < shown < 25 and page.locator("#filter-facts [role=status]").inner_text() == f"{shown} of 25"
    page.locator("#filter-facts button[data-show='']").click()
    assert cards.count() == 25

    plain = browser.new_context(**MODES["light"], java_script_enabled=False)
    still = plain.new_page()
    still.goto(address, wait_until="load")
    assert still.locator("#fact-25").is_visible() and not still.locator(".tl-filter").first.is_visible()
    plain.close()


def test_the_final_quiz_shows_all_questions_and_answers_each(page: Page, book: Path) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((book / PAGES["quiz"]).as_uri(), wait_until="load")
    page.wait_for_selector(".Quiz[data-tl-ready]", timeout=10_000)
    questions = page.locator(".Quiz[data-tl-ready]")
    assert errors == [] and questions.count() >= 19
    for question in questions.all():
        if question.locator("label.MCButton").count():
            question.locator("label.MCButton").first.click()
        else:
            question.locator("input.Input-text").fill("1")
            question.locator("input.Input-text").press("Enter")
        assert re.match(r"(Right|Not yet)\. \S", question.locator(".Feedback").inner_text())
    model_answer = page.locator(".admonition", has_text="A model answer")
    assert model_answer.count() == 1


def test_a_term_is_bold_and_leads_to_its_entry(page: Page, book: Path) -> None:
    page.goto((book / "book" / "03-what-transfer-learning-is.html").as_uri(), wait_until="load")
    term = page.locator("a[href='glossary.html#term-domain'] .std-term")
    assert term.inner_text() == "domain" and int(term.evaluate("e => getComputedStyle(e).fontWeight")) >= 600


def test_the_api_page_documents_what_every_door_offers(book: Path) -> None:
    text = text_of(book, "api")
    for door in tlhelpers.__all__:
        inside = getattr(tlhelpers, door)
        offered = getattr(inside, "__all__", []) if inspect.ismodule(inside) else [""]
        for name in offered:
            assert f'id="tlhelpers.{door}{"." * bool(name)}{name}"' in text, f"{door}.{name} is not in book/api.md"
    # Doors without a list of names show all that is public.
    assert 'id="tlhelpers.stats.interval"' in text and 'id="tlhelpers.book.claim"' in text
    assert "Raises" in text and "Google" not in text
