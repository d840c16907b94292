"""Sphinx extension: the first bold occurrence of a glossary term on a page becomes a link to its entry.

The chapters mark a term in bold where they introduce it; the links are made here, so that neither the text nor the
derived notebooks need a role for them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

GLOSSARY = "book/glossary"
#: Where a link would be wrong: titles show up in the contents, links hold no links.
KEEP_OUT = (nodes.title, nodes.reference, pending_xref)


def entries(markdown: str) -> dict[str, str]:
    """Return definitions by term from the glossary's source; several terms may share one.

    Raises
    ------
    ValueError
        When a term stands twice or has no definition.
    """
    block = re.search(r"^```\{glossary\}\n(?P<body>.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    if not block:
        raise ValueError("the page holds no glossary directive")
    found: dict[str, str] = {}
    waiting: list[str] = []
    for line in block["body"].splitlines():
        if line.startswith("  "):
            for term in waiting:
                found[term] = f"{found[term]} {line.strip()}".strip()
        elif line.strip():
            if waiting and found[waiting[-1]]:
                waiting = []
            if line.casefold() in {term.casefold() for term in found}:
                raise ValueError(f"the glossary defines {line!r} twice")
            found[line] = ""
            waiting.append(line)
    if empty := [term for term, text in found.items() if not text]:
        raise ValueError(f"the glossary does not define {empty}")
    return found


def plain(text: str) -> str:
    """A term as it is compared: lower case, single spaces, no final mark, no plural s."""
    text = " ".join(text.casefold().split()).rstrip(".:,;?!")
    return text[:-1] if text.endswith("s") and not text.endswith("ss") else text


def link_terms(app: Sphinx, doctree: nodes.document) -> None:
    """Link the first bold occurrence of each term on a page (event ``doctree-read``)."""
    if app.env.docname == GLOSSARY or app.env.docname.startswith("book/api"):
        return
    terms: dict[str, str] = app.tl_terms  # type: ignore[attr-defined]
    seen: set[str] = set()
    for strong in list(doctree.findall(nodes.strong)):
        term = terms.get(plain(strong.astext()))
        if term is None or term in seen or _inside(strong, KEEP_OUT):
            continue
        seen.add(term)
        link = pending_xref(
            "",
            refdomain="std",
            reftype="term",
            reftarget=term,
            refexplicit=True,
            refwarn=True,
            refdoc=app.env.docname,
        )
        strong.replace_self(link)
        link += strong
        strong["classes"].append("tl-term")


def _inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node.parent is not None:
        node = node.parent
        # Bold in a card names a field or a table, and not a term.
        if isinstance(node, kinds) or (isinstance(node, nodes.Element) and "tl-card" in node.get("classes", [])):
            return True
    return False


def read_terms(app: Sphinx) -> None:
    """Read the glossary once per build (event ``builder-inited``)."""
    source = (Path(app.srcdir) / f"{GLOSSARY}.md").read_text(encoding="utf-8")
    app.tl_terms = {plain(term): term for term in entries(source)}  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handlers."""
    app.connect("builder-inited", read_terms)
    app.connect("doctree-read", link_terms)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
