"""The final quiz: questions of ``book/quizzes/final``, drawn by jupyterquiz as the chapters' quizzes are."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import ledger  # noqa: F401  (puts the checkout on the path)

from tlhelpers import quiz


def html_of(part: str, root: Path) -> str:
    """Return the questions of a part (two digits) as a raw block of MyST Markdown.

    Raises what `tlhelpers.quiz.load` raises.
    """
    shown: list[Any] = []
    with mock.patch("jupyterquiz.dynamic.display.display", shown.append):
        quiz.show(part, root / "book" / "quizzes" / "final")
    page, script = shown
    # jupyterquiz leaves its element open, and declares its classes anew with each quiz: a block keeps them apart.
    return f"```{{raw}} html\n{page.data}</div>\n<script>\n{{\n{script.data}\n}}\n</script>\n```\n"
