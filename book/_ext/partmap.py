"""Sphinx extension: the table of a part's page shows the opening figure of each of its chapters."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

PART = re.compile(r"book/part-\d-[\w-]+")
CHAPTER = re.compile(r"(\d\d-[\w-]+)\.html")


def opener(document: nodes.document) -> nodes.image | None:
    """Return a copy of the first figure of a chapter, if it has one."""
    first = next(document.findall(nodes.image), None)
    if first is None:
        return None
    picture = first.deepcopy()
    for option in ("width", "height", "scale", "align"):
        picture.attributes.pop(option, None)
    picture["classes"] = ["tl-thumb"]
    picture["loading"] = "lazy"
    return picture


def draw(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the figures into the first column (event ``doctree-resolved``)."""
    if not PART.fullmatch(docname):
        return
    for table in doctree.findall(nodes.table):
        table["classes"].append("tl-map")
        for row in table.findall(nodes.row):
            links = [CHAPTER.fullmatch(link.get("refuri", "")) for link in row.findall(nodes.reference)]
            chapter = next((str(PurePosixPath(docname).parent / link[1]) for link in links if link), None)
            picture = opener(app.env.get_doctree(chapter)) if chapter in app.env.found_docs else None
            if picture is not None:
                row.children[0].insert(0, picture)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handler."""
    app.connect("doctree-resolved", draw)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
