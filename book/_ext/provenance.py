"""How the stored tables were made, and how long the chapters took."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat

from tlhelpers.book import _results


def used_by(root: Path, name: str) -> list[str]:
    """File stems of the chapters that read a stored table."""
    pages = sorted(root.glob("book/[0-9][0-9]-*.md"))
    # An argument before the name may be a call itself.
    read = re.compile(rf"\b(?:results|card|check)\((?:[^()]|\([^()]*\))*?[\"']{re.escape(name)}[\"']")
    return [page.stem for page in pages if read.search(page.read_text(encoding="utf-8"))]


def table(name: str, root: Path) -> str:
    """What is known of a stored table as HTML: a line, and the rest in a fold."""
    facts = {term: html.escape(text) for term, text in _results.facts(name).items()}
    chapters = ", ".join(f'<a href="{stem}.html">{stem[:2]}</a>' for stem in used_by(root, name)) or "none"
    facts["Command"] = f"<code>{facts['Command']}</code>"
    details = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in facts.items())
    line = f"<strong>{name}</strong>: {facts['Rows']} rows, seeds {facts['Seeds']}, {facts['Computing']}"
    return (
        f'<details class="tl-card" id="table-{name}"><summary>{line}</summary>'
        f"<dl><dt>Chapters</dt><dd>{chapters}</dd>{details}</dl></details>"
    )


def tables(root: Path) -> str:
    """All stored tables, by name, as HTML."""
    return "\n".join(table(path.stem, root) for path in sorted((root / "book" / "results").glob("*.csv")))


def seconds(root: Path, chapters: dict[str, tuple[str, str]]) -> str:
    """One sentence: how long each chapter took when it was executed."""
    spent = {}
    for number, (stem, _) in sorted(chapters.items()):
        path = root / "_build" / "executed" / f"{stem}.ipynb"
        made = nbformat.read(path, 4).metadata.get("book", {}) if path.is_file() else {}
        if "seconds" in made:
            spent[number] = f"{number}: {made['seconds']:.0f}"
    if not spent:
        return ""
    return f"Seconds by chapter, on a machine that may have had other work: {', '.join(spent.values())}."
