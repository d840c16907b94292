"""Quizzes: questions from ``book/quizzes/NN.yml``, checked, shown with jupyterquiz."""

from __future__ import annotations

import html
import math
import random
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tlhelpers import profile

# Something besides white space: an explanation of one blank explains nothing.
_TEXT = {"type": "string", "pattern": r"\S"}
_COMMON: dict[str, Any] = {
    "id": {"type": "string", "pattern": "^[0-9]{2}(-[a-z0-9]+)+$"},
    "objective": _TEXT,
    "question": _TEXT,
    "kind": {"enum": ["one", "many", "numeric"]},
}
_OPTION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text", "correct", "explanation"],
    "properties": {"text": _TEXT, "correct": {"type": "boolean"}, "explanation": _TEXT},
}
CHOICE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [*_COMMON, "options"],
    "properties": {
        **_COMMON,
        "options": {"type": "array", "minItems": 2, "maxItems": 6, "items": _OPTION},
    },
}
NUMERIC_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [*_COMMON, "value", "tolerance", "explanation", "otherwise"],
    "properties": {
        **_COMMON,
        "value": {"type": "number"},
        "tolerance": {"type": "number", "minimum": 0},
        "explanation": _TEXT,
        "otherwise": _TEXT,
    },
}
# White cards on the book's accent; the page's stylesheet replaces them by its own in light and dark.
COLORS = {
    "--jq-multiple-choice-bg": "#0f5c63",
    "--jq-many-choice-bg": "#0f5c63",
    "--jq-numeric-bg": "#0f5c63",
    "--jq-numeric-input-bg": "#ffffff",
    "--jq-numeric-input-label": "#101010",
    "--jq-numeric-input-shadow": "#0f5c63",
    "--jq-mc-button-bg": "#ffffff",
    "--jq-mc-button-border": "#c9d6d6",
    "--jq-mc-button-inset-shadow": "#0f5c63",
    "--jq-incorrect-color": "#a63d00",
    "--jq-correct-color": "#00694b",
    "--jq-text-color": "#ffffff",
}


def load(number: str, folder: Path | None = None) -> list[dict[str, Any]]:
    """Return the questions of a chapter, checked.

    Args:
        number: of the chapter, two digits.
        folder: where the YAML files lie; the book's (in an installed package, its copy) when ``None``.

    Raises:
        FileNotFoundError: when the chapter has no quiz.
        ValueError: naming file, question, field and value of the first fault, and what to do about it.
    """
    folder = folder or profile.book_folder() / "quizzes"
    path = folder / f"{number}.yml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.yml"))) or "none"
        raise FileNotFoundError(
            f"no quiz {path.name} in {path.parent}; quizzes are named by chapter, as '01' (there: {there})."
        )
    try:
        questions = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path.name} is not valid YAML: {error}. Write texts that hold a colon after '>-' or in quotes."
        ) from error
    if not isinstance(questions, list) or not questions:
        raise ValueError(
            f"{path.name}, the file: it holds {_short(questions)}; make it a list of questions, each beginning "
            "with '- id:'."
        )
    seen: dict[str, int] = {}
    for position, question in enumerate(questions, start=1):
        where = f"{path.name}, question {position}"
        _check_schema(question, where)
        _check_rules(question, where, str(number), seen)
        seen[question["id"]] = position
    return questions


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _check_schema(question: Any, where: str) -> None:
    numeric = isinstance(question, dict) and question.get("kind") == "numeric"
    validator = jsonschema.Draft202012Validator(NUMERIC_SCHEMA if numeric else CHOICE_SCHEMA)
    # Top of the question first: a wrong kind explains the faults below it.
    faults = sorted(validator.iter_errors(question), key=lambda e: (len(e.absolute_path), str(e.absolute_path)))
    if faults:
        fault = faults[0]
        field = ".".join(str(part) for part in fault.absolute_path) or "as a whole"
        message = f"{where}, {field}: {fault.message}"
        if (value := _short(fault.instance)) not in message:
            message += f" (found {value})"
        raise ValueError(f"{message}; {_advice(fault)}")


def _advice(fault: jsonschema.ValidationError) -> str:
    field = fault.absolute_path[-1] if fault.absolute_path else ""
    match fault.validator:
        case "required":
            return "add it."
        case "additionalProperties":
            return f"remove it or correct its spelling; allowed are {', '.join(fault.schema['properties'])}."
        case "enum":
            return f"use one of {', '.join(fault.validator_value)}."
        case "minItems" | "maxItems":
            return "give 2 to 6 options."
        case "minimum":
            return "use 0 for an exact answer, else how far an answer may be off."
        case "pattern" if field == "id":
            return "use the chapter's two digits and a slug in lower case, such as '07-batchnorm'."
        case "pattern":
            return "write at least one sentence." if field == "explanation" else "write some text."
        case "type" if fault.validator_value == "boolean":
            return "write true or false, without quotes."
        case "type" if fault.validator_value == "string":
            return "write text; put it in quotes if YAML takes it for something else."
        case "type" if fault.validator_value == "number":
            return "write a number, without quotes."
    return f"make it a {'list' if fault.validator_value == 'array' else 'mapping with the fields of a question'}."


