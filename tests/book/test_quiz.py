"""A quiz on the page, used with nothing but a keyboard and heard through its live region.

What all quizzes share is tested on the chapter that asks every kind of question; that each question names its
answers, and says a verdict to each, is tested on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page

from .conftest import MODES, ROOT, VERDICT, Visit

QUIZZES = ROOT / "book" / "quizzes"


@pytest.fixture(scope="session")
def all_kinds(book: Path, browser: Browser) -> Path:
    """Find the first chapter that asks every kind of question."""
    for chapter in sorted(book.glob("book/[0-9][0-9]-*.html")):
        text = chapter.read_text(encoding="utf-8")
        if all(f'"type": "{kind}"' in text for kind in ("multiple_choice", "many_choice", "numeric")):
            return chapter
    pytest.fail("no chapter asks every kind of question; give one of them a question of the kind that it lacks")


@pytest.fixture(params=["light", "dark"])
def quiz_page(request: pytest.FixtureRequest, browser: Browser, all_kinds: Path) -> Iterator[Page]:
    """Open the chapter from its file and wait for its quiz."""
    context = browser.new_context(**MODES[request.param], reduced_motion="reduce")
    page = context.new_page()
    page.goto(all_kinds.as_uri(), wait_until="load")
    page.wait_for_selector(".Quiz[data-tl-ready]", timeout=10_000)
    yield page
    context.close()


def question_of(page: Page, kind: str) -> Locator:
    """Give the first question of a kind."""
    return page.locator(".Quiz[data-tl-ready]").filter(has=page.locator(f".{kind}")).first


def choice_question(page: Page) -> Locator:
    """Give the first question with one right answer."""
    return question_of(page, "MultipleChoiceQn")


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


def test_tab_reaches_each_answer_of_a_question_with_several_and_space_gives_it(quiz_page: Page) -> None:
    question = question_of(quiz_page, "ManyChoiceQn")
    status = question.get_by_role("status")
    tab_into(quiz_page, question)
    for label in question.locator("label").all():
        assert label.evaluate("label => label.contains(document.activeElement)")
        outline = quiz_page.evaluate("getComputedStyle(document.activeElement.closest('label')).outlineStyle")
        assert outline == "solid"
        quiz_page.keyboard.press("Space")
        assert VERDICT.match(status.inner_text())
        quiz_page.keyboard.press("Tab")


def test_a_number_is_typed_and_answered_with_enter(quiz_page: Page) -> None:
    question = question_of(quiz_page, "NumericQn")
    tab_into(quiz_page, question)
    quiz_page.keyboard.type("-98765")
    quiz_page.keyboard.press("Enter")
    assert question.get_by_role("status").inner_text().startswith("Not yet. ")


def test_every_question_names_its_answers_and_says_a_verdict_to_each(
    visit: Callable[[str], Visit], quizzed: str
) -> None:
    seen = visit(quizzed)
    assert (seen.unnamed, seen.unheard) == ([], [])
    name = "final/*" if "final" in quizzed else Path(quizzed).name[:2]
    asked = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in QUIZZES.glob(f"{name}.yml")]
    cases = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in QUIZZES.glob(f"cases/{name}.yml")]
    assert seen.questions == sum(map(len, asked + cases)) > 0


@pytest.mark.parametrize("light", ["light", "dark"])
def test_an_answered_quiz_breaks_no_accessibility_rule(
    visit: Callable[[str], Visit], quizzed: str, light: str
) -> None:
    found = visit(quizzed).axe[f"answered, {light}"]
    assert not found, "\n".join(found)
