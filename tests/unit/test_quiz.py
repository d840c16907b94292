"""A quiz is right when it is loaded, or says which file, question, field and value to mend, and how."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tlhelpers import profile, quiz

CHOICE: dict[str, Any] = {
    "id": "99-good",
    "objective": "An objective",
    "question": "A question?",
    "kind": "one",
    "options": [
        {"text": "Yes", "correct": True, "explanation": "Because."},
        {"text": "No", "correct": False, "explanation": "Since."},
    ],
}
NUMERIC: dict[str, Any] = {
    "id": "99-number",
    "objective": "An objective",
    "question": "How much?",
    "kind": "numeric",
    "value": 0.7,
    "tolerance": 0.1,
    "explanation": "The mean of 0.5 and 0.9.",
    "otherwise": "Take the mean of both recalls.",
}
CHAPTERS = sorted(path.stem for path in (profile.book_folder() / "quizzes").glob("*.yml"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write questions as quiz 99 and return its folder."""

    def save(*questions: Any) -> Path:
        (tmp_path / "99.yml").write_text(yaml.safe_dump(list(questions)))
        return tmp_path

    return save


def changed(base: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(base), **fields}


def option(**fields: Any) -> dict[str, Any]:
    """Give a question whose second option differs as told; ``None`` leaves the field out."""
    question = copy.deepcopy(CHOICE)
    second = {**question["options"][1], **fields}
    question["options"][1] = {name: value for name, value in second.items() if value is not None}
    return question


@pytest.mark.parametrize("number", CHAPTERS)
class TestTheBooksQuizzes:
    def test_have_six_questions_or_more(self, number: str) -> None:
        assert len(quiz.load(number)) >= 6

    def test_do_not_give_the_answer_away_by_its_place(self, number: str) -> None:
        ones = [question for question in quiz.load(number) if question["kind"] == "one"]
        places = [[option["correct"] for option in question["options"]].index(True) for question in ones]
        assert len(set(places)) >= 3, f"the right answers stand at {places}"

    def test_leave_the_verdict_to_the_page(self, number: str) -> None:
        # The page puts "Right." or "Not yet." before each explanation.
        for question in quiz.load(number):
            for one in question.get("options", []):
                assert not re.match(
                    r"(right|correct|wrong|incorrect|yes|no|not yet)\b[.:,;]", one["explanation"], re.I
                )

    def test_say_when_several_options_are_right(self, number: str) -> None:
        # The page's hint counts on it.
        for question in quiz.load(number):
            if question["kind"] == "many":
                assert sum(option["correct"] for option in question["options"]) > 1
                assert "all that apply" in question["question"]


@pytest.mark.parametrize("path", sorted((profile.book_folder() / "quizzes").rglob("*.yml")), ids=lambda p: p.stem)
def test_no_quiz_holds_markdown_which_would_be_shown_as_it_is(path: Path) -> None:
    assert re.findall(r"`[^`]*`?|\*\w[^*]*\*", path.read_text(encoding="utf-8")) == []


def test_every_chapter_number_is_listed() -> None:
    assert {"01", "07"} <= set(CHAPTERS)


def test_a_good_quiz_loads_unchanged(write: Callable[..., Path]) -> None:
    assert quiz.load("99", write(CHOICE, NUMERIC)) == [CHOICE, NUMERIC]


def test_many_may_have_one_right_option(write: Callable[..., Path]) -> None:
    assert quiz.load("99", write(changed(CHOICE, kind="many")))[0]["kind"] == "many"


def test_a_missing_quiz_says_which_there_are(write: Callable[..., Path]) -> None:
    with pytest.raises(FileNotFoundError, match=r"no quiz 98\.yml in .*; quizzes are named by chapter.*there: 99"):
        quiz.load("98", write(CHOICE))


