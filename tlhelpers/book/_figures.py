"""Drawings that the pages and the notebooks share."""

from __future__ import annotations

from tlhelpers import _paths


def figure(name: str) -> str:
    """Return the SVG of a drawing in ``book/figures`` as text, to be shown with ``IPython.display.HTML``.

    Raises:
        FileNotFoundError: when there is none of that name.
    """
    path = _paths.book_folder() / "figures" / name
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in path.parent.glob("*.svg"))) or "none"
        raise FileNotFoundError(f"no drawing {name!r} in {path.parent}; there are: {there}.")
    return path.read_text(encoding="utf-8")
