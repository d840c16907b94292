"""Quizzes: questions from ``book/quizzes/NN.yml``, shown with jupyterquiz."""

from __future__ import annotations

import html
from typing import Any

from tlhelpers import _paths
from tlhelpers.book import _render


def quiz(number: str, *, folder: str = "", only: str | None = None) -> None:
    """Show the quiz of a chapter, on the page or in a notebook; answers in the order of the file.

    Args:
        number: of the chapter, two digits.
        folder: below ``book/quizzes``, such as ``cases``.
        only: the id of one question, to show it alone.

    Raises:
        FileNotFoundError: when the chapter has no quiz.
        ValueError: when it has no question ``only``.
    """
    _render.show({"quiz": {"number": number, "folder": folder, "only": only}})


def load(number: str, folder: str = "", only: str | None = None) -> list[dict[str, Any]]:
    """Return questions as they are written; arguments and errors as for :func:`quiz`.

    That they are right is checked where they are edited, by ``tools/quizzes.py``.
    """
    import yaml

    path = _paths.book_folder() / "quizzes" / folder / f"{number}.yml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.yml"))) or "none"
        raise FileNotFoundError(
            f"no quiz {path.name} in {path.parent}; quizzes are named by chapter, as '01' (there: {there})."
        )
    questions: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    chosen = [question for question in questions if only in (None, question["id"])]
    if not chosen:
        there = ", ".join(question["id"] for question in questions)
        raise ValueError(f"{path.name} has no question {only!r}; it has {there}.")
    return chosen


def to_jupyterquiz(question: dict[str, Any]) -> dict[str, Any]:
    """Return a question in the form that jupyterquiz reads, with HTML's marks in the texts escaped."""

    def plain(text: str) -> str:
        # jupyterquiz writes every text with innerHTML, where "a < b" would lose its end.
        return html.escape(text.strip(), quote=False)

    kind = {"one": "multiple_choice", "many": "many_choice", "numeric": "numeric"}[question["kind"]]
    answers: list[dict[str, Any]] = [
        {"answer": plain(option["text"]), "correct": option["correct"], "feedback": plain(option["explanation"])}
        for option in question.get("options", [])
    ]
    if kind == "numeric":
        # jupyterquiz leaves out the upper end of a range; the margin keeps both in, whatever the rounding.
        margin = question["tolerance"] + 1e-9 * max(1.0, abs(question["value"]))
        ends = [question["value"] - margin, question["value"] + margin]
        answers = [
            {"type": "range", "range": ends, "correct": True, "feedback": plain(question["explanation"])},
            {"type": "default", "feedback": plain(question["otherwise"])},
        ]
    return {"question": plain(question["question"]), "type": kind, "answers": answers}