def test_an_installed_package_reads_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "tlhelpers"
    (package / "_book" / "quizzes").mkdir(parents=True)
    (package / "_book" / "quizzes" / "99.yml").write_text(yaml.safe_dump([CHOICE]))
    monkeypatch.setattr(profile, "__file__", str(package / "profile.py"))
    assert quiz.load("99") == [CHOICE]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- id: [", r"99\.yml is not valid YAML: .*line 1"),
        ("- question: Which: one?\n", r"99\.yml is not valid YAML: .*colon after '>-' or in quotes"),
        ("", r"99\.yml, the file: it holds None; make it a list of questions"),
        ("[]", r"99\.yml, the file: it holds \[\]; make it a list"),
        ("id: 99-a", r"99\.yml, the file: it holds \{'id': '99-a'\}; make it a list"),
        ("- hello", r"question 1, as a whole: 'hello' is not of type 'object'; make it a mapping"),
    ],
)
def test_a_file_that_is_no_list_of_questions(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "99.yml").write_text(content)
    with pytest.raises(ValueError, match=re.compile(message, re.S)):
        quiz.load("99", tmp_path)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        # fields
        ({"id": "99-a"}, r"as a whole: 'objective' is a required property.*; add it\."),
        (
            changed(CHOICE, hint="h"),
            r"as a whole: .*'hint' was unexpected.*; remove it .* allowed are id, objective",
        ),
        (changed(CHOICE, kind="several"), r"kind: 'several' is not one of .*; use one of one, many, numeric\."),
        (changed(CHOICE, id="7-Bad"), r"id: '7-Bad' does not match .*such as '07-batchnorm'"),
        (changed(CHOICE, id="01-good"), r"id: '01-good' is of another chapter; begin it with '99-'"),
        (changed(CHOICE, question=" "), r"question: ' ' does not match .*; write some text\."),
        (changed(CHOICE, objective=3), r"objective: 3 is not of type 'string'; write text; put it in quotes"),
        # options
        (changed(CHOICE, options="a"), r"options: 'a' is not of type 'array'; make it a list"),
        (changed(CHOICE, options=CHOICE["options"][:1]), r"options: \[.*\] is too short.*; give 2 to 6 options\."),
        (changed(CHOICE, options=CHOICE["options"] * 4), r"options: \[.*\] is too long.*; give 2 to 6 options\."),
        (
            option(explanation=None),
            r"options\.1: 'explanation' is a required property \(found .*'No'.*\); add it\.",
        ),
        (option(explanation=""), r"options\.1\.explanation: '' does not match .*; write at least one sentence\."),
        (option(explanation=" \n"), r"options\.1\.explanation: ' \\n' does not match .*; write at least one"),
        (option(correct="no"), r"options\.1\.correct: 'no' is not of type 'boolean'; write true or false"),
        (option(text=0.5), r"options\.1\.text: 0\.5 is not of type 'string'; .*put it in quotes"),
        (option(text=" yes "), r"options\.1\.text: ' yes ' repeats options\.0; reword or remove one\."),
        (
            option(correct=True),
            r"options: kind 'one' needs exactly one correct option, it has 2; correct the others",
        ),
        (
            changed(CHOICE, options=[{**o, "correct": False} for o in CHOICE["options"]]),
            r"options: kind 'one' needs exactly one correct option, it has 0; mark the right one\.",
        ),
        (
            changed(CHOICE, kind="many", options=[{**o, "correct": False} for o in CHOICE["options"]]),
            r"options: kind 'many' needs a correct option, it has 0; mark the right ones\.",
        ),
        # plain text
        (changed(CHOICE, question="Is $x$ big?"), r"question: 'Is \$x\$ big\?' holds TeX; write .* plain text"),
        (option(text="\\(x\\)"), r"options\.1\.text: .* holds TeX"),
        # numbers
        (
            changed(NUMERIC, value="0.7"),
            r"value: '0\.7' is not of type 'number'; write a number, without quotes\.",
        ),
        (changed(NUMERIC, value=float("nan")), r"value: nan is not finite; write an ordinary number\."),
        (
            changed(NUMERIC, tolerance=-1),
            r"tolerance: -1 is less than the minimum of 0; use 0 for an exact answer",
        ),
        (changed(NUMERIC, otherwise=""), r"otherwise: '' does not match .*; write some text\."),
        (changed(NUMERIC, options=[]), r"as a whole: .*'options' was unexpected"),
    ],
)
def test_a_fault_is_named(question: dict[str, Any], message: str, write: Callable[..., Path]) -> None:
    good = changed(CHOICE, id="99-first")
    with pytest.raises(ValueError, match=r"99\.yml, question 2, " + message):
        quiz.load("99", write(good, question))


