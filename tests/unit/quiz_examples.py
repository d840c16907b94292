"""Two good questions, one of each form, for the tests of quizzes."""

from __future__ import annotations

from typing import Any

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
