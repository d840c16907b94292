"""Sphinx extension: the pages at the end of the book that are made from the repository itself.

A line ``<!-- made: NAME -->`` of a page is replaced by Markdown that one of the functions below returns. Roles
``{claim}`` and ``{measured}`` point to a claim and repeat what it measured::

    {claim}`01-frozen-beats-scratch: holds` {measured}`01-frozen-beats-scratch`

A text says which outcome it relies on. Where the run says otherwise, or where a written chapter has no such claim,
the build stops with one message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apidoc
import finalquiz
import ledger
import provenance
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

MADE = re.compile(r"^<!-- made: ([\w-]+) ?([\w-]*) -->$", re.MULTILINE)
#: A claim's outcome beside a sentence that relies on it; a sentence that denies a claim relies on its failing.
BRIEF = {"holds": "holds", "fails": "the contrary fails", "open": "open"}
log = logging.getLogger(__name__)


def read_ledger(app: Sphinx) -> None:
    """Read the claims once per build (event ``builder-inited``)."""
    app.tl_ledger = ledger.read(Path(app.srcdir), log.warning)  # type: ignore[attr-defined]


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the lines ``<!-- made: ... -->`` of a page (event ``source-read``)."""
    root, found = Path(app.srcdir), app.tl_ledger  # type: ignore[attr-defined]

    def factcheck(_: str) -> str:
        rows = ledger.read_facts(root)
        for row in rows:
            for name in row.get("claims", []):
                if fault := ledger.missing(found, name, f"book/factcheck.yml, row {row['number']}"):
                    log.warning(fault)
        return ledger.facts(rows, found)

    makers: dict[str, Callable[[str], str]] = {
        "factcheck": factcheck,
        "claims": lambda _: ledger.claims(found),
        "tally": lambda _: ledger.tally(found),
        "api": lambda _: apidoc.modules(),
        "tables": lambda _: provenance.tables(root),
        "seconds": lambda _: provenance.seconds(root, found.chapters),
        "quiz": lambda part: finalquiz.html_of(part, root),
    }

    def replace(match: re.Match[str]) -> str:
        if match[1] not in makers:
            log.warning(f"nothing is made as {match[1]!r}; there are {', '.join(makers)}", location=docname)
            return ""
        return makers[match[1]](match[2])

    source[0] = MADE.sub(replace, source[0])


class ClaimRole(SphinxRole):
    """``{claim}`` with an id and the outcome that the text relies on; a link with the outcome of this run."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link, or a note where the chapter is not written."""
        name, _, wanted = (part.strip() for part in self.text.partition(":"))
        found: ledger.Ledger = self.env.app.tl_ledger  # type: ignore[attr-defined]
        if wanted not in ledger.SHOWN:
            log.warning(
                f"claim {name}: say the outcome, one of {', '.join(ledger.SHOWN)}", location=self.get_location()
            )
        if fault := ledger.missing(found, name, self.env.docname):
            log.warning(fault, location=self.get_location())
        if name not in found.claims:
            return [nodes.inline("", f"chapter {name[:2]} is not written", classes=["tl-note"])], []
        outcome = ledger.OUTCOMES[found.claims[name].holds]
        # Other profiles have other data; the texts are about the default one.
        if outcome != wanted and (os.environ.get("TLHELPERS_PROFILE") or "offline") == "offline":
            log.warning(
                f"the text relies on claim {name} with outcome {wanted!r}; this run says {outcome!r}. "
                "Correct the text.",
                location=self.get_location(),
            )
        text = f"{BRIEF[outcome]}: {name[:2]}"
        link = nodes.reference("", text, refuri=found.link(name), internal=True, classes=["tl-to-claim"])
        return [link], []


class MeasuredRole(SphinxRole):
    """``{measured}`` with a claim's id; what this run measured for it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the text, empty where the claim is missing (``{claim}`` says so)."""
        one = self.env.app.tl_ledger.claims.get(self.text.strip())  # type: ignore[attr-defined]
        return [nodes.inline("", one.measured if one else "not measured", classes=["tl-measured"])], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect everything; autodoc and napoleon serve the API page."""
    for name, value in apidoc.SETTINGS.items():
        setattr(app.config, name, value)
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.napoleon"):
        app.setup_extension(extension)
    app.add_role("claim", ClaimRole())
    app.add_role("measured", MeasuredRole())
    app.add_css_file("back.css")
    app.add_js_file("ledger.js")
    app.connect("builder-inited", read_ledger)
    app.connect("source-read", expand)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
