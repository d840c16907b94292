"""Fixtures for the tests of the built book: a browser, the pages, a local server, and one report per visit.

The book is looked for in ``_build/html``; a missing book fails, since a skipped check looks like a passed one.
Chromium comes from the environment variable ``CHROMIUM`` or from the search path.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tools.build import TEMPLATE

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("BOOK_HTML", ROOT / "_build" / "html"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LAUNCH = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
MODES: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "has_touch": True},
}
#: Opens what is folded, so that hidden text is checked as well.
UNFOLD = """() => {
  document.querySelectorAll('.bd-article details').forEach(d => { d.open = true; });
  document.querySelectorAll('.bd-article .toggle-hidden').forEach(d => d.classList.remove('toggle-hidden'));
}"""
SEARCH = """() => [...document.querySelectorAll('.search-button__button, input[type=search]')]
  .filter(e => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().width > 0).length"""
WIDER = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > width + 1)
    .map(e => e.tagName.toLowerCase() + '.' + e.className).slice(0, 8).concat(['(page scrolls sideways)']);
}"""


def built_pages() -> list[str]:
    """List the pages of the built book, relative to its root; empty without a book."""
    pages = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html"))
    return [page for page in pages if not page.startswith(("_static/", "_sources/")) and page != "index.html"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the argument ``page_path`` once per page, and ``chapter`` once per chapter."""
    pages = built_pages()
    if "page_path" in metafunc.fixturenames:
        metafunc.parametrize("page_path", pages or ["no-book"])
    if "chapter" in metafunc.fixturenames:
        chapters = [page for page in pages if page.startswith("book/") and page[5:7].isdigit()]
        if "quiz_page" in metafunc.fixturenames:
            chapters = [page for page in chapters if TEMPLATE not in page]
        metafunc.parametrize("chapter", chapters or ["no-book"])


@pytest.fixture(scope="session")
def book() -> Path:
    """Give the folder of the built book, or fail."""
    if not (HTML / "book" / "index.html").is_file():
        pytest.fail(
            f"There is no built book in {HTML}. Run `make book` first, then `make check-book`.", pytrace=False
        )
    return HTML


@pytest.fixture(scope="session")
def config() -> dict[str, Any]:
    """Give the parsed _config.yml."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="session")
def browser(book: Path) -> Iterator[Browser]:
    """Start one Chromium for all tests."""
    path = os.environ.get("CHROMIUM") or next((found for name in BROWSERS if (found := shutil.which(name))), None)
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    if path is None and mac.is_file():
        path = str(mac)
    if path is None:
        pytest.fail(
            "No Chromium or Chrome found. Install one (Debian: apt install chromium) or set CHROMIUM to its path.",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=LAUNCH)
        yield started
        started.close()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing; a test's output is its failures."""


@pytest.fixture(scope="session")
def server(book: Path) -> Iterator[str]:
    """Serve the book on a free local port and give the base address."""
    handler = functools.partial(_QuietHandler, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}/"
        httpd.shutdown()


@dataclass
class Visit:
    """What one visit of one page in one mode showed."""

    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    wider: list[str] = field(default_factory=list)
    search_fields: int = 0
    axe: list[str] = field(default_factory=list)
    without_alt: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    text: str = ""


def watch(page: Page, base: str, visit: Visit) -> None:
    """Note console errors, failed and foreign requests of a page in ``visit``; foreign ones are also blocked."""

    def on_route(route: Any) -> None:
        url = route.request.url
        if url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            visit.foreign.append(url)
            route.abort()

    page.route("**/*", on_route)
    page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("requestfailed", lambda request: visit.errors.append(f"failed: {request.url}"))
    page.on(
        "response",
        lambda answer: visit.errors.append(f"{answer.status}: {answer.url}") if answer.status > 399 else None,
    )


def violations(page: Page) -> list[str]:
    """Run axe with the rules of WCAG 2.2 A and AA; one line per element that breaks one."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}, "preload": False})
    return [
        f"{rule['id']}: {node['html'][:160]} | {(node.get('failureSummary') or '')[:200]}"
        for rule in found.response["violations"]
        for node in rule["nodes"]
    ]


@pytest.fixture(scope="session")
def visit(browser: Browser, book: Path) -> Callable[[str, str], Visit]:
    """Give a function (page, mode) -> Visit that opens each page from its file once per mode."""

    @functools.cache
    def open_page(path: str, mode: str) -> Visit:
        seen = Visit()
        context = browser.new_context(**MODES[mode], reduced_motion="reduce")
        page = context.new_page()
        watch(page, "file://", seen)
        page.goto((book / path).as_uri(), wait_until="load")
        page.wait_for_timeout(250)  # quizzes and the theme's buttons are built after load
        seen.search_fields = page.evaluate(SEARCH)
        page.evaluate(UNFOLD)
        seen.wider = page.evaluate(WIDER)
        seen.without_alt = page.eval_on_selector_all(
            "main img",
            "list => list.filter(i => !(i.getAttribute('alt') || '').trim()).map(i => i.outerHTML)",
        )
        seen.captions = page.eval_on_selector_all(
            "#pst-primary-sidebar .caption", "list => list.map(e => e.textContent.trim())"
        )
        seen.text = page.inner_text("main")
        seen.axe = violations(page)
        context.close()
        return seen

    return open_page
