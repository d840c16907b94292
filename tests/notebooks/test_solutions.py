"""Slow: the code of every exercise's solution runs after its chapter, as a reader would run it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tools import build, notebooks

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path.stem for path in build.chapters(ROOT) if path.stem not in build.PLAIN]
SOLUTION = re.compile(r"^(?P<fence>`{3,}|:{3,})\{solution\} (?P<label>\S+)$(?P<body>.*?)^(?P=fence)$", re.M | re.S)
CODE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def solutions(text: str) -> dict[str, str]:
    """The code of each solution in a chapter's source, by the exercise's label."""
    return {found["label"]: "\n".join(CODE.findall(found["body"])) for found in SOLUTION.finditer(text)}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_exercise_has_a_solution(chapter: str) -> None:
    text = (ROOT / "book" / f"{chapter}.md").read_text(encoding="utf-8")
    exercises = re.findall(r"\{exercise\}.*\n:label: (\S+)", text)
    assert 2 <= len(exercises) <= 4 and list(solutions(text)) == exercises


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_solution_runs(chapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in build.SETTINGS.items():
        monkeypatch.setenv(name, value)
    source = ROOT / "book" / f"{chapter}.md"
    notebook = notebooks.read_source(source)
    code = [text for text in solutions(source.read_text(encoding="utf-8")).values() if text]
    assert code
    notebook.cells += [nbformat.v4.new_code_cell(text) for text in code]
    notebooks.execute(notebook, ROOT / "book")