def test_an_id_stands_for_one_question(write: Callable[..., Path]) -> None:
    message = r"99\.yml, question 2, id: '99-good' is taken by question 1; give each question its own\."
    with pytest.raises(ValueError, match=message):
        quiz.load("99", write(CHOICE, CHOICE))


def test_conversion_keeps_order_answers_and_explanations() -> None:
    (converted,) = quiz.to_jupyterquiz([CHOICE])
    assert converted == {
        "question": "A question?",
        "type": "multiple_choice",
        "answers": [
            {"answer": "Yes", "correct": True, "feedback": "Because."},
            {"answer": "No", "correct": False, "feedback": "Since."},
        ],
    }
    assert quiz.to_jupyterquiz([changed(CHOICE, kind="many")])[0]["type"] == "many_choice"


def test_marks_of_html_stay_text() -> None:
    question = option(text="a < b & <b>c</b>")
    assert quiz.to_jupyterquiz([question])[0]["answers"][1]["answer"] == "a &lt; b &amp; &lt;b&gt;c&lt;/b&gt;"


@pytest.mark.parametrize(("value", "tolerance"), [(0.7, 0.1), (5, 0), (-1e6, 0.5), (0, 0)])
def test_both_ends_of_a_tolerance_are_right(value: float, tolerance: float) -> None:
    (converted,) = quiz.to_jupyterquiz([changed(NUMERIC, value=value, tolerance=tolerance)])
    right, default = converted["answers"]
    low, high = right["range"]  # jupyterquiz: low <= answer < high
    for inside in (value - tolerance, value, value + tolerance):
        assert low <= inside < high
    for outside in (value - tolerance - 0.01, value + tolerance + 0.01):
        assert not low <= outside < high
    assert right["correct"] and default == {"type": "default", "feedback": NUMERIC["otherwise"]}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what jupyterquiz displays."""
    from jupyterquiz.dynamic import display as module

    parts: list[str] = []
    monkeypatch.setattr(module, "display", lambda item: parts.append(item.data))
    return parts


def test_a_quiz_is_shown_in_order_and_in_the_books_colors(write: Callable[..., Path], shown: list[str]) -> None:
    quiz.show("99", write(CHOICE, NUMERIC))
    markup, script = shown
    assert 'data-shuffleanswers="False"' in markup and 'data-shufflequestions="False"' in markup
    for name, color in quiz.COLORS.items():
        assert f"{name}: {color};" in markup
    assert json.dumps(quiz.to_jupyterquiz([CHOICE, NUMERIC])) in script


def test_two_runs_show_the_same_and_leave_the_generator_alone(
    write: Callable[..., Path], shown: list[str]
) -> None:
    folder = write(CHOICE)
    random.seed(3)
    expected = random.random()
    random.seed(3)
    quiz.show("99", folder)
    assert random.random() == expected
    quiz.show("99", folder)
    assert shown[:2] == shown[2:]
    quiz.show("99", folder, seed=1)
    assert shown[4] != shown[0], "another seed names another element"


def test_every_color_is_one_that_jupyterquiz_reads(write: Callable[..., Path], shown: list[str]) -> None:
    quiz.show("99", write(CHOICE))
    for name in quiz.COLORS:
        assert shown[0].count(f"{name}:") == 1 and f"var({name})" in shown[0]
