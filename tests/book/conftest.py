"""Fixtures for the tests of the built book: a browser, the pages, a local server, and one report per visit.

The book is looked for in ``_build/html``; a missing book fails, since a skipped check looks like a passed one.
Chromium comes from the environment variable ``CHROMIUM`` or from the search path.
"""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tools.build import PLAIN

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
MODES: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "has_touch": True},
}
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
#: What may break in the dark only, and what may break on a phone only: there, all but the slow rule on colors.
DARK = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
PHONE = WCAG | {"rules": {"color-contrast": {"enabled": False}}}
VERDICT = re.compile(r"(Right|Not yet)\. \S")
#: Opens what is folded, so that hidden text is checked as well.
UNFOLD = """() => {
  document.querySelectorAll('.bd-article details').forEach(d => { d.open = true; });
  document.querySelectorAll('.bd-article .toggle-hidden').forEach(d => d.classList.remove('toggle-hidden'));
}"""
#: Takes the markup off each word of code that looks like an earlier one: same tags, classes and styles up to the
#: top. Most of the work of axe went into thousands of them, which can only repeat what the first one shows.
ALIKE = """() => {
  const seen = new Set();
  document.querySelectorAll('main .highlight span, main .sig span').forEach(word => {
    let place = '';
    for (let e = word; e.tagName !== 'MAIN'; e = e.parentElement)
      place += e.tagName + '.' + e.className + (e.getAttribute('style') || '') + ' ';
    if (seen.has(place) && !word.children.length) word.replaceWith(word.textContent);
    else seen.add(place);
  });
  document.querySelector('main').normalize();
}"""
SEARCH = """() => [...document.querySelectorAll('.search-button__button, input[type=search]')]
  .filter(e => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().width > 0).length"""
#: Where the first picture and the first code that is not folded begin, in pixels from the top of the page.
TOPS = """() => ['img', 'pre'].map(kind => [...document.querySelectorAll('.bd-article ' + kind)]
  .filter(e => e.checkVisibility() && e.getBoundingClientRect().height > 0)
  .map(e => e.getBoundingClientRect().top)[0] ?? null)"""
