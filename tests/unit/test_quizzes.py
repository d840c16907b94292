"""A quiz is right when it is checked, or says which file, question, field and value to mend, and how."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from quiz_examples import CHOICE, NUMERIC
from scipy.stats import chisquare

from tools import quizzes

FILES = sorted(quizzes.FOLDER.rglob("*.yml"))
CHAPTERS = sorted(quizzes.FOLDER.glob("*.yml"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write questions as quiz 99 and return its path."""

    def save(*questions: Any) -> Path:
        path = tmp_path / "99.yml"
        path.write_text(yaml.safe_dump(list(questions)))
        return path

    return save


def changed(base: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(base), **fields}


def option(**fields: Any) -> dict[str, Any]:
    """Give a question whose second option differs as told; ``None`` leaves the field out."""
    question = copy.deepcopy(CHOICE)
    second = {**question["options"][1], **fields}
    question["options"][1] = {name: value for name, value in second.items() if value is not None}
    return question


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
class TestTheBooksQuizzes:
    def test_have_six_questions_or_more(self, path: Path) -> None:
        assert len(quizzes.check(path)) >= 6

    def test_do_not_give_the_answer_away_by_its_place(self, path: Path) -> None:
        ones = [question for question in quizzes.check(path) if question["kind"] == "one"]
        places = [[option["correct"] for option in question["options"]].index(True) for question in ones]
        assert len(set(places)) >= 3, f"the right answers stand at {places}"

    def test_leave_the_verdict_to_the_page(self, path: Path) -> None:
        # The page puts "Right." or "Not yet." before each explanation.
        for question in quizzes.check(path):
            for one in question.get("options", []):
                assert not re.match(
                    r"(right|correct|wrong|incorrect|yes|no|not yet)\b[.:,;]", one["explanation"], re.I
                )

    def test_say_when_several_options_are_right(self, path: Path) -> None:
        # The page's hint counts on it.
        for question in quizzes.check(path):
            if question["kind"] == "many":
                assert sum(option["correct"] for option in question["options"]) > 1
                assert "all that apply" in question["question"]


class TestAReaderWhoKnowsNothing:
    """What the form of the questions gives away, over the whole book."""

    @pytest.fixture
    def questions(self) -> list[dict[str, Any]]:
        return [question for path in FILES for question in quizzes.check(path)]

    @pytest.fixture
    def ones(self, questions: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        return [question["options"] for question in questions if question["kind"] == "one"]

    def test_gains_nothing_by_the_longest_option(self, ones: list[list[dict[str, Any]]]) -> None:
        found = [max(options, key=lambda one: len(one["text"]))["correct"] for options in ones]
        assert 0.15 <= sum(found) / len(found) <= 0.4

    def test_gains_nothing_by_the_place(self, ones: list[list[dict[str, Any]]]) -> None:
        places = Counter([one["correct"] for one in options].index(True) for options in ones if len(options) == 4)
        assert chisquare([places[place] for place in range(4)]).pvalue > 0.05, places

    def test_gains_nothing_by_the_first_of_many(self, questions: list[dict[str, Any]]) -> None:
        first = [question["options"][0]["correct"] for question in questions if question["kind"] == "many"]
        assert 0.3 <= sum(first) / len(first) <= 0.65

    def test_gains_little_by_striking_options_with_a_reason_or_a_sweeping_word(
        self, ones: list[list[dict[str, Any]]]
    ) -> None:
        given_away = re.compile(r"\b(because|since|so that|always|never|nothing|only|any|none)\b", re.I)
        right = 0
        for options in ones:
            left = [one for one in options if not given_away.search(one["text"])] or options
            right += max(left, key=lambda one: len(one["text"]))["correct"]
        assert right / len(ones) <= 0.4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_quiz_holds_markdown_which_would_be_shown_as_it_is(path: Path) -> None:
    assert re.findall(r"`[^`]*`?|\*\w[^*]*\*", path.read_text(encoding="utf-8")) == []


def test_every_quiz_of_the_book_is_right() -> None:
    assert {"01", "07"} <= {path.stem for path in CHAPTERS}
    assert quizzes.check_all() == sum(path.read_text(encoding="utf-8").count("\n- id:") for path in FILES) > 100


def test_the_schema_is_one_that_editors_can_read() -> None:
    jsonschema.Draft202012Validator.check_schema(quizzes.SCHEMA)
    whole = jsonschema.Draft202012Validator(quizzes.SCHEMA)
    assert whole.is_valid([CHOICE, NUMERIC])
    assert not whole.is_valid([]) and not whole.is_valid([changed(CHOICE, kind="numeric")])
    for path in FILES:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert (path.parent / first.removeprefix("# yaml-language-server: $schema=")).samefile(
            Path(quizzes.__file__).with_name("quizzes.schema.json")
        )


def test_a_good_quiz_loads_unchanged(write: Callable[..., Path]) -> None:
    assert quizzes.check(write(CHOICE, NUMERIC)) == [CHOICE, NUMERIC]


def test_many_may_have_one_right_option(write: Callable[..., Path]) -> None:
    assert quizzes.check(write(changed(CHOICE, kind="many")))[0]["kind"] == "many"


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
        quizzes.check(tmp_path / "99.yml")


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
        (changed(CHOICE, id="7-Bad"), r"id: '7-Bad' does not match .*such as '05-batchnorm'"),
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
        quizzes.check(write(good, question))


def test_an_id_stands_for_one_question(write: Callable[..., Path]) -> None:
    message = r"99\.yml, question 2, id: '99-good' is taken by question 1; give each question its own\."
    with pytest.raises(ValueError, match=message):
        quizzes.check(write(CHOICE, CHOICE))
