"""Sphinx extension: figures and exercises count within their chapter, Fig. 5.1 and Exercise 5.1.

Sphinx counts through the whole book where headings have no numbers. Pages are rendered from nothing each time, so
its own numbers need not be kept.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CHAPTER = re.compile(r"book/(\d\d)-")
Numbers = dict[str, dict[str, dict[str, tuple[int, ...]]]]  # page, kind, id


def by_chapter(numbers: Numbers) -> Numbers:
    """Return the numbers of a book as chapter and place in it; only the place on a page that is no chapter."""

    def place(page: str, n: int) -> tuple[int, ...]:
        chapter = CHAPTER.match(page)
        return (int(chapter[1]), n) if chapter else (n,)

    return {
        page: {
            kind: {name: place(page, n) for n, name in enumerate(sorted(ids, key=ids.__getitem__), start=1)}
            for kind, ids in kinds.items()
        }
        for page, kinds in numbers.items()
    }


def replace(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Put the chapters' numbers in place of Sphinx's, after it has counted (event ``env-get-updated``)."""
    env.toc_fignumbers = by_chapter(env.toc_fignumbers)
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handler behind Sphinx's own, which has the priority 500."""
    app.connect("env-get-updated", replace, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
