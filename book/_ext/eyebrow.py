"""Sphinx extension: under a chapter's title its part and its minutes, at its end the question of the next one."""

from __future__ import annotations

import functools
import html
import re
from pathlib import Path
from typing import Any

import nbformat
import yaml
from docutils import nodes
from sphinx.application import Sphinx

CHAPTER = re.compile(r"book/\d\d-[\w-]+")
QUESTION = re.compile(r"\*\*([^*]+\?)\*\*")
ASIDE = ", without a GPU"
WORDS_A_MINUTE = 200  # of text with numbers and figures in it
#: What a reader who follows the text passes over.
BESIDE = ("exercise", "solution", "dropdown", "toggle", "tl-stored")


@functools.cache
def parts(root: Path) -> dict[str, str]:
    """Return the caption of the part of each page, by the page's name in the table of contents."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return {page["file"]: part["caption"] for part in toc["parts"] for page in part["chapters"]}


def words(doctree: nodes.document) -> int:
    """Return the words of a page's running text, without what is folded, tasks, captions and code."""

    def beside(node: nodes.Node) -> bool:
        while node is not doctree:
            if isinstance(node, nodes.figure) or set(BESIDE) & set(node.get("classes", [])):
                return True
            node = node.parent
        return False

    text = (node.astext() for node in doctree.findall(nodes.paragraph) if not beside(node))
    return sum(len(paragraph.split()) for paragraph in text)


def seconds(root: Path, docname: str) -> float | None:
    """Return how long a chapter took when it was executed, if that is known."""
    path = root / "_build" / "executed" / f"{Path(docname).name}.ipynb"
    return nbformat.read(path, 4).metadata.get("book", {}).get("seconds") if path.is_file() else None


def line(part: str, count: int, ran: float | None) -> str:
    """Return the line: part, minutes to read, time to run."""
    read = f"{max(1, round(count / WORDS_A_MINUTE))} minutes to read"
    if ran is None:
        return f"{part} · {read} · no GPU needed"
    time = f"{ran:.0f} seconds" if ran < 90 else f"{ran / 60:.0f} minutes"
    return f"{part} · {read} · {time} to run{ASIDE}"


def add(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the line under a chapter's title (event ``doctree-resolved``)."""
    title = next(doctree.findall(nodes.title), None)
    root = Path(app.srcdir)
    if not CHAPTER.fullmatch(docname) or title is None or docname not in parts(root):
        return
    text = line("Part " + parts(root)[docname].replace(" ", ", ", 1), words(doctree), seconds(root, docname))
    place = title.parent
    told, aside = text.removesuffix(ASIDE), ASIDE if text.endswith(ASIDE) else ""
    short = nodes.inline("", aside, classes=["tl-aside"])  # a phone leaves it out
    place.insert(place.index(title) + 1, nodes.paragraph("", "", nodes.Text(told), short, classes=["tl-eyebrow"]))


@functools.cache
def question(source: Path) -> str | None:
    """Return the question that a chapter opens with, in bold, if it has one."""
    opening = source.read_text(encoding="utf-8").partition("\n# ")[2].partition("\n## ")[0]
    found = QUESTION.search(opening)
    return " ".join(found[1].split()) if found else None


def ask(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let the link to the next chapter ask that chapter's question (event ``html-page-context``)."""
    following = getattr(app.builder, "relations", {}).get(pagename, (None, None, None))[2]
    if not following or not CHAPTER.fullmatch(following):
        return
    asked = question(Path(app.env.doc2path(following)))
    if asked:
        context["next_title"] = f'{context["next"]["title"]}<span class="tl-asks">{html.escape(asked)}</span>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handlers."""
    app.connect("doctree-resolved", add)
    app.connect("html-page-context", ask)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
