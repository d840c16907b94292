"""Sphinx extension: what the pages at the end of the book show of chapters, claims and stored tables.

Directives: ``claims``, ``facts``, ``tally``, ``tables``, ``protocol``, ``endpoints``, ``attacks``, ``seconds``,
and ``quiz`` for a part of the final quiz.
Roles ``{claim}`` and ``{measured}`` point to a claim and repeat what it measured::

    {claim}`01-frozen-beats-scratch: holds` {measured}`01-frozen-beats-scratch`

A text says which verdict it relies on. Where the run says otherwise, or where a written chapter has no such claim,
the build stops with one message.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ledger
import provenance
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from tlhelpers.book import _render

#: What a sentence that denies a claim relies on.
DENIED = {"fails": "the contrary fails"}
log = logging.getLogger(__name__)


def raw(markup: str) -> nodes.raw:
    """HTML as it is."""
    return nodes.raw("", markup, format="html")


class Made(SphinxDirective):
    """A directive of which subclasses make the nodes, from the checkout and what its chapters claim."""

    @property
    def root(self) -> Path:
        """The checkout that is built."""
        return Path(self.env.srcdir)

    @property
    def ledger(self) -> ledger.Ledger:
        """The claims of this build."""
        return ledger.read(self.root)

    def parsed(self, text: str, parent: nodes.Element) -> nodes.Element:
        """Parse Markdown into a node."""
        self.state.nested_parse(StringList(text.splitlines(), self.env.docname), self.content_offset, parent)
        return parent


class Claims(Made):
    """All claims, chapter by chapter, below a filter."""

    def run(self) -> list[nodes.Node]:
        verdicts = {claim.verdict for claim in self.ledger.claims.values()}
        offered = {key: words for key, words in _render.VERDICTS.items() if key in verdicts}
        made: list[nodes.Node] = [raw(ledger.filter_by(offered, "claims"))]
        for number, (_, title) in sorted(self.ledger.chapters.items()):
            claims = [claim for slug, claim in self.ledger.claims.items() if slug[:2] == number]
            if claims:
                section = nodes.section("", nodes.title("", f"{number} {title}"), names=[f"claims of {number}"])
                self.state.document.note_implicit_target(section, section)
                section += raw("\n".join(_render.ledger_card(c, self.ledger.link(c.slug)) for c in claims))
                made.append(section)
        return made


class Facts(Made):
    """All sentences of the post that book/factcheck.yml lists, each with what is so, below a filter."""

    def run(self) -> list[nodes.Node]:
        rows = ledger.read_facts(self.root)
        return [raw(ledger.filter_by(ledger.FACTS, "facts")), *map(self.card, rows)]

    def card(self, row: dict[str, Any]) -> nodes.Node:
        """One sentence: what it says, what is so, sources, and the claims that answer."""
        names = row.get("claims", [])
        for slug in names:
            if fault := self.ledger.missing(slug, f"book/factcheck.yml, row {row['number']}"):
                log.warning(fault)
        card = nodes.container("", classes=["tl-card", f"tl-is-{row['verdict']}"], names=[f"fact-{row['number']}"])
        self.state.document.note_explicit_target(card, card)
        self.parsed(
            f"**{row['number']}. {ledger.verdict_on(row, self.ledger)}.** The post: {row['says'].strip()}\n\n"
            f"{row['is'].strip()} {{cite:p}}`{','.join(row['sources'])}`",
            card,
        )
        if names:
            answers = "\n".join(f"<li>{ledger.answer(slug, self.ledger)}</li>" for slug in names)
            card += raw(f'<ul class="tl-answers">\n{answers}\n</ul>')
        return card


class Tally(Made):
    """How many claims hold, do not, are open."""

    def run(self) -> list[nodes.Node]:
        return [nodes.paragraph("", self.ledger.tally())]


class Tables(Made):
    """How each stored table was made."""

    def run(self) -> list[nodes.Node]:
        return [raw(provenance.tables(self.root))]


class Protocol(Made):
    """What the protocol plans for each table."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(self.root / "benchmarks" / "protocol.yml"))
        return [raw(provenance.planned(self.root))]


class Endpoints(Made):
    """What the primary endpoints of the protocol came to."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(self.root / "benchmarks" / "protocol.yml"))
        return [raw(provenance.endpoints(self.root))]


class Attacks(Made):
    """What was tried to break the headlines."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(self.root / "book" / "results" / "attempts_to_break.csv"))
        return [raw(provenance.attacks(self.root))]


class Seconds(Made):
    """How long each chapter took."""

    def run(self) -> list[nodes.Node]:
        return [nodes.paragraph("", provenance.seconds(self.root, self.ledger.chapters))]


class Quiz(Made):
    """The questions of one part (two digits) of the final quiz."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        drawn = _render.rerender({"quiz": {"number": self.arguments[0], "folder": "final", "only": None}})
        assert drawn is not None
        return [raw(drawn["text/html"])]


class ClaimRole(SphinxRole):
    """``{claim}`` with a slug and the verdict that the text relies on; a link with the verdict of this run."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link, or a note where the chapter is not written."""
        slug, _, wanted = (part.strip() for part in self.text.partition(":"))
        claims = ledger.read(Path(self.env.srcdir))
        if wanted not in _render.VERDICTS:
            log.warning(
                f"claim {slug}: say the verdict, one of {', '.join(_render.VERDICTS)}",
                location=self.get_location(),
            )
        if fault := claims.missing(slug, self.env.docname):
            log.warning(fault, location=self.get_location())
        if slug not in claims.claims:
            return [nodes.inline("", f"chapter {slug[:2]} is not written", classes=["tl-note"])], []
        verdict = claims.claims[slug].verdict
        # Other profiles have other data; the texts are about the default one.
        if verdict != wanted and (os.environ.get("TLHELPERS_PROFILE") or "offline") == "offline":
            log.warning(
                f"the text relies on claim {slug} with verdict {wanted!r}; this run says {verdict!r}. "
                "Correct the text.",
                location=self.get_location(),
            )
        text = f"{DENIED.get(verdict, verdict)}: {slug[:2]}"
        link = nodes.reference("", text, refuri=claims.link(slug), internal=True, classes=["tl-to-claim"])
        return [link], []


class MeasuredRole(SphinxRole):
    """``{measured}`` with a claim's slug; what this run measured for it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the text, ``not measured`` where the claim is missing (``{claim}`` says so)."""
        claim = ledger.read(Path(self.env.srcdir)).claims.get(self.text.strip())
        measured = claim.measured if claim else "not measured"
        return [nodes.inline("", measured, classes=["tl-measured"])], []


def begin(app: Sphinx) -> None:
    """Read the claims anew for this build, and name chapters without any (event ``builder-inited``)."""
    ledger.read.cache_clear()
    for stem in ledger.read(Path(app.srcdir)).not_executed:
        log.warning(f"{stem}.md was not executed: there is no {stem}.ipynb in _build/executed. Run `make book`.")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect everything."""
    for directive in (Claims, Facts, Tally, Tables, Protocol, Endpoints, Attacks, Seconds, Quiz):
        app.add_directive(directive.__name__.lower(), directive)
    app.add_role("claim", ClaimRole())
    app.add_role("measured", MeasuredRole())
    app.add_css_file("back.css")
    app.add_js_file("ledger.js")
    app.connect("builder-inited", begin)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
