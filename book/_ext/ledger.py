"""The claims ledger: what the executed chapters found, beside what the post that started the book says.

Nothing here is typed by hand twice: claims are read from ``_build/executed``, the post's sentences from
``book/factcheck.yml``. Text is returned as MyST Markdown, for the page to hold.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # Sphinx is started from anywhere
    sys.path.insert(0, str(ROOT))

from tlhelpers.claims import OPEN, Claim, collect  # noqa: E402

#: The outcome of a claim: a word for the reader, and one for the style sheet.
OUTCOMES: dict[bool | str, str] = {True: "holds", False: "fails", OPEN: "open"}
SHOWN = {"holds": "Holds", "fails": "Does not hold", "open": "Open: these runs cannot tell"}
#: What was found about a sentence of the post.
VERDICTS = {"right": "Right", "imprecise": "Imprecise", "wrong": "Wrong", "measured": "Measured here"}
CLAIM_ID = re.compile(r"\d\d(-[a-z0-9]+)+")


@dataclass(frozen=True)
class Ledger:
    """Claims by id, and the chapters of the contents by their two digits: file stem and title."""

    claims: dict[str, Claim] = field(default_factory=dict)
    chapters: dict[str, tuple[str, str]] = field(default_factory=dict)

    def link(self, name: str) -> str:
        """Address of a claim's box on its chapter's page, from a page beside it."""
        return f"{self.chapters[name[:2]][0]}.html#claim-{name}"


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


def read(root: Path, complain: Callable[[str], None]) -> Ledger:
    """Collect chapters and claims of a checkout; ``complain`` hears of a chapter that was not executed."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found = Ledger()
    for file in files_of(toc):
        stem = Path(file).name
        if not re.match(r"\d\d-", stem):
            continue
        title = re.search(r"^# (.+)$", (root / f"{file}.md").read_text(encoding="utf-8"), re.MULTILINE)
        found.chapters[stem[:2]] = (stem, title[1] if title else stem)
        executed = root / "_build" / "executed" / f"{stem}.ipynb"
        if not executed.is_file():
            complain(
                f"{file}.md was not executed: there is no {executed.name} in _build/executed. Run `make book`."
            )
            continue
        found.claims.update({one.id: one for one in collect(executed)})
    return found


def missing(ledger: Ledger, name: str, where: str) -> str:
    """Say what is wrong with a claim that ``where`` names; empty when it is there or its chapter is not written.

    Two digits alone stand for the claim of a chapter to come.
    """
    if re.fullmatch(r"\d\d", name):
        return (
            f"{where}: chapter {name} is written now; name its claim instead." if name in ledger.chapters else ""
        )
    if not CLAIM_ID.fullmatch(name):
        return f"{where}: {name!r} is no claim id; write two digits and a slug, such as 01-scratch-61."
    if name in ledger.claims or name[:2] not in ledger.chapters:
        return ""
    there = ", ".join(one for one in ledger.claims if one[:2] == name[:2]) or "none"
    return f"{where}: no claim {name!r} in {ledger.chapters[name[:2]][0]} (there: {there}). Correct the id."


def read_facts(root: Path) -> list[dict[str, Any]]:
    """Return the rows of book/factcheck.yml."""
    rows: list[dict[str, Any]] = yaml.safe_load((root / "book" / "factcheck.yml").read_text(encoding="utf-8"))
    return rows


def fact_card(row: dict[str, Any], ledger: Ledger) -> str:
    """One sentence of the post as MyST Markdown: what it says, what is so, sources, and the claims that answer."""
    waits = row["verdict"] == "measured" and not set(row["claims"]) & set(ledger.claims)
    verdict = "Not measured yet" if waits else VERDICTS[row["verdict"]]
    answers = "\n".join(f"<li>{_answer(name, ledger)}</li>" for name in row.get("claims", []))
    listed = f'```{{raw}} html\n<ul class="tl-answers">\n{answers}\n</ul>\n```\n' if answers else ""
    return (
        f"::::{{container}} tl-card tl-is-{row['verdict']}\n:name: fact-{row['number']}\n\n"
        f"**{row['number']}. {verdict}.** The post: {row['says'].strip()}\n\n"
        f"{row['is'].strip()} {{cite:p}}`{','.join(row['sources'])}`\n\n{listed}::::\n"
    )


def _answer(name: str, ledger: Ledger) -> str:
    if name in ledger.claims:
        one = ledger.claims[name]
        outcome = OUTCOMES[one.holds]
        return (
            f'<a href="{ledger.link(name)}">{name}</a> '
            f'<span class="tl-outcome tl-{outcome}">{one.verdict}.</span> '
            f"{html.escape(one.text)} <em>{one.label}:</em> {html.escape(one.measured)}"
        )
    if name[:2] in ledger.chapters:
        return f"{name}: no such claim"
    return f"Chapter {name[:2]} will answer; it is not written yet."


def claim_card(one: Claim, ledger: Ledger) -> str:
    """One claim as HTML, with a link to the cell that made it."""
    outcome = OUTCOMES[one.holds]
    quoted = f"<dt>Quoted</dt><dd>{html.escape(one.quoted)}</dd>" if one.quoted else ""
    relied = "" if one.relied else "Reported; the chapter's text does not rest on it. "
    return (
        f'<div class="tl-card tl-is-{outcome}" id="ledger-{one.id}">'
        f'<p><strong class="tl-outcome tl-{outcome}">{one.verdict}.</strong> {html.escape(one.text)}</p>'
        f"<dl>{quoted}<dt>{one.label}</dt><dd>{html.escape(one.measured)}</dd></dl>"
        f'<p class="tl-note">{relied}<a href="{ledger.link(one.id)}">{one.id}: to the cell</a></p></div>'
    )


def facts(rows: Iterable[dict[str, Any]], ledger: Ledger) -> str:
    """All rows as MyST Markdown, below a filter that a script brings to life."""
    return _filter("facts", VERDICTS) + "\n".join(fact_card(row, ledger) for row in rows)


def claims(ledger: Ledger) -> str:
    """All claims as MyST Markdown, chapter by chapter."""
    parts = [_filter("claims", SHOWN)]
    for number, (_, title) in sorted(ledger.chapters.items()):
        cards = "\n".join(claim_card(one, ledger) for one in ledger.claims.values() if one.id[:2] == number)
        if cards:
            parts.append(f"### {number} {title}\n\n```{{raw}} html\n{cards}\n```\n")
    return "\n".join(parts)


def tally(ledger: Ledger) -> str:
    """One sentence that counts the claims by outcome."""
    outcomes = [OUTCOMES[one.holds] for one in ledger.claims.values()]
    return (
        f"{len(outcomes)} claims in {len({name[:2] for name in ledger.claims})} chapters: "
        f"{outcomes.count('holds')} hold, {outcomes.count('fails')} do not, {outcomes.count('open')} are open."
    )


def _filter(of: str, names: dict[str, str]) -> str:
    options = "".join(
        f'<button type="button" data-show="{key}" aria-pressed="false">{text.split(":")[0]}</button>'
        for key, text in names.items()
    )
    # Hidden until the script can serve it: without it, all cards are there anyway.
    return (
        f'```{{raw}} html\n<div class="tl-filter" id="filter-{of}" role="group" aria-label="Show only" hidden>'
        f'<button type="button" data-show="" aria-pressed="true">All</button>{options}'
        f'<span role="status" aria-live="polite"></span></div>\n```\n\n'
    )
