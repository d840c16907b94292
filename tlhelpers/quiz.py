"""Quizzes: questions from ``book/quizzes/NN.yml``, checked, shown with jupyterquiz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tlhelpers import profile

_TEXT = {"type": "string", "minLength": 1}
SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "objective", "question", "kind", "options"],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]{2}-[a-z0-9-]+$"},
            "objective": _TEXT,
            "question": _TEXT,
            "kind": {"enum": ["one", "many"]},
            "options": {
                "type": "array",
                "minItems": 2,
                "maxItems": 6,
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["text", "correct", "explanation"],
                    "properties": {"text": _TEXT, "correct": {"type": "boolean"}, "explanation": _TEXT},
                },
            },
        },
    },
}
COLORS = {
    "--jq-multiple-choice-bg": "#0f5c63",
    "--jq-many-choice-bg": "#0f5c63",
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
        folder: where the YAML files lie; the book's when ``None``.

    Raises:
        FileNotFoundError: when the chapter has no quiz.
        ValueError: naming file, question and field of the first fault.
    """
    path = (folder or profile.book_folder() / "quizzes") / f"{number}.yml"
    if not path.is_file():
        raise FileNotFoundError(f"no quiz {path.name} in {path.parent}; quizzes are named by chapter, as '01'.")
    questions = yaml.safe_load(path.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for error in sorted(validator.iter_errors(questions), key=lambda e: [str(p) for p in e.absolute_path]):
        where = list(error.absolute_path)
        question = f"question {where[0] + 1}" if where else "the file"
        field = ".".join(str(part) for part in where[1:]) or "as a whole"
        raise ValueError(f"{path.name}, {question}, {field}: {error.message}")
    seen: set[str] = set()
    for position, question in enumerate(questions, start=1):
        _check(question, f"{path.name}, question {position} ({question['id']})", seen)
    return questions


def _check(question: dict[str, Any], where: str, seen: set[str]) -> None:
    if question["id"] in seen:
        raise ValueError(f"{where}: the id stands twice; give each question its own.")
    seen.add(question["id"])
    right = sum(option["correct"] for option in question["options"])
    if question["kind"] == "one" and right != 1:
        raise ValueError(f"{where}: kind 'one' needs exactly one correct option, it has {right}.")
    if right == 0:
        raise ValueError(f"{where}: no option is correct.")
    texts = [option["text"] for option in question["options"]]
    for text in texts:
        if texts.count(text) > 1:
            raise ValueError(f"{where}: the option {text!r} stands twice.")


def to_jupyterquiz(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return checked questions in the form that jupyterquiz reads."""
    kinds = {"one": "multiple_choice", "many": "many_choice"}
    return [
        {
            "question": question["question"],
            "type": kinds[question["kind"]],
            "answers": [
                {"answer": option["text"], "correct": option["correct"], "feedback": option["explanation"]}
                for option in question["options"]
            ],
        }
        for question in questions
    ]


def show(number: str, folder: Path | None = None) -> None:
    """Show the quiz of a chapter, on the page or in a notebook; answers in the order of the file.

    Raises:
        FileNotFoundError, ValueError: as :func:`load`.
    """
    from jupyterquiz import display_quiz

    display_quiz(to_jupyterquiz(load(number, folder)), colors=COLORS, shuffle_answers=False, max_width=720)
