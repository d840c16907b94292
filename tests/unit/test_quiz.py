"""A quiz is shown as it is written, the same at each run, and can be made again without the chapter."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from quiz_examples import CHOICE, NUMERIC

from tlhelpers import _paths
from tlhelpers.book import _quiz, _render


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the book hold quiz 99, and another in a folder of cases; return the folder of quizzes."""
    where = tmp_path / "quizzes"
    (where / "cases").mkdir(parents=True)
    (where / "99.yml").write_text(yaml.safe_dump([CHOICE, NUMERIC]))
    (where / "cases" / "99.yml").write_text(
        yaml.safe_dump([changed(NUMERIC, id="99-case", question="Which case?")])
    )
    monkeypatch.setattr(_paths, "book_folder", lambda: tmp_path)
    return where


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Collect data and metadata of what is displayed."""
    outputs: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, metadata, raw: outputs.append((data, metadata)))
    return outputs


def changed(base: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(base), **fields}


def option(**fields: Any) -> dict[str, Any]:
    """Give a question whose second option differs as told."""
    question = copy.deepcopy(CHOICE)
    question["options"][1] |= fields
    return question


def test_a_missing_quiz_says_which_there_are(shown: list[Any]) -> None:
    with pytest.raises(FileNotFoundError, match=r"no quiz 98\.yml in .*there: 99"):
        _quiz.quiz("98")
    with pytest.raises(FileNotFoundError, match=r"no quiz 99\.yml in .*there: none"):
        _quiz.quiz("99", folder="nowhere")
    assert not shown


def test_a_missing_question_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"99\.yml has no question '99-bad'; it has 99-good, 99-number"):
        _quiz.quiz("99", only="99-bad")


def test_an_installed_package_reads_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "tlhelpers"
    (package / "_book" / "quizzes").mkdir(parents=True)
    (package / "_book" / "quizzes" / "98.yml").write_text(yaml.safe_dump([CHOICE]))
    monkeypatch.undo()
    monkeypatch.setattr(_paths, "__file__", str(package / "_paths.py"))
    assert _quiz.load("98") == [CHOICE]


def test_conversion_keeps_order_answers_and_explanations() -> None:
    assert _quiz.to_jupyterquiz(CHOICE) == {
        "question": "A question?",
        "type": "multiple_choice",
        "answers": [
            {"answer": "Yes", "correct": True, "feedback": "Because."},
            {"answer": "No", "correct": False, "feedback": "Since."},
        ],
    }
    assert _quiz.to_jupyterquiz(changed(CHOICE, kind="many"))["type"] == "many_choice"


def test_marks_of_html_stay_text() -> None:
    question = option(text="a < b & <b>c</b>")
    assert _quiz.to_jupyterquiz(question)["answers"][1]["answer"] == "a &lt; b &amp; &lt;b&gt;c&lt;/b&gt;"


@pytest.mark.parametrize(("value", "tolerance"), [(0.7, 0.1), (5, 0), (-1e6, 0.5), (0, 0)])
def test_both_ends_of_a_tolerance_are_right(value: float, tolerance: float) -> None:
    right, default = _quiz.to_jupyterquiz(changed(NUMERIC, value=value, tolerance=tolerance))["answers"]
    low, high = right["range"]  # jupyterquiz: low <= answer < high
    for inside in (value - tolerance, value, value + tolerance):
        assert low <= inside < high
    for outside in (value - tolerance - 0.01, value + tolerance + 0.01):
        assert not low <= outside < high
    assert right["correct"] and default == {"type": "default", "feedback": NUMERIC["otherwise"]}


def test_a_quiz_is_shown_in_order_and_in_the_books_colors(shown: list[Any]) -> None:
    _quiz.quiz("99")
    ((data, metadata),) = shown
    assert metadata == {"tlhelpers": {"quiz": {"number": "99", "folder": "", "only": None}}}
    page = data["text/html"]
    assert 'data-shuffleanswers="False"' in page and 'data-shufflequestions="False"' in page
    assert json.dumps([_quiz.to_jupyterquiz(question) for question in (CHOICE, NUMERIC)]) in page
    assert data["text/plain"].splitlines() == ["1. A question?", "2. How much?"]


def test_every_color_is_one_that_jupyterquiz_reads(shown: list[Any]) -> None:
    _quiz.quiz("99")
    page = shown[0][0]["text/html"]
    for name, color in _render.COLORS.items():
        assert page.count(f"{name}: {color};") == page.count(f"{name}:") == 1 and f"var({name})" in page


def test_one_question_may_be_shown_alone_and_one_of_another_folder(shown: list[Any]) -> None:
    _quiz.quiz("99", only="99-number")
    _quiz.quiz("99", folder="cases", only="99-case")
    assert [data["text/plain"] for data, _ in shown] == ["1. How much?", "1. Which case?"]
    assert shown[1][1]["tlhelpers"]["quiz"] == {"number": "99", "folder": "cases", "only": "99-case"}


def test_two_runs_show_the_same_and_leave_the_generator_alone(shown: list[Any]) -> None:
    random.seed(3)
    before = random.getstate()
    _quiz.quiz("99")
    _quiz.quiz("99")
    assert random.getstate() == before and shown[0] == shown[1]


def test_quizzes_of_one_page_have_different_elements() -> None:
    records = [("99", "", None), ("99", "cases", None), ("99", "", "99-good"), ("99", "", "99-number")]
    pages = [
        _render.rerender({"quiz": dict(zip(("number", "folder", "only"), record, strict=True))}) or {}
        for record in records
    ]
    elements = {page["text/html"].split('"')[1] for page in pages}
    assert len(elements) == 4 and all(element.isidentifier() for element in elements)


def test_a_corrected_text_reaches_the_page_without_the_chapter(folder: Path, shown: list[Any]) -> None:
    _quiz.quiz("99")
    ((data, metadata),) = shown
    assert _render.rerender(metadata["tlhelpers"]) == data
    (folder / "99.yml").write_text(yaml.safe_dump([changed(CHOICE, question="A better question?")]))
    again = _render.rerender(metadata["tlhelpers"])
    assert again is not None and "A better question?" in again["text/html"]


def test_a_question_cannot_end_its_script() -> None:
    page = _render.quiz_html([_quiz.to_jupyterquiz(option(explanation="</script><b>"))], "quiz")
    assert page.count("</script>") == 1 and page.endswith("</script>")
