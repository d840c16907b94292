"""How a reader finds the way: first screen, menu, glossary on the spot, map of a part, paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from .conftest import MODES, violations

FIRST = {"width": 1280, "height": 800}
A4 = {"width": 665, "height": 990}  # CSS pixels between the margins of print.css
LONG = "book/15-the-decision-matrix.html"
#: Where the first figure and the line two thirds down it are, and where the bold answer ends.
OPENING = """() => {
  const figure = document.querySelector('.bd-article .cell_output img').getBoundingClientRect();
  const bold = [...document.querySelectorAll('.bd-article p > strong')];
  const asked = bold.findIndex(words => words.textContent.includes('?'));
  return [bold[asked + 1].getBoundingClientRect().bottom, figure.top, figure.top + figure.height * 2 / 3];
}"""
#: Whether the middle of each element is in the window and nothing lies over it.
SEEN = """selectors => selectors.filter(selector => {
  const element = document.querySelector(selector), box = element.getBoundingClientRect();
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  return !(top && (element.contains(top) || top.contains(element)) && top.closest('.bd-sidebar-primary'));
})"""
CURRENT = ".bd-sidebar-primary li.current > a"
#: What only a screen can use.
USELESS = (
    "button, select, .bd-article details.hide > summary, #jb-print-toc, .bd-header-article, .bd-sidebar-primary"
)
SHOWN = """selector => [...document.querySelectorAll(selector)]
  .filter(e => e.checkVisibility() && e.getBoundingClientRect().height > 0).map(e => e.className || e.tagName)"""


@pytest.fixture
def desk(browser: Browser) -> Iterator[Page]:
    """Open a fresh desktop page with a low window."""
    context = browser.new_context(viewport=FIRST, color_scheme="light", reduced_motion="reduce")
    yield context.new_page()
    context.close()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """Open a fresh page on a phone."""
    context = browser.new_context(**MODES["phone"], reduced_motion="reduce")
    yield context.new_page()
    context.close()


def go(page: Page, book: Path, path: str) -> None:
    """Open a page of the book from its file and let scripts finish."""
    page.goto((book / path).as_uri(), wait_until="load")
    page.wait_for_timeout(200)


def test_question_answer_and_figure_stand_on_the_first_screen(desk: Page, book: Path, taught: str) -> None:
    go(desk, book, taught)
    answer, top, two_thirds = desk.evaluate(OPENING)
    assert answer < top and two_thirds <= FIRST["height"]


def test_a_phone_opens_on_question_and_answer_with_the_figure_in_sight(
    phone: Page, book: Path, taught: str
) -> None:
    go(phone, book, taught)
    answer, top, _ = phone.evaluate(OPENING)
    assert answer < top < MODES["phone"]["viewport"]["height"] - 80


@pytest.mark.parametrize("path", ["book/00-first-success.html", LONG, "book/bibliography.html"])
def test_brand_search_and_open_page_are_in_the_sidebar(desk: Page, book: Path, path: str) -> None:
    go(desk, book, "book/index.html")  # the theme would keep the menu where it was
    go(desk, book, path)
    assert desk.evaluate(SEEN, [".navbar-brand", ".search-button-field", CURRENT]) == []


def test_the_menu_of_a_phone_opens_at_the_open_page(phone: Page, book: Path) -> None:
    go(phone, book, LONG)
    phone.locator(".primary-toggle").tap()
    phone.wait_for_timeout(400)
    assert phone.evaluate(SEEN, [".navbar-brand", CURRENT]) == []
    links = phone.locator("dialog .tl-menu a")
    assert links.count() >= 4 and links.first.is_visible()
    assert not violations(phone, inside="#pst-primary-sidebar-modal")


def test_the_header_of_a_phone_leads_on_and_has_few_icons(phone: Page, book: Path) -> None:
    go(phone, book, LONG)
    assert len(phone.evaluate(SHOWN, ".bd-header-article button:not(.dropdown-item)")) <= 5
    following = phone.locator("a.tl-next")
    assert following.is_visible()
    assert following.get_attribute("href") == phone.locator("a.right-next").get_attribute("href")


def test_a_term_shows_its_definition_to_mouse_and_keyboard(desk: Page, book: Path) -> None:
    go(desk, book, "book/16-in-the-wild.html")
    link, note = desk.locator("a[data-tl-term]").first, desk.locator("#tl-term")
    target = (link.get_attribute("href") or "").partition("#")[2]
    glossary = (book / "book/glossary.html").read_text(encoding="utf-8").partition(f'id="{target}"')[2]
    words = " ".join(re.sub(r"<[^>]+>", "", glossary.partition("<dd>")[2].partition("</dd>")[0]).split())
    assert not note.is_visible()
    link.hover()
    note.wait_for(state="visible")
    assert " ".join(note.inner_text().split()) == words
    note.hover()  # a reader may move on to the definition
    desk.wait_for_timeout(400)
    assert note.is_visible()
    desk.keyboard.press("Escape")
    assert not note.is_visible()
    desk.mouse.move(5, 5)
    desk.evaluate("scrollTo(0, 0)")
    desk.keyboard.press("Tab")  # a key has been pressed: what gets the focus now shows it
    link.focus()  # the page scrolls to it
    desk.wait_for_timeout(300)
    assert note.is_visible() and link.get_attribute("aria-describedby") == "tl-term"
    box = note.bounding_box()
    assert box and box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= FIRST["width"]
    for scheme in ("light", "dark"):
        desk.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        desk.wait_for_timeout(200)
        assert note.is_visible() and not violations(desk, inside="#tl-term")
    desk.keyboard.press("Enter")
    desk.wait_for_url(f"**/glossary.html#{target}")


def test_a_tap_on_a_term_shows_its_definition_and_the_next_one_leads_there(phone: Page, book: Path) -> None:
    go(phone, book, "book/16-in-the-wild.html")
    link = phone.locator("a[data-tl-term]").first
    link.tap()
    phone.locator("#tl-term").wait_for(state="visible")
    assert phone.url.endswith("16-in-the-wild.html")
    link.tap()
    phone.wait_for_url("**/glossary.html#term-*")


def test_a_term_leads_to_the_glossary_without_a_script(browser: Browser, book: Path) -> None:
    context = browser.new_context(viewport=FIRST, java_script_enabled=False)
    page = context.new_page()
    page.goto((book / "book/16-in-the-wild.html").as_uri())
    page.locator("a[data-tl-term]").first.click()
    page.wait_for_url("**/glossary.html#term-*")
    context.close()


def test_code_that_goes_on_fades_until_its_end(phone: Page, book: Path) -> None:
    go(phone, book, LONG)
    wide = phone.locator("div.cell_input div.highlight > pre.tl-more")
    assert wide.count() > 3
    cut = "list => list.filter(p => p.checkVisibility() && p.scrollWidth > p.clientWidth + 1).length"
    fading = "list => list.filter(p => p.checkVisibility() && p.classList.contains('tl-more')).length"
    code = "div.cell_input div.highlight > pre"
    assert phone.eval_on_selector_all(code, cut) == phone.eval_on_selector_all(code, fading)
    one = wide.first.element_handle()
    one.evaluate("pre => { pre.scrollLeft = 9999; }")
    phone.wait_for_timeout(200)
    assert not one.evaluate("pre => pre.classList.contains('tl-more')")


def test_no_interval_of_a_table_breaks(phone: Page, book: Path, chapter: str) -> None:
    go(phone, book, chapter)
    broken = (
        "list => list.filter(e => e.checkVisibility() && e.getClientRects().length > 1).map(e => e.textContent)"
    )
    assert phone.eval_on_selector_all(".tl-interval", broken) == []


def test_no_table_has_a_head_with_an_empty_row(book: Path, chapter: str) -> None:
    text = (book / chapter).read_text(encoding="utf-8")
    for head in re.findall(r"<thead>(.*?)</thead>", text, re.DOTALL):
        for row in re.findall(r"<tr.*?</tr>", head, re.DOTALL)[1:]:
            cells = [cell.strip() for cell in re.findall(r"<th[^>]*>(.*?)</th>", row, re.DOTALL)]
            assert all(cells[1:]), f"a second row of a head is empty: {cells}"


def test_the_page_of_a_part_shows_the_opening_figure_of_each_chapter(desk: Page, book: Path) -> None:
    parts = sorted(book.glob("book/part-*.html"))
    assert len(parts) == 5
    for part in parts:
        go(desk, book, part.relative_to(book).as_posix())
        rows = desk.locator("table.tl-map tbody tr")
        assert rows.count()
        for row in rows.all():
            chapter = (book / "book" / (row.locator("a").first.get_attribute("href") or "")).read_text("utf-8")
            opener = re.search(r'<img [^>]*src="(\.\./_images/[^"]+)"', chapter)
            assert opener and row.locator("img.tl-thumb").get_attribute("src") == opener[1]


@pytest.mark.parametrize("path", ["book/01-the-500-image-problem.html", LONG, "book/final-quiz.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_has_whole_figures_wrapped_code_and_no_buttons(
    desk: Page, book: Path, path: str, scheme: str
) -> None:
    go(desk, book, path)
    desk.set_viewport_size(A4)  # type: ignore[arg-type]
    desk.emulate_media(media="print", color_scheme=scheme)  # type: ignore[arg-type]
    desk.wait_for_timeout(300)
    assert desk.evaluate(SHOWN, USELESS) == []
    assert desk.locator(".bd-article h1").first.is_visible()
    cut = "list => list.filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1).length"
    assert desk.eval_on_selector_all(".bd-article pre", cut) == 0
    heights = desk.eval_on_selector_all(
        ".bd-article img", "list => list.map(e => e.getBoundingClientRect().height)"
    )
    assert all(height < 0.42 * A4["height"] for height in heights)
    options = desk.locator(".Quiz label.MCButton")
    assert options.count() and all(option.is_visible() for option in options.all())
    dark_ink = "e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).every(part => part < 110)"
    for text in (desk.locator(".bd-article p").first, options.first, desk.locator(".bd-article h1").first):
        assert text.evaluate(dark_ink)
