"""How the stored tables were made: one card a table, from the JSON files that lie beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat


def used_by(root: Path, name: str) -> list[str]:
    """File stems of the chapters that read a stored table."""
    call = re.compile(rf"results\.load\(\s*[\"']{re.escape(name)}[\"']")
    pages = sorted(root.glob("book/[0-9][0-9]-*.md"))
    return [page.stem for page in pages if call.search(page.read_text(encoding="utf-8"))]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def table(path: Path, root: Path) -> str:
    """One stored table's provenance as MyST Markdown."""
    made = json.loads(path.read_text(encoding="utf-8"))
    with path.with_suffix(".csv").open(encoding="utf-8") as file:
        rows = sum(1 for _ in file) - 1
    chapters = ", ".join(f"[{stem[:2]}]({stem}.md)" for stem in used_by(root, path.stem)) or "no chapter by name"
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    seconds = made.get("seconds")
    minutes = f"{_count(round(seconds / 60), 'minute')} in all" if seconds else "not noted"
    lines = [
        ("Used in", chapters),
        ("Command", f"`{made['command']}`"),
        ("Rows", f"{rows:,}"),
        ("Seeds", ", ".join(str(seed) for seed in made["seeds"])),
        ("Computing", f"{minutes}, {_count(made['threads'], 'thread')}, {made['machine']}"),
        ("Code", f"`{made['code']}`"),
        ("Packages", f"Python {made['python']}, {packages}; profile {made['profile']}"),
    ]
    body = "\n".join(f"- **{name}:** {text}" for name, text in lines)
    return f"::::{{container}} tl-card\n:name: table-{path.stem}\n\n**{path.stem}**\n\n{body}\n\n::::\n"


def tables(root: Path) -> str:
    """All stored tables, by name."""
    return "\n".join(table(path, root) for path in sorted((root / "book" / "results").glob("*.json")))


def seconds(root: Path, chapters: dict[str, tuple[str, str]]) -> str:
    """One sentence: how long each chapter took when it was executed for these pages."""
    spent = {}
    for number, (stem, _) in sorted(chapters.items()):
        path = root / "_build" / "executed" / f"{stem}.ipynb"
        made = nbformat.read(path, 4).metadata.get("book", {}) if path.is_file() else {}
        if "seconds" in made:
            spent[number] = f"{number}: {made['seconds']:.0f}"
    return (
        f"Seconds by chapter, on a machine that may have had other work: {', '.join(spent.values())}."
        if spent
        else ""
    )