READY = "() => [...document.querySelectorAll('.Quiz[id^=quizWrap]')].every(quiz => quiz.dataset.tlReady)"
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
    """Run a test once per page with the argument ``page_path``, once per chapter with the others of ``kinds``."""
    pages = built_pages()
    chapters = [page for page in pages if page.startswith("book/") and page[5:7].isdigit()]
    # Two pages are to do something; the first asks nothing; the final quiz is a page of its own.
    taught = [page for page in chapters if not any(name in page for name in PLAIN)]
    quizzed = taught + ["book/final-quiz.html"] * bool(pages)
    kinds = {"page_path": pages, "chapter": chapters, "taught": taught, "quizzed": quizzed}
    for name, wanted in kinds.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, wanted or ["no-book"])


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist there is one worker
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one worker run all tests of a page, which opens it once (pytest 9 ignores ``xdist_group``)."""
    from xdist.scheduler import LoadScopeScheduling

    class ByPage(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            page = re.search(r"\[([\w/-]+\.html)", nodeid)
            return page[1] if page else nodeid

    return ByPage(config, log)


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
    """What one visit of one page showed: on a desktop, in the dark, with its quiz answered, on a phone."""

    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    wider: list[str] = field(default_factory=list)
    search_fields: dict[str, int] = field(default_factory=dict)
    first_picture: float | None = None
    first_code: float | None = None
    axe: dict[str, list[str]] = field(default_factory=dict)
    without_alt: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    text: str = ""
    code: list[str] = field(default_factory=list)
    questions: int = 0
    unnamed: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)


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


def violations(page: Page, options: dict[str, Any] = WCAG, inside: str | None = None) -> list[str]:
    """Run axe, by default with the rules of WCAG 2.2 A and AA; one line per element that breaks one."""
    options = options | {"preload": False, "resultTypes": ["violations"]}
    found = Axe().run(page, context=inside, options=options)
    return [
        f"{rule['id']}: {node['html'][:160]} | {(node.get('failureSummary') or '')[:200]}"
        for rule in found.response["violations"]
        for node in rule["nodes"]
    ]


def switch(page: Page, mode: str) -> None:
    """Show an open page in another mode, as a reader does who turns the light off or the phone."""
    page.emulate_media(color_scheme=MODES[mode]["color_scheme"], reduced_motion="reduce")
    page.wait_for_function("mode => document.documentElement.dataset.theme === mode", arg=scheme(mode))
    if page.viewport_size != MODES[mode]["viewport"]:
        page.set_viewport_size(MODES[mode]["viewport"])
        # The theme waits 300 ms before it measures again what scrolls; the page's own clock keeps the order.
        page.evaluate("() => new Promise(done => setTimeout(done, 600))")


def scheme(mode: str) -> str:
    """The colors of a mode, ``light`` or ``dark``."""
    return str(MODES[mode]["color_scheme"])


def unnamed_answers(question: Locator) -> list[str]:
    """Say what is wrong with the names that a question gives its answers, for readers who listen."""
    shown = question.inner_text()[:60]
    if question.locator("input.Input-text").count():
        return [] if question.get_by_label("answer").count() == 1 else [f"a text field needs a label: {shown}"]
    answers = question.locator(".Answer")
    if answers.get_attribute("role") not in {"radiogroup", "group"}:
        return [f"answers are no group: {shown}"]
    name = question.page.locator(f"[id='{answers.get_attribute('aria-labelledby')}']")
    return [] if name.count() == 1 and name.inner_text().strip() else [f"a group of answers has no name: {shown}"]


def answer(question: Locator) -> list[str]:
    """Give every answer that a question offers; return those whose feedback is no verdict with its reason."""
    unheard = []
    status = question.get_by_role("status")

    def listen(given: str) -> None:
        if status.get_attribute("aria-live") != "polite" or not VERDICT.match(status.inner_text()):
            unheard.append(f"{given!r} is answered by {status.inner_text()!r}")

    for label in question.locator("label.MCButton").all():
        label.click()
        listen(label.inner_text())
    field = question.locator("input.Input-text")
    if field.count():
        field.focus()
        question.page.keyboard.type("1")
        question.page.keyboard.press("Enter")
        listen("1")
    return unheard


@pytest.fixture(scope="session")
def visit(browser: Browser, book: Path) -> Callable[[str], Visit]:
    """Give a function page -> Visit that opens each page from its file once."""

    @functools.cache
    def open_page(path: str) -> Visit:
        seen = Visit()
        context = browser.new_context(**MODES["light"], reduced_motion="reduce", has_touch=True)
        page = context.new_page()
        watch(page, "file://", seen)
        page.goto((book / path).as_uri(), wait_until="load")
        page.wait_for_timeout(250)  # quizzes and the theme's buttons are built after load
        page.wait_for_function(READY)
        look(page, seen)
        context.close()
        return seen

    return open_page


def look(page: Page, seen: Visit) -> None:
    """Collect in ``seen`` what an open page shows, mode by mode."""
    seen.first_picture, seen.first_code = page.evaluate(TOPS)
    page.evaluate(UNFOLD)
    for mode in ("phone", "dark", "light"):
        switch(page, mode)
        seen.search_fields[mode] = page.evaluate(SEARCH)
        if mode == "phone":
            seen.wider = page.evaluate(WIDER)
    seen.without_alt = page.eval_on_selector_all(
        "main img",
        "list => list.filter(i => !(i.getAttribute('alt') || '').trim()).map(i => i.outerHTML)",
    )
    seen.captions = page.eval_on_selector_all(
        "#pst-primary-sidebar .caption", "list => list.map(e => e.textContent.trim())"
    )
    seen.text = page.inner_text("main")
    seen.code = page.locator("div.cell_input div.highlight pre").all_text_contents()
    page.evaluate(ALIKE)
    seen.axe["light"] = violations(page)
    switch(page, "dark")
    seen.axe["dark"] = violations(page, DARK)
    answer_all(page, seen)
    switch(page, "phone")
    seen.axe["phone"] = violations(page, PHONE)


def answer_all(page: Page, seen: Visit) -> None:
    """Answer every quiz of a page that is shown in the dark, and look at it there and in the light."""
    questions = page.locator(".Quiz[data-tl-ready]").all()
    seen.questions = len(questions)
    for question in questions:
        seen.unnamed += unnamed_answers(question)
        seen.unheard += answer(question)
    if questions:
        page.wait_for_timeout(900)  # the colors of the answers fade in
        seen.axe["answered, dark"] = violations(page, DARK, ".Quiz")
        switch(page, "light")
        seen.axe["answered, light"] = violations(page, WCAG, ".Quiz")
