"""Where files lie, and whether they are the expected ones."""

from __future__ import annotations

import hashlib
from pathlib import Path


def book_folder() -> Path:
    """Return the folder that holds ``results/`` and ``quizzes/``: the repository's, else the wheel's copy."""
    here = Path(__file__).resolve().parent
    repository = here.parent / "book"
    return repository if (repository / "index.md").is_file() else here / "_book"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checked(path: Path, sha256: str, advice: str) -> Path:
    """Return ``path`` when the file has that SHA-256 digest.

    Raises:
        ValueError: with both digests and ``advice`` when it has another.
    """
    if (digest := sha256_of(path)) != sha256:
        raise ValueError(f"{path.name}: checksum mismatch, expected {sha256}, found {digest}. {advice}")
    return path
