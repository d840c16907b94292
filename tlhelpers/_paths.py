"""Where the book's own files lie."""

from __future__ import annotations

from pathlib import Path


def book_folder() -> Path:
    """Return the folder that holds ``results/`` and ``quizzes/``: the repository's, else the wheel's copy."""
    here = Path(__file__).resolve().parent
    repository = here.parent / "book"
    return repository if (repository / "index.md").is_file() else here / "_book"
