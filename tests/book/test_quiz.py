"""A quiz on the page, used with nothing but a keyboard and heard through its live region."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from .conftest import MODES, violations


@pytest.fixture(params=["light", "dark"])
def quiz_page(request: pytest.FixtureRequest, browser: Browser, book: Path, chapter: str) -> Iterator[Page]:
    """Open one chapter from its file and wait for its quiz."""
    context = browser.new_context(**MODES[request.param], reduced_motion="reduce")
    page = context.new_page()
    page.goto((book / chapter).as_uri(), wait_until="load")
    page.wait_for_selector(".Quiz[data-tl-ready]", timeout=10_000)
    yield page
    context.close()


def choice_question(page: Page) -> Locator:
    """Give the first question with one right answer."""
    return page.locator(".Quiz[data-tl-ready]").filter(has=page.locator(".MultipleChoiceQn")).first


def tab_into(page: Page, question: Locator) -> None:
    """Put the focus just before the answers and press Tab, as a reader who comes from the text does."""
    question.evaluate("q => { q.tabIndex = -1; q.focus(); }")
    page.keyboard.press("Tab")


def focused_is_right(page: Page) -> bool:
    """Say whether the focused answer is the right one."""
    return bool(page.evaluate("document.activeElement.closest('label').dataset.correct === 'true'"))


def move_to(page: Page, question: Locator, right: bool) -> None:
    """Press the arrow key until a right (or wrong) answer has the focus."""
    for _ in range(question.locator("label").count()):
        if focused_is_right(page) is right:
            return
        page.keyboard.press("ArrowDown")
    raise AssertionError(f"no {'right' if right else 'wrong'} answer can be reached with the arrow keys")


def test_tab_reaches_the_answers_and_the_focus_is_visible(quiz_page: Page) -> None:
    question = choice_question(quiz_page)
    tab_into(quiz_page, question)
    assert quiz_page.evaluate("document.activeElement.type") == "radio"
    outline = quiz_page.evaluate("getComputedStyle(document.activeElement.closest('label')).outlineStyle")
    assert outline == "solid"


def test_arrow_keys_move_without_answering(quiz_page: Page) -> None:
    question = choice_question(quiz_page)
    tab_into(quiz_page, question)
    first = quiz_page.evaluate("document.activeElement.id")
    quiz_page.keyboard.press("ArrowDown")
    assert quiz_page.evaluate("document.activeElement.id") != first
    assert question.locator(".Feedback").inner_text() == ""


@pytest.mark.parametrize("key", ["Space", "Enter"])
def test_a_wrong_and_a_right_answer_are_heard(quiz_page: Page, key: str) -> None:
    question = choice_question(quiz_page)
    status = question.get_by_role("status")
    assert status.get_attribute("aria-live") == "polite"
    tab_into(quiz_page, question)

    move_to(quiz_page, question, right=False)
    quiz_page.keyboard.press(key)
    wrong = status.inner_text()
    assert wrong.startswith("Not yet.") and len(wrong) > len("Not yet. "), "a wrong answer needs its explanation"

    move_to(quiz_page, question, right=True)
    quiz_page.keyboard.press(key)
    right = status.inner_text()
    assert right.startswith("Right.") and len(right) > len("Right. "), "a right answer needs its explanation"


def test_every_question_names_its_answers(quiz_page: Page) -> None:
    for question in quiz_page.locator(".Quiz[data-tl-ready]").all():
        fields = question.locator("input.Input-text")
        if fields.count():
            assert question.get_by_label("answer").count() == 1, "a text field needs a label"
        else:
            answers = question.locator(".Answer")
            assert answers.get_attribute("role") in {"radiogroup", "group"}
            name = quiz_page.locator(f"[id='{answers.get_attribute('aria-labelledby')}']").inner_text()
            assert name.strip()


def test_an_answered_quiz_breaks_no_accessibility_rule(quiz_page: Page) -> None:
    for question in quiz_page.locator(".Quiz[data-tl-ready]").all():
        for label in question.locator("label.MCButton").all():
            label.click()
        field = question.locator("input.Input-text")
        if field.count():
            field.focus()
            quiz_page.keyboard.type("1")
            quiz_page.keyboard.press("Enter")
    quiz_page.wait_for_timeout(900)  # the colors of the answers fade in
    found = violations(quiz_page)
    assert not found, "\n".join(found)
