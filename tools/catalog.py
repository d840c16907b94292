"""What a chapter may point to: the book's pages, labels, references, and the repository they live in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pybtex.database import Entry, parse_file

TARGET = re.compile(r"^\(([\w:.-]+)\)=\s*$")
FIGURE = re.compile(r"(?:^\s*:?|figure:\s*\{.*\b)name:\s*[\"']?([\w:.-]+)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$")


class ConversionError(ValueError):
    """A construct that the converter does not know, or a name that leads nowhere."""


@dataclass(frozen=True)
class Book:
    """What a chapter may point to: other pages, labels, references, and where the repository is."""

    url: str
    branch: str
    titles: Mapping[str, str]
    labels: Mapping[str, tuple[str, str]]
    references: Mapping[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """The book, the chapter being converted, and the values that its cells glued."""

    book: Book
    chapter: str
    values: Mapping[str, str] = field(default_factory=dict)

    def fail(self, message: str) -> ConversionError:
        """An error that names the chapter."""
        return ConversionError(f"book/{self.chapter}.md: {message}")


def read_book(root: Path) -> Book:
    """Collect titles, labels, references and the repository's address from the checkout at `root`."""
    repository = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    titles: dict[str, str] = {}
    labels: dict[str, tuple[str, str]] = {}
    for page in sorted((root / "book").glob("*.md")):
        lines = page.read_text(encoding="utf-8").splitlines()
        titles[page.stem] = next((m[1] for m in map(HEADING.match, lines) if m), page.stem)
        for number, line in enumerate(lines):
            if target := TARGET.match(line):
                following = next((text for text in lines[number + 1 :] if text.strip()), "")
                heading = HEADING.match(following)
                labels[target[1]] = (page.stem, heading[1] if heading else titles[page.stem])
            elif exercise := re.match(r"^\s*[`:]{3,}\{exercise\}\s*(.*)", line):
                options = split_options(lines[number + 1 :])[0]
                if "label" in options:
                    labels[options["label"]] = (page.stem, exercise[1].strip() or "the exercise")
            elif figure := FIGURE.search(line):
                labels.setdefault(figure[1], (page.stem, "the figure"))
    bibliography = root / "book" / "references.bib"
    references = parse_file(str(bibliography)).entries if bibliography.exists() else {}
    return Book(repository["url"].rstrip("/"), repository.get("branch", "main"), titles, labels, references)


def split_options(body: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split a directive's body into its `:name: value` options and the rest."""
    options: dict[str, str] = {}
    number = 0
    while number < len(body) and (option := re.match(r"^\s*:([\w-]+):\s*(.*?)\s*$", body[number])):
        options[option[1]] = option[2]
        number += 1
    return options, body[number:]