def _check_rules(question: dict[str, Any], where: str, number: str, seen: dict[str, int]) -> None:
    """Check what a schema cannot say; raise ValueError on the first fault."""
    name = question["id"]
    if name in seen:
        raise ValueError(f"{where}, id: {name!r} is taken by question {seen[name]}; give each question its own.")
    if not name.startswith(f"{number}-"):
        raise ValueError(f"{where}, id: {name!r} is of another chapter; begin it with '{number}-'.")
    for field, text in _texts(question):
        # No formulas here: the page typesets its math while it is built, the quiz is drawn later in the browser.
        if any(mark in text for mark in ("$", "\\(", "\\[")):
            raise ValueError(f"{where}, {field}: {_short(text)} holds TeX; write the formula as plain text.")
    if question["kind"] == "numeric":
        for field in ("value", "tolerance"):
            if not math.isfinite(question[field]):
                raise ValueError(f"{where}, {field}: {question[field]} is not finite; write an ordinary number.")
        return
    right = sum(option["correct"] for option in question["options"])
    if question["kind"] == "one" and right != 1:
        raise ValueError(
            f"{where}, options: kind 'one' needs exactly one correct option, it has {right}; "
            f"{'mark the right one' if right == 0 else 'correct the others or use many'}."
        )
    if right == 0:
        raise ValueError(f"{where}, options: kind 'many' needs a correct option, it has 0; mark the right ones.")
    first: dict[str, int] = {}
    for position, option in enumerate(question["options"]):
        text = " ".join(option["text"].casefold().split())
        if text in first:
            raise ValueError(
                f"{where}, options.{position}.text: {_short(option['text'])} repeats options.{first[text]}; "
                "reword or remove one."
            )
        first[text] = position


def _texts(question: dict[str, Any]) -> list[tuple[str, str]]:
    fields = ("objective", "question", "explanation", "otherwise")
    found = [(field, question[field]) for field in fields if field in question]
    for position, option in enumerate(question.get("options", [])):
        found += [(f"options.{position}.{field}", option[field]) for field in ("text", "explanation")]
    return found


def to_jupyterquiz(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return checked questions in the form that jupyterquiz reads, with HTML's marks in the texts escaped."""

    def plain(text: str) -> str:
        # jupyterquiz writes every text with innerHTML, where "a < b" would lose its end.
        return html.escape(text.strip(), quote=False)

    converted: list[dict[str, Any]] = []
    for question in questions:
        answers: list[dict[str, Any]]
        if question["kind"] == "numeric":
            kind = "numeric"
            # jupyterquiz leaves out the upper end of a range; the margin keeps both in, whatever the rounding.
            margin = question["tolerance"] + 1e-9 * max(1.0, abs(question["value"]))
            ends = [question["value"] - margin, question["value"] + margin]
            answers = [
                {"type": "range", "range": ends, "correct": True, "feedback": plain(question["explanation"])},
                {"type": "default", "feedback": plain(question["otherwise"])},
            ]
        else:
            kind = {"one": "multiple_choice", "many": "many_choice"}[question["kind"]]
            answers = [
                {
                    "answer": plain(option["text"]),
                    "correct": option["correct"],
                    "feedback": plain(option["explanation"]),
                }
                for option in question["options"]
            ]
        converted.append({"question": plain(question["question"]), "type": kind, "answers": answers})
    return converted


def show(number: str, folder: Path | None = None, *, seed: int = 0) -> None:
    """Show the quiz of a chapter, on the page or in a notebook; answers in the order of the file.

    Args:
        number: of the chapter, two digits.
        folder: as for :func:`load`.
        seed: names the quiz's HTML element, the same in each run; two quizzes of one page need two names.

    Raises:
        FileNotFoundError, ValueError: as :func:`load`.
    """
    from jupyterquiz import display_quiz

    questions = to_jupyterquiz(load(number, folder))
    # jupyterquiz draws the element's name from Python's generator: fix the draw, and leave the reader's as it was.
    state = random.getstate()
    try:
        random.seed(f"quiz {number} {seed}")
        display_quiz(questions, colors=COLORS, shuffle_answers=False, max_width=720)
    finally:
        random.setstate(state)
