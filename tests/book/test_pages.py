"""Every page of the built book: silent, self-contained, readable at any size, accessible."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import jupytext
import pytest
from playwright.sync_api import Browser

from .conftest import MODES, ROOT, Visit, watch

Visitor = Callable[[str], Visit]
PARTS = ["I Start", "II Look inside", "III Do it", "IV When it fails", "V Decide"]


def test_opens_from_a_file_without_console_error(visit: Visitor, page_path: str) -> None:
    assert visit(page_path).errors == []


def test_asks_no_other_host(visit: Visitor, page_path: str) -> None:
    assert visit(page_path).foreign == []


@pytest.mark.parametrize("page", ["book/index.html", "book/15-the-decision-matrix.html", "search.html"])
def test_opens_from_a_server_without_error_or_foreign_request(browser: Browser, server: str, page: str) -> None:
    seen = Visit()
    context = browser.new_context(**MODES["light"])
    tab = context.new_page()
    watch(tab, server, seen)
    tab.goto(server + page, wait_until="load")
    tab.wait_for_timeout(150)
    context.close()
    assert (seen.errors, seen.foreign) == ([], [])


@pytest.mark.parametrize("mode", list(MODES))
def test_breaks_no_rule_of_wcag_a_and_aa(visit: Visitor, page_path: str, mode: str) -> None:
    found = visit(page_path).axe[mode]
    assert not found, "\n".join(found)


def test_does_not_scroll_sideways_on_a_phone(visit: Visitor, page_path: str) -> None:
    assert visit(page_path).wider == []


def test_shows_exactly_one_search_field(visit: Visitor, page_path: str) -> None:
    assert visit(page_path).search_fields == dict.fromkeys(MODES, 1)


def test_describes_every_image(visit: Visitor, page_path: str) -> None:
    assert visit(page_path).without_alt == []


def test_opens_on_its_figure_and_shows_code_below_it(visit: Visitor, taught: str) -> None:
    seen = visit(taught)
    assert seen.first_picture is not None and seen.first_picture < 0.75 * MODES["light"]["viewport"]["height"]
    assert seen.first_code is not None and seen.first_code > seen.first_picture


def test_says_how_long_it_takes(visit: Visitor, chapter: str) -> None:
    said = r"Part [IV]+, \w[\w ]+ · \d+ minutes to read · \d+ (seconds|minutes) to run"
    assert re.search(said, visit(chapter).text)


def test_numbers_its_figures_and_exercises_within_the_chapter(visit: Visitor, chapter: str) -> None:
    number = int(re.findall(r"\d\d", chapter)[0])
    text = visit(chapter).text
    figures, tasks = re.findall(r"Fig\. ([\d.]+\d)", text), re.findall(r"^Exercise ([\d.]+\d)", text, re.MULTILINE)
    for found in (figures, tasks):
        assert found == [f"{number}.{place}" for place in range(1, len(found) + 1)]
    assert figures


def test_shows_the_code_of_its_source(visit: Visitor, chapter: str) -> None:
    source = jupytext.read((ROOT / chapter).with_suffix(".md"))
    removed = {"remove-input", "remove-cell"}
    wanted = [
        cell.source
        for cell in source.cells
        if cell.cell_type == "code" and cell.source and not removed & set(cell.metadata.get("tags", []))
    ]
    assert ["".join(code.split()) for code in visit(chapter).code] == ["".join(code.split()) for code in wanted]


def test_sidebar_shows_the_five_parts(visit: Visitor, page_path: str) -> None:
    assert visit(page_path).captions[:5] == PARTS


def test_shows_no_raw_markup(visit: Visitor, page_path: str) -> None:
    raw = re.findall(r"\{(?:cite|ref|doc|glue|eq|math)[:\w]*\}|\\\(|\\\[|\{\{|:::", visit(page_path).text)
    assert raw == []


@functools.cache
def anchors(page: Path) -> set[str]:
    """The places of a page that a link may lead to."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))


def test_local_links_lead_somewhere(book: Path, page_path: str) -> None:
    here = book / page_path
    broken = []
    markup = re.sub(r"<script[^>]*>.*?</script>", "", here.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r'(?:href|src)="([^"]+)"', markup):
        if re.match(r"[a-z]+:|//", link):
            continue
        path, fragment = urldefrag(link.replace("&amp;", "&"))
        path = unquote(path.split("?")[0])
        target = here if not path else (here.parent / path).resolve()
        into = fragment and target.suffix == ".html"
        if not target.exists() or (into and unquote(fragment) not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_colab_button_opens_the_notebook_of_the_configured_repository(
    book: Path, config: dict[str, Any], chapter: str
) -> None:
    notebook = Path(chapter).with_suffix(".ipynb").as_posix()
    repository = config["repository"]
    wanted = repository["url"].replace("https://github.com/", "https://colab.research.google.com/github/")
    wanted += f"/blob/{repository['branch']}/{notebook}"
    links = re.findall(r'href="(https://colab[^"]+)"', (book / chapter).read_text(encoding="utf-8"))
    assert links == [wanted]
    assert (ROOT / notebook).is_file(), f"{notebook}, to which the Colab button leads, does not exist"


def test_search_finds_a_word_of_the_book(browser: Browser, server: str) -> None:
    context = browser.new_context(**MODES["light"])
    page = context.new_page()
    page.goto(server + "search.html?q=frozen", wait_until="load")
    page.wait_for_selector("#search-results ul.search li a", timeout=10_000)
    assert page.locator("#search-results ul.search li").count() >= 1
    context.close()


def test_front_page_leads_to_the_book(book: Path) -> None:
    assert "book/index.html" in (book / "index.html").read_text(encoding="utf-8")
