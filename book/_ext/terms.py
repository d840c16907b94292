"""Sphinx extension: a link to a word of the glossary carries its definition, which `terms.js` shows on the spot.

The definition stands in the attribute ``data-tl-term`` of the link, as plain text, so that a page opened from a
folder has it, too. Without the script the link leads to the glossary.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

GLOSSARY = "book/glossary"
LINK = re.compile(r'(<a class="reference internal" href="[^"]*glossary\.html#(term-[^"]+)")(>)')


def definitions(glossary: nodes.document) -> dict[str, str]:
    """Return the text of each definition of a glossary, by the id of each of its words."""
    found: dict[str, str] = {}
    for node in glossary.findall(addnodes.glossary):
        for item in node.findall(nodes.definition_list_item):
            *words, definition = item.children
            text = " ".join(definition.astext().split())
            found |= {name: text for word in words if isinstance(word, nodes.term) for name in word["ids"]}
    return found


def with_definitions(body: str, known: dict[str, str]) -> str:
    """Return a page's markup, each link to a known word with its definition."""

    def add(link: re.Match[str]) -> str:
        text = known.get(link[2])
        return f'{link[1]} data-tl-term="{html.escape(text)}"{link[3]}' if text else link[0]

    return LINK.sub(add, body)


def read(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Take the definitions from the glossary once all pages are read (event ``env-updated``)."""
    known = definitions(env.get_doctree(GLOSSARY)) if GLOSSARY in env.found_docs else {}
    app.tl_definitions = known  # type: ignore[attr-defined]
    return []


def define(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Add the definitions to one page (event ``html-page-context``)."""
    if "body" in context:
        context["body"] = with_definitions(context["body"], getattr(app, "tl_definitions", {}))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handlers."""
    app.connect("env-updated", read)
    app.connect("html-page-context", define)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
