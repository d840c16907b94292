"""What the chapters claim, and what the post that started the book says: read here, shown by ``backmatter``.

Nothing is typed by hand twice: claims are read from the executed chapters, the post's sentences from
``book/factcheck.yml``; how a claim looks is a matter of ``tlhelpers.book._render`` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tlhelpers.book import Claim, _render
from tools import records

#: What was found about a sentence of the post.
FACTS = {"right": "Right", "imprecise": "Imprecise", "wrong": "Wrong", "measured": "Measured here"}
SLUG = re.compile(r"\d\d(-[a-z0-9]+)+")


@dataclass(frozen=True)
class Ledger:
    """Claims by slug; chapters of the contents by their two digits: file stem and title; those without a run."""

    claims: dict[str, Claim] = field(default_factory=dict)
    chapters: dict[str, tuple[str, str]] = field(default_factory=dict)
    not_executed: list[str] = field(default_factory=list)

    def link(self, slug: str) -> str:
        """Address of a claim's box on its chapter's page, from a page beside it."""
        return f"{self.chapters[slug[:2]][0]}.html#claim-{slug}"

    def missing(self, slug: str, where: str) -> str:
        """Say what is wrong with a claim that ``where`` names; empty when it or its chapter is yet to be written.

        Two digits alone stand for the claim of a chapter to come.
        """
        if re.fullmatch(r"\d\d", slug):
            written = slug in self.chapters
            return f"{where}: chapter {slug} is written now; name its claim instead." if written else ""
        if not SLUG.fullmatch(slug):
            return f"{where}: {slug!r} is no claim; write two digits and words, such as 01-scratch-61."
        if slug in self.claims or slug[:2] not in self.chapters:
            return ""
        there = ", ".join(other for other in self.claims if other[:2] == slug[:2]) or "none"
        return f"{where}: no claim {slug!r} in {self.chapters[slug[:2]][0]} (there: {there}). Correct the name."

    def tally(self) -> str:
        """One sentence that counts the claims by verdict."""
        verdicts = [claim.verdict for claim in self.claims.values()]
        chapters = len({slug[:2] for slug in self.claims})
        inside = f", {n} lie inside their margin" if (n := verdicts.count("inside")) else ""
        return (
            f"{len(verdicts)} claims in {chapters} chapters: {verdicts.count('holds')} hold, "
            f"{verdicts.count('fails')} do not, {verdicts.count('open')} are open{inside}."
        )


def files_of(toc: object) -> Iterator[str]:
    """Every ``file`` of a parsed _toc.yml, in order."""
    if isinstance(toc, dict):
        if "file" in toc:
            yield str(toc["file"])
        for value in toc.values():
            yield from files_of(value)
    elif isinstance(toc, list):
        for value in toc:
            yield from files_of(value)


@cache  # of one build: each page asks for it
def read(root: Path) -> Ledger:
    """Collect chapters and claims of a checkout whose chapters were executed into ``_build/executed``."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    ledger = Ledger()
    for file in files_of(toc):
        stem = Path(file).name
        if not re.match(r"\d\d-", stem):
            continue
        title = re.search(r"^# (.+)$", (root / f"{file}.md").read_text(encoding="utf-8"), re.MULTILINE)
        ledger.chapters[stem[:2]] = (stem, title[1] if title else stem)
        executed = root / "_build" / "executed" / f"{stem}.ipynb"
        if executed.is_file():
            ledger.claims.update({claim.slug: claim for claim in records.claims(executed)})
        else:
            ledger.not_executed.append(stem)
    return ledger


def read_facts(root: Path) -> list[dict[str, Any]]:
    """Return the rows of book/factcheck.yml."""
    rows: list[dict[str, Any]] = yaml.safe_load((root / "book" / "factcheck.yml").read_text(encoding="utf-8"))
    return rows


def verdict_on(row: dict[str, Any], ledger: Ledger) -> str:
    """What was found about a sentence of the post, in words."""
    waits = row["verdict"] == "measured" and not set(row["claims"]) & set(ledger.claims)
    return "Not measured yet" if waits else FACTS[row["verdict"]]


def answer(slug: str, ledger: Ledger) -> str:
    """A claim that answers a sentence of the post, as HTML."""
    if slug in ledger.claims:
        return _render.ledger_answer(ledger.claims[slug], ledger.link(slug))
    if slug[:2] in ledger.chapters:
        return f"{slug}: no such claim"
    return f"Chapter {slug[:2]} will answer; it is not written yet."


def filter_by(names: dict[str, str], of: str) -> str:
    """Buttons that a script brings to life, as HTML; without it they stay hidden, and all cards are there."""
    options = "".join(
        f'<button type="button" data-show="{key}" aria-pressed="false">{text.split(":")[0]}</button>'
        for key, text in names.items()
    )
    return (
        f'<div class="tl-filter" id="filter-{of}" role="group" aria-label="Show only" hidden>'
        f'<button type="button" data-show="" aria-pressed="true">All</button>{options}'
        '<span role="status" aria-live="polite"></span></div>'
    )
